"""What the App adds to Nautobot's own pages, and its metrics."""

import pytest

from tests.nightly import nightly_only
from tests.rights.asking import Asking
from tests.rights.calls import PAGES, endpoints
from tests.rights.world import CALLERS


@pytest.mark.parametrize("name", [*(pytest.param(name, marks=nightly_only) for name in CALLERS), "viewer of core"])
def test_panels_and_metrics(world, name):
    """What the App adds to Nautobot's own pages."""
    asking = Asking(world, world.callers[name])
    bravo = world.bravo
    for thing in (bravo.prefix, bravo.range, bravo.address, bravo.gateway, world.inventory):
        asking.ask("GET", thing.get_absolute_url())
    asking.ask("GET", "/")
    for endpoint in endpoints(PAGES):
        if name == "viewer of core":
            asking.everything(endpoint, bravo)
    asking.ask("GET", "/metrics/")
    assert asking.faults() == []
    if name == "superuser":
        assert [answer.call for answer in asking.answers if not answer.told] == []
