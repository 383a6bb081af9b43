"""A search without a cursor crosses used addresses in few queries and without loading them into memory."""

import tracemalloc

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from nautobot_pve_ipam.search.intervals import addresses
from nautobot_pve_ipam.search.occupancy import span
from nautobot_pve_ipam.search.search import Search
from tests.search.fill import Ground, settle
from tests.search.shapes import behind_children

pytestmark = pytest.mark.django_db

USED = 200_000
PEAK_BYTES = 2_000_000
QUERIES = 60


def cross(search):
    """The lowest free address as an offset in the prefix, and the queries and bytes needed to find it."""
    next(addresses(search.free()))  # warm up: do not measure imports and compilation
    tracemalloc.start()
    with CaptureQueriesContext(connection) as queries:
        found = next(addresses(search.free()))
    queries = len(queries)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found - span(search.prefix)[0], queries, peak


def test_a_dense_stretch():
    ground = Ground("memory")
    prefix = ground.prefix("10.0.0.0/12")
    ground.use(prefix, range(1, USED + 1))
    settle()
    found, queries, peak = cross(Search(prefix))
    assert found == USED + 1
    assert queries <= QUERIES
    assert peak <= PEAK_BYTES


def test_children_ranges_and_the_gaps_between_them():
    search = behind_children(Ground("memory"), 0)
    settle()
    _, queries, peak = cross(search)
    assert queries <= QUERIES
    assert peak <= PEAK_BYTES
