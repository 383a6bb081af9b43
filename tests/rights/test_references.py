"""References to the objects of another PVE, from the own ones."""

from copy import copy

import pytest

from tests.nightly import nightly_only
from tests.rights.asking import Asking
from tests.rights.calls import API, creation, endpoints, path_of
from tests.rights.world import OURS


@pytest.mark.parametrize("name", [pytest.param("all of alfa, sees namespaces", marks=nightly_only), "PVE of alfa"])
def test_references(world, name):
    """To bravo's objects from alfa's: in the fields of the models, and by the name of bravo's cluster."""
    asking = Asking(world, world.callers[name])
    mixed = copy(world.alfa)
    mixed.cluster = world.bravo.cluster
    for endpoint in endpoints(API):
        if endpoint.route.startswith(("namespaces/", "netbox/{", "prefixes/", "ip-address-ranges/")):
            asking.everything(endpoint, mixed)
        elif endpoint.model in OURS and endpoint.route.endswith("/{pk}/"):
            own = path_of(endpoint, world.alfa)
            for field in (*endpoint.model._meta.fields, *endpoint.model._meta.many_to_many):
                for thing in world.bravo.things:
                    if field.is_relation and isinstance(thing, field.related_model):
                        asking.ask("PATCH", own, {field.name: thing.pk})
                        listed = own.rsplit("/", 2)[0] + "/"
                        asking.ask("POST", listed, {**creation(endpoint.model, world.alfa), field.name: thing.pk})
    assert asking.faults() == []
