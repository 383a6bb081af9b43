"""GraphQL: of another PVE nothing, of the own one everything."""

import json
from typing import Any

import pytest
from graphene_django.settings import graphene_settings
from graphql import get_named_type, get_nullable_type, is_leaf_type, is_list_type, is_required_argument
from nautobot.core.graphql import execute_query
from nautobot.ipam.models import Namespace
from nautobot.virtualization.models import Cluster

from tests.nightly import nightly_only
from tests.rights.asking import Answer, Asking
from tests.rights.world import CALLERS, CORE, OURS


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=nightly_only) for name in CALLERS[1:4]), CALLERS[4], "viewer of core", "superuser"],
)
def test_graphql(world, name):
    caller = world.callers[name]
    asking = Asking(world, caller)
    untold = []
    for query in graphql_queries():
        result = execute_query(query, user=caller.user)
        assert not result.errors, (query, result.errors)
        told = asking.marked(json.dumps(result.data, default=str))
        asking.answers.append(Answer(("GraphQL", query, None), 200, told, False))
        untold += [query] if not told else []
    assert asking.faults() == []
    if name == "superuser":
        assert untold == []


def graphql_queries() -> list[str]:
    """A query of each list of our models and of the core models around them: all fields, and those of related objects.

    Generated from the schema.
    """
    schema = graphene_settings.SCHEMA.graphql_schema

    def model_of(type_: Any) -> Any:
        return getattr(getattr(getattr(type_, "graphene_type", None), "_meta", None), "model", None)

    def fields(type_: Any, deeper: bool) -> str:
        chosen = []
        for name, field in type_.fields.items():
            inner = get_named_type(field.type)
            if any(is_required_argument(argument) for argument in field.args.values()):
                continue
            if is_leaf_type(inner):
                chosen.append(name)
            elif deeper and model_of(inner) in (*OURS, *CORE, Namespace):
                chosen.append(f"{name} {{ {fields(inner, False)} }}")
        return " ".join(chosen)

    queries_ = []
    for name, field in schema.query_type.fields.items():
        inner = get_named_type(field.type)
        if model_of(inner) in (*OURS, *CORE, Namespace, Cluster) and is_list_type(get_nullable_type(field.type)):
            queries_.append(f"{{ {name} {{ {fields(inner, True)} }} }}")
    return queries_


def test_a_pve_sees_its_own_records(world):
    """No nulls in GraphQL, no mere links in REST, where its zone, vnet and cluster stand."""
    pve, alfa = world.callers["PVE of alfa"], world.alfa
    query = """{ allocations { mac ip_address { host } subnet { prefix { prefix } vnet { name zone {
        name namespace { name } cluster { name } } } dhcp_ranges { start_host } dhcp_range_links { adopted } } } }"""
    data_ = execute_query(query, user=pve.user).data["allocations"]
    subnet = {
        "prefix": {"prefix": f"{alfa.net}.0/24"},
        "vnet": {
            "name": "alfav",
            "zone": {"name": "alfaz", "namespace": {"name": "alfa-space"}, "cluster": {"name": "alfa-pve"}},
        },
        "dhcp_ranges": [{"start_host": f"{alfa.net}.100"}],
        "dhcp_range_links": [{"adopted": True}],
    }
    assert [found["subnet"] for found in data_] == [subnet, subnet]
    base = "/api/plugins/pve-ipam"
    for kind, thing, related in (
        ("allocations", alfa.allocation, {"subnet": "gateway"}),
        ("subnets", alfa.subnet, {"vnet": "name"}),
        ("vnets", alfa.vnet, {"zone": "name"}),
        ("zones", alfa.zone, {"cluster": "name", "namespace": "name"}),
    ):
        deep = pve.api_client.get(f"{base}/{kind}/{thing.pk}/?depth=1").json()
        for name, field in related.items():
            assert deep[name][field] == getattr(getattr(thing, name), field)
    for kind in ("clusters", "zones", "vnets", "subnets", "dhcp-ranges", "allocations", "differences"):
        listed = pve.api_client.get(f"{base}/{kind}/?depth=1").json()
        assert listed["count"] == (2 if kind == "allocations" else 1), kind
