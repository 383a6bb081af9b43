"""Address map and gauges of nearly full prefixes: as many queries as for an empty one, and little memory."""

import tracemalloc

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from nautobot_pve_ipam.ui import address_map
from nautobot_pve_ipam.ui.usage import dhcp_ranges, gauges, with_next_free
from tests.nightly import nightly_only
from tests.search.fill import Ground, settle

pytestmark = pytest.mark.django_db

PEAK_BYTES = 4_000_000
#: A small range, a full one, and one with free addresses after the used ones; the latter two are searched.
SMALL, FULL = (256, 512), (4096, 16384)


def cost(function):
    """Its result, and the number of queries and bytes it took."""
    tracemalloc.start()
    try:
        with CaptureQueriesContext(connection) as queries:
            result = function()
        return result, len(queries), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("cidr", "used"),
    [("10.0.0.0/16", 60_000), pytest.param("10.0.0.0/12", 1_000_000, marks=nightly_only)],
)
def test_cost_the_same_when_empty_and_nearly_full(cidr, used, admin, committed):
    ground = Ground("pages")
    prefix = ground.prefix(cidr)
    last = (32768, prefix.prefix.size - 2)
    for first, end in (SMALL, FULL, last):
        ground.ranges(prefix, range(first, first + 1), size=end - first, role="DHCP")
    ranges = dhcp_ranges().filter(parent=prefix)

    def opened(network):
        """The map, opened block by block until it shows addresses."""
        shown = address_map.build(prefix, admin, block=network)
        return shown if shown.sections else opened(shown.blocks[0].network)

    pages = {
        "map": lambda: address_map.build(prefix, admin),
        "opened": lambda: opened(None),
        "gauges": lambda: with_next_free(gauges(ranges)),
    }
    for function in pages.values():
        function()  # warm up: do not count what is looked up once per process
    empty = {name: cost(function)[1] for name, function in pages.items()}
    ground.use(prefix, range(1, used + 1))
    settle()
    with committed():
        pages["gauges"]()  # sets the cursor of the range that has free addresses
    results = {}
    for name, function in pages.items():
        results[name], queries, peak = cost(function)
        assert queries <= empty[name], name
        assert peak <= PEAK_BYTES, name

    assert results["map"].used == used
    assert [cell.kind for cell in results["opened"].sections[0].cells][:2] == ["reserved", "address"]
    assert [gauge.used for gauge in results["gauges"]] == [256, 12288, used - 32768 + 1]
    free = str(prefix.prefix[used + 1])
    assert [gauge.next_free for gauge in results["gauges"]] == [None, None, free]
