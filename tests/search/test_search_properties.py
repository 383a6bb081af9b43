"""The search in the database compared with DESIGN's rules applied naively, address by address, to scenarios."""

from dataclasses import dataclass, field
from itertools import islice
from unittest.mock import patch

import netaddr
import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nautobot.extras.models import Status
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix

from nautobot_pve_ipam.models import SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.search import occupancy, tables
from nautobot_pve_ipam.search.intervals import addresses
from nautobot_pve_ipam.search.search import Search
from tests.nightly import examples

pytestmark = pytest.mark.django_db

#: The part of a prefix that a scenario uses, and the number of free addresses to compare.
WINDOW = 256
COMPARED = 300
PAGINGS = [
    {"WINDOW": 3, "WINDOW_GROWTH": 2, "PAGE": 2, "DENSE_STEP": 4, "DENSE_STEP_MAX": 16},
    {"WINDOW": 40, "WINDOW_GROWTH": 4, "PAGE": 5, "DENSE_STEP": 16, "DENSE_STEP_MAX": 64},
    {"WINDOW": 256, "WINDOW_GROWTH": 16, "PAGE": 64, "DENSE_STEP": 1024, "DENSE_STEP_MAX": 65536},
]
BITS = {4: 32, 6: 128}


@dataclass(frozen=True)
class Network:
    first: int
    length: int
    version: int
    type: str

    @property
    def last(self):
        return self.first + 2 ** (BITS[self.version] - self.length) - 1

    def holds(self, address):
        return self.first <= address <= self.last

    def __str__(self):
        return f"{netaddr.IPAddress(self.first, self.version)}/{self.length}"


@dataclass(frozen=True)
class Range:
    first: int
    last: int
    exclusive: bool


@dataclass(frozen=True)
class Scenario:
    prefix: Network
    children: tuple = ()
    ranges: tuple = ()
    used: frozenset = frozenset()
    #: a container around the prefix, if there is one
    container: Network | None = None
    #: gateways of PVE's subnets: (address, network of the subnet)
    gateways: tuple = ()
    #: addresses that Nautobot left on a wrong parent: (address, parent)
    strays: tuple = ()
    bounds: tuple = ()
    exclude: tuple = ()
    offset: int = 0
    #: sizes used by the search, under the names they have there
    paging: dict = field(default_factory=lambda: PAGINGS[-1])

    @property
    def networks(self):
        return (*([self.container] if self.container else []), self.prefix, *self.children)

    def owner(self, first, last):
        """The parent of a range in Nautobot: the smallest prefix around both ends."""
        return parent_of([network for network in self.networks if network.holds(last)], first)


def free(scenario):
    """The free addresses by the rules of DESIGN section 3, one at a time."""
    prefix, seen = scenario.prefix, set()
    taken = {*scenario.used, *(address for address, _ in (*scenario.strays, *scenario.gateways))}
    bits = BITS[prefix.version]
    for start, end in scenario.bounds or [(prefix.first, prefix.last)]:
        for address in range(start, end + 1):
            within = [child for child in scenario.children if child.holds(address)]
            ranges = [found for found in scenario.ranges if found.first <= address <= found.last]
            is_end = (
                prefix.type != "pool"
                and prefix.length < bits - 1
                and (address == prefix.first or (address == prefix.last and prefix.version == 4))
            )
            if (
                is_end
                or address in seen
                or address in taken
                or any(child.type != "pool" for child in within)
                or any(
                    found.exclusive
                    or (not scenario.bounds and scenario.owner(found.first, found.last) != scenario.container)
                    for found in ranges
                )
                or any(low <= address <= high for low, high in scenario.exclude)
            ):
                continue
            seen.add(address)
            yield address


@st.composite
def scenarios(draw, host_bits=(0, 1, 2, 2, 3, 4, 6, 8, 64)):
    """Scenarios with prefixes of 2 to the power of `host_bits` addresses; 64 only for IPv6."""
    version = draw(st.sampled_from([4, 6]))
    bits = BITS[version]
    length = bits - draw(st.sampled_from([size for size in host_bits if size < bits]))
    origin = (10 << 24) + (1 << 16) if version == 4 else (0x20010DB8 << 96) + (0x10 << 64)
    prefix = Network(origin, length, version, draw(st.sampled_from(["network", "network", "pool", "container"])))
    window = min(prefix.last, prefix.first + WINDOW - 1)
    inside = st.integers(prefix.first, window)

    children = {}
    for _ in range(draw(st.integers(0, 6))):
        of = draw(st.integers(max(length, bits - 8) + 1, bits)) if length < bits else None
        if of:
            first = draw(inside) >> (bits - of) << (bits - of)
            children[first, of] = Network(first, of, version, draw(st.sampled_from(["pool", "pool", "network"])))
    container = Network(origin, length - 2, version, "container") if draw(st.booleans()) else None
    networks = (*([container] if container else []), prefix, *children.values())

    # They overlap and nest, as Nautobot leaves them when prefixes around some of them are deleted.
    ranges = {}
    for _ in range(draw(st.integers(0, 5))):
        first, last = sorted((draw(inside), draw(inside)))
        ranges[first] = Range(first, min(last, first + draw(st.integers(0, 40))), draw(st.booleans()))
    if container and prefix.last + 1 < container.last and draw(st.booleans()):  # older than the prefix, across its end
        first = draw(st.integers(max(prefix.first, prefix.last - 5), prefix.last))
        ranges[first] = Range(first, prefix.last + 1, draw(st.booleans()))

    gateways, strays = {}, {}
    for _ in range(draw(st.integers(0, 2))):
        on = draw(st.sampled_from(networks))
        if on.length < bits:
            gateways[on] = draw(st.integers(on.first, min(on.last, window)))
    for _ in range(draw(st.integers(0, 3))):
        strays[draw(inside)] = draw(st.sampled_from(networks))

    used = set(draw(st.lists(inside, max_size=20)))
    for _ in range(draw(st.integers(0, 2))):  # dense stretches
        start = draw(inside)
        used.update(range(start, min(window, start + draw(st.integers(0, 120))) + 1))
    used -= {a for found in ranges.values() if found.exclusive for a in range(found.first, found.last + 1)}
    strays = {address: parent for address, parent in strays.items() if parent_of(networks, address) != parent}

    pairs = st.tuples(inside, inside).map(sorted).map(tuple)
    # An offset is counted before addresses on a prefix that does not contain them are left out.
    may_skip = all(parent.holds(address) for address, parent in strays.items())
    return Scenario(
        prefix,
        tuple(children.values()),
        tuple(ranges.values()),
        frozenset(used),
        container,
        tuple((address, on) for on, address in gateways.items()),
        tuple(strays.items()),
        tuple(draw(st.lists(pairs, max_size=3))),
        tuple(draw(st.lists(pairs.map(lambda pair: (pair[0], min(pair[0] + 9, pair[1]))), max_size=3))),
        draw(st.integers(0, 12)) if may_skip and draw(st.booleans()) else 0,
        draw(st.sampled_from(PAGINGS)),
    )


def parent_of(networks, address):
    """The parent of an address in Nautobot: the smallest prefix containing it."""
    return max((network for network in networks if network.holds(address)), key=lambda network: network.length)


def build(scenario):
    """Create the scenario as core objects; returns the core prefix to search."""
    active = Status.objects.get(name="Active")
    namespace = Namespace.objects.create(name="scenario")
    other = Namespace.objects.create(name="same addresses, other namespace")
    networks, made = scenario.networks, {}
    for network in networks:
        made[network] = Prefix(prefix=str(network), type=network.type, namespace=namespace, status=active)
        made[network].save()
    elsewhere = Prefix(prefix=str(scenario.prefix), namespace=other, status=active)
    elsewhere.save()

    def text(address):
        return str(netaddr.IPAddress(address, scenario.prefix.version))

    def host(address, parent):
        return IPAddress(address=f"{text(address)}/{scenario.prefix.length}", parent=parent, status=active)

    IPAddress.objects.bulk_create(host(address, made[parent_of(networks, address)]) for address in scenario.used)
    IPAddress.objects.bulk_create([host(scenario.prefix.last, elsewhere)])
    IPAddress.objects.bulk_create(host(address, made[parent]) for address, parent in scenario.strays)
    IPAddressRange.objects.bulk_create(
        IPAddressRange(
            start_address=text(found.first),
            end_address=text(found.last),
            ip_version=scenario.prefix.version,
            is_exclusive=found.exclusive,
            parent=made[scenario.owner(found.first, found.last)],
            status=active,
        )
        for found in scenario.ranges
    )
    if scenario.gateways:
        vnet = SDNVNet.objects.create(zone=SDNZone.objects.create(namespace=namespace, name="zone1"), name="vnet1")
        SDNSubnet.objects.bulk_create(
            SDNSubnet(vnet=vnet, prefix=made[network], gateway=text(address)) for address, network in scenario.gateways
        )
    return made[scenario.prefix]


def check(scenario):
    with patch.multiple(occupancy, **scenario.paging), transaction.atomic():
        search = Search(build(scenario), scenario.bounds, scenario.exclude, scenario.offset)
        found = search.first(COMPARED)
        transaction.set_rollback(True)
    assert found == list(islice(free(scenario), scenario.offset, scenario.offset + COMPARED))


V4 = (10 << 24) + (1 << 16)
V6 = (0x20010DB8 << 96) + (0x10 << 64)
SUBNET = Network(V4, 24, 4, "network")


@settings(
    max_examples=examples(75, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios())
@example(Scenario(Network(V4, 31, 4, "network"), used=frozenset({V4})))
@example(Scenario(Network(V4, 32, 4, "network")))
@example(Scenario(Network(V6, 128, 6, "network")))
@example(Scenario(Network(V6, 127, 6, "network")))
@example(Scenario(Network(V6, 64, 6, "network"), bounds=((V6, V6 + 2), (V6 + 2**64 - 3, V6 + 2**64 - 1))))
@example(  # a pool in a network in a pool in the prefix, with more of them at one address than fit on a page
    Scenario(
        SUBNET,
        children=tuple(
            Network(V4 + 64, length, 4, type_)
            for length, type_ in [(26, "pool"), (27, "pool"), (28, "pool"), (29, "network"), (30, "pool")]
        ),
        paging=PAGINGS[0],
    )
)
@example(  # a range that existed before the pool covering its second half
    Scenario(SUBNET, ranges=(Range(V4 + 60, V4 + 69, True),), bounds=((V4 + 58, V4 + 71),), paging=PAGINGS[0])
)
@example(  # a range inside another does not hide the rest of the other
    Scenario(SUBNET, ranges=(Range(V4, V4 + 99, False), Range(V4 + 10, V4 + 19, False)), paging=PAGINGS[0])
)
@example(Scenario(SUBNET, gateways=((V4 + 1, SUBNET),), strays=((V4 + 2, Network(V4, 22, 4, "container")),),
    container=Network(V4, 22, 4, "container")))  # fmt: skip
def test_the_search_follows_the_rules(scenario):
    check(scenario)


@pytest.mark.parametrize("used", [range(1, 1000), range(1, 1023), range(5, 1023)])
def test_a_dense_prefix_with_the_real_page_sizes(used):
    check(Scenario(Network(V4, 22, 4, "network"), used=frozenset(V4 + host for host in used)))


def test_a_dense_stretch_costs_no_query_per_page(django_assert_max_num_queries):
    scenario = Scenario(Network(V4, 18, 4, "network"), used=frozenset(range(V4 + 1, V4 + 10001)))
    search = Search(build(scenario))
    with django_assert_max_num_queries(25):
        assert next(addresses(search.free())) == V4 + 10001


def test_a_free_first_address_costs_the_same_whatever_follows(django_assert_max_num_queries):
    used = frozenset(range(V4 + 2, V4 + 1000))
    children = tuple(Network(V4 + 1024 + 4 * n, 30, 4, "network") for n in range(70))
    search = Search(build(Scenario(Network(V4, 20, 4, "network"), children=children, used=used)))
    with django_assert_max_num_queries(5):
        assert next(addresses(search.free())) == V4 + 1


def test_ranges_that_overlap_since_a_prefix_around_one_was_deleted():
    """Nautobot moves the ranges of a deleted prefix to its parent without looking at those that it has already."""
    active = Status.objects.get(name="Active")
    namespace = Namespace.objects.create(name="overlapping ranges")

    def saved(model, **fields):
        made = model(namespace=namespace, status=active, **fields)
        made.validated_save()
        return made

    subnet = saved(Prefix, prefix="10.1.0.0/24")
    saved(IPAddressRange, start_address="10.1.0.3", end_address="10.1.0.199")
    child = saved(Prefix, prefix="10.1.0.64/26")
    saved(IPAddressRange, start_address="10.1.0.70", end_address="10.1.0.79")
    child.delete()
    assert {str(found.parent) for found in IPAddressRange.objects.filter(parent__namespace=namespace)} == {
        "10.1.0.0/24"
    }
    assert [str(netaddr.IPAddress(host)) for host in Search(subnet).first(3)] == ["10.1.0.1", "10.1.0.2", "10.1.0.200"]


def test_nobody_is_given_an_address_in_an_exclusive_range_with_more_inside_it_than_are_looked_at(api_client):
    inside = (Range(V4 + first, V4 + first + 1, False) for first in (20, 30, 40))
    prefix = build(Scenario(SUBNET, ranges=(Range(V4 + 10, V4 + 99, True), *inside)))
    url = f"/api/plugins/pve-ipam/prefixes/{prefix.pk}/next-free-ip/"
    with patch.object(tables, "LOOK_BACK", 2):
        answer = api_client.post(url, {"range_start": "10.1.0.90"}, format="json")
    assert answer.data["address"] == "10.1.0.100/24"


def test_ranges_older_than_the_prefixes_that_cut_them():
    """Nautobot does not reparent a range if a prefix created later contains only part of it."""
    active = Status.objects.get(name="Active")
    namespace = Namespace.objects.create(name="older ranges")

    def prefix(text, type_):
        made = Prefix(prefix=text, type=type_, namespace=namespace, status=active)
        made.validated_save()
        return made

    def exclusive(start, end):
        IPAddressRange(
            start_address=start, end_address=end, is_exclusive=True, namespace=namespace, status=active
        ).validated_save()

    prefix("10.1.0.0/16", "container")
    exclusive("10.1.0.250", "10.1.1.5")
    subnet = prefix("10.1.1.0/24", "network")
    exclusive("10.1.1.10", "10.1.1.20")
    prefix("10.1.1.16/28", "pool")
    first = [str(netaddr.IPAddress(host)) for host in islice(addresses(Search(subnet).free()), 5)]
    assert first == ["10.1.1.6", "10.1.1.7", "10.1.1.8", "10.1.1.9", "10.1.1.21"]
