"""The search's SQL on MariaDB, on tables as created there by Nautobot's migrations, compared with naive rules."""

import uuid
from itertools import islice
from unittest.mock import patch

import netaddr
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from nautobot.extras.models import Role
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix, VRFPrefixAssignment

from nautobot_pve_ipam.models import SDNSubnet
from nautobot_pve_ipam.search import occupancy
from nautobot_pve_ipam.search.intervals import addresses, to_text
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.search.tables import around_and_in_use, database_id, prefixes_around
from tests.mariadb.available import need_mariadb
from tests.nightly import examples
from tests.search.test_search_properties import COMPARED, Network, Scenario, free, parent_of, scenarios

need_mariadb()

ANY = uuid.uuid4()  # irrelevant to the search
V4 = (10 << 24) + (1 << 16)


@pytest.fixture
def tables(database):
    """Nautobot's tables with their columns, types and indexes, without foreign keys and the tables they refer to."""
    with database.schema_editor() as editor:
        for model in (Namespace, Prefix, IPAddress, IPAddressRange, Role, VRFPrefixAssignment, SDNSubnet):
            editor.create_model(model)
        editor.deferred_sql = [statement for statement in editor.deferred_sql if "FOREIGN KEY" not in str(statement)]


def build(scenario):
    """Insert the scenario as rows; returns the prefix to search."""
    namespace, other = Namespace(name="scenario"), Namespace(name="same addresses, other namespace")
    Namespace.objects.bulk_create([namespace, other])
    made = {}
    for network in sorted(scenario.networks, key=lambda network: network.length):
        around = [known for known in made if known.length < network.length and known.holds(network.first)]
        made[network] = Prefix(
            prefix=str(network), type=network.type, namespace=namespace, status_id=ANY,
            parent=made[parent_of(around, network.first)] if around else None,
        )  # fmt: skip
    elsewhere = Prefix(prefix=str(scenario.prefix), namespace=other, status_id=ANY)
    Prefix.objects.bulk_create([*made.values(), elsewhere])

    def text(address):
        return to_text(address, scenario.prefix.version)

    def host(address, parent):
        return IPAddress(address=f"{text(address)}/{scenario.prefix.length}", parent=parent, status_id=ANY)

    used = [host(address, made[parent_of(made, address)]) for address in scenario.used]
    strays = [host(address, made[parent]) for address, parent in scenario.strays]
    IPAddress.objects.bulk_create([*used, *strays, host(scenario.prefix.last, elsewhere)])
    IPAddressRange.objects.bulk_create(
        IPAddressRange(
            start_address=text(found.first), end_address=text(found.last), ip_version=scenario.prefix.version,
            is_exclusive=found.exclusive, parent=made[scenario.owner(found.first, found.last)], status_id=ANY,
        )
        for found in scenario.ranges
    )  # fmt: skip
    SDNSubnet.objects.bulk_create(
        SDNSubnet(vnet_id=ANY, prefix=made[network], gateway=text(address)) for address, network in scenario.gateways
    )
    return made[scenario.prefix]


@settings(max_examples=examples(60, 1000), deadline=None, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_the_search_follows_the_rules(tables, scenario):
    with transaction.atomic(), patch.multiple(occupancy, **scenario.paging):
        search = Search(build(scenario), scenario.bounds, scenario.exclude, scenario.offset)
        found = search.first(COMPARED)
        transaction.set_rollback(True)
    assert found == list(islice(free(scenario), scenario.offset, scenario.offset + COMPARED))


def test_a_dense_prefix_with_the_real_page_sizes(tables):
    used = frozenset(range(V4 + 1, V4 + 6001))
    search = Search(build(Scenario(Network(V4, 16, 4, "network"), used=used)))
    assert next(addresses(search.free())) == V4 + 6001


def test_prefixes_and_ranges_around_an_address(tables):
    """Further queries of an allocation: the enclosing prefixes, and the DHCP ranges."""
    role = Role(name="DHCP")
    Role.objects.bulk_create([role])
    prefix = build(Scenario(Network(V4, 16, 4, "network"), children=(Network(V4 + 256, 24, 4, "pool"),)))
    pool = Prefix.objects.get(prefix_length=24)

    def dhcp(low, high, parent, **fields):
        ends = (str(netaddr.IPAddress(V4 + number)) for number in (low, high))
        start, end = ends
        return IPAddressRange(
            start_address=start, end_address=end, ip_version=4, parent=parent, status_id=ANY, **fields
        )

    IPAddressRange.objects.bulk_create(
        [dhcp(10, 20, prefix, role=role), dhcp(30, 40, prefix), dhcp(300, 310, pool, role=role)]
    )
    for host, lengths, dhcp_starts in ((15, [16], [10]), (25, [16], []), (35, [16], []), (305, [16, 24], [300])):
        around = prefixes_around(prefix.namespace_id, 4, V4 + host)
        assert sorted(row.length for row in around) == lengths
        found = occupancy.dhcp_intervals([row.id for row in around], 4, V4 + host, V4 + host, "DHCP")
        assert [start - V4 for start, end in found if end >= V4 + host] == dhcp_starts


def test_rows_have_the_ids_that_they_are_compared_with(tables):
    """MariaDB has a type for UUIDs since 10.7, whose values come as text."""
    namespace = Namespace(name="ids")
    Namespace.objects.bulk_create([namespace])
    prefix = Prefix(prefix="10.0.0.0/24", namespace=namespace, status_id=ANY)
    Prefix.objects.bulk_create([prefix])
    around, in_use = around_and_in_use(prefix, [(10 << 24) + 5])
    assert ([row.id for row in around], in_use) == ([database_id(prefix.pk)], set())
