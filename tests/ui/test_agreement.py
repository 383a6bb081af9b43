"""Preview, allocation, address map, gauges and metrics agree on every address of random prefixes with naive rules."""

from dataclasses import replace

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from nautobot.ipam.models import IPAddressRange

from nautobot_pve_ipam.errors import NoFreeAddress
from nautobot_pve_ipam.search.intervals import to_int
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.allocation import Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.ui import address_map
from nautobot_pve_ipam.ui.usage import gauges, with_next_free
from tests.nightly import examples
from tests.search.test_search_properties import SUBNET, V4, Network, Range, Scenario, build, free, scenarios

pytestmark = pytest.mark.django_db

SMALL = Network(V4, 30, 4, "network")


def free_within(scenario, first, last):
    return list(free(replace(scenario, bounds=((first, last),), exclude=(), offset=0)))


def can_be_given(scenario, first, last):
    """The addresses that would be free if none were in use."""
    return free_within(replace(scenario, used=frozenset(), strays=()), first, last)


def check_map(prefix, user, expected):
    shown = address_map.build(prefix, user, allocate_url="/allocate/")
    offered = [
        cell.description.split(": ")[0]
        for section in shown.sections
        for cell in section.cells
        if cell.href and "allocate" in cell.href
    ]
    assert list(map(to_int, offered)) == expected


def check_gauges(scenario, prefix):
    ranges = IPAddressRange.objects.filter(parent=prefix, is_exclusive=False).select_related("parent__namespace")
    for gauge in with_next_free(gauges(ranges)):
        ends = to_int(gauge.ip_address_range.start_host), to_int(gauge.ip_address_range.end_host)
        left, given = free_within(scenario, *ends), can_be_given(scenario, *ends)
        assert (gauge.left, gauge.size) == (len(left), len(given)), ends
        assert (gauge.next_free and to_int(gauge.next_free)) == (left[0] if left else None)
        assert (gauge.percent == 100) == (not left)


def check_allocation(search, user, expected):
    """All that is free is given, in this order, and nothing else."""
    caller = Caller(user, search.prefix.namespace)
    if expected:
        held = allocate(search, [Wanted()] * len(expected), caller=caller)
        assert [to_int(one.address.host) for one in held] == expected
    with pytest.raises(NoFreeAddress):
        allocate(search, [Wanted()], caller=caller)


@settings(
    max_examples=examples(40, 1000),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios(host_bits=(0, 1, 2, 3, 4)))
@example(Scenario(SMALL, ranges=(Range(V4, V4 + 3, False),), used=frozenset({V4 + 1, V4 + 2})))
@example(Scenario(SMALL, ranges=(Range(V4, V4 + 3, False),), gateways=((V4 + 1, SMALL),)))
@example(  # an exclusive range, a child network and a gateway in a range, which is inside another
    Scenario(
        SUBNET,
        ranges=(Range(V4, V4 + 31, False), Range(V4 + 2, V4 + 19, False), Range(V4 + 8, V4 + 9, True)),
        children=(Network(V4 + 12, 30, 4, "network"), Network(V4 + 16, 30, 4, "pool")),
        gateways=((V4 + 17, Network(V4 + 16, 30, 4, "pool")),),
        used=frozenset(range(V4 + 32, V4 + 255)),
    )
)
def test_all_agree_on_every_address(superuser, scenario):
    first, last = scenario.prefix.first, scenario.prefix.last
    with transaction.atomic():
        prefix = build(scenario)
        expected = free_within(scenario, first, last)
        search = Search(prefix, bounds=((first, last),))
        assert search.first(last - first + 1) == expected
        if scenario.prefix.version == 4:  # of an IPv6 prefix, only a part is shown
            check_map(prefix, superuser, expected)
        check_gauges(scenario, prefix)
        check_allocation(search, superuser, expected)
        transaction.set_rollback(True)
