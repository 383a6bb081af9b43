"""Database work per request: a constant number of queries, each using an index and reading few rows."""

import os
import re
from contextlib import closing

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from development.databases import connect
from nautobot_pve_ipam.search.intervals import addresses, to_text
from nautobot_pve_ipam.search.occupancy import PAGE
from nautobot_pve_ipam.search.search import Search
from tests.nightly import examples
from tests.search import shapes
from tests.search.fill import Ground, settle
from tests.search.plans import rows_read, steps

pytestmark = pytest.mark.django_db

SIZES = (0, 1000, examples(5_000, 20_000))
#: Rows that one query may examine: a page of children or addresses, and some duplicates in other namespaces.
ROWS = 4 * PAGE
TWINS = 3
READS = re.compile(r"\(?SELECT .*ipam_(ipaddress|prefix|ipaddressrange)\b")
#: Core's own: IPAddress.clean() looks for an exclusive range around the address and reads all that start before it; on
#: MariaDB, it reads as many rows to find the address's parent if that is a pool.
CORE = re.compile(
    r"FROM .ipam_ipaddressrange. INNER JOIN .* LIMIT 1$|FROM `ipam_prefix` .*`prefix_length` DESC LIMIT 1$"
)
TABLES = {"ipam_ipaddress", "ipam_prefix", "ipam_ipaddressrange"}


@pytest.fixture
def no_leftovers(django_db_setup):
    """Indexes still contain rows rolled back by earlier tests; vacuum outside of the test's transaction."""
    with closing(connect(os.environ["NAUTOBOT_PVE_IPAM_DATABASE"])) as other:
        other.cursor().execute("VACUUM ipam_ipaddress, ipam_prefix, ipam_ipaddressrange")


def ask(client, method, search):
    """The next-free-IP call that makes this search."""
    version = search.prefix.ip_version
    bounds = [{"start": to_text(start, version), "end": to_text(end, version)} for start, end in search.bounds]
    url = f"/api/plugins/pve-ipam/prefixes/{search.prefix.pk}/next-free-ip/"
    if method == "GET":
        query = {"range_start": bounds[0]["start"], "range_end": bounds[0]["end"]} if bounds else {}
        return client.get(url, query)
    return client.post(url, {"ranges": bounds} if bounds else {}, format="json")


def lowest(search):
    return next(addresses(search.free()))


@pytest.mark.parametrize("shape", shapes.ALL, ids=lambda shape: shape.__name__)
def test_the_number_of_queries_does_not_depend_on_used_addresses(shape, api_client, committed):
    first = Search(Ground("the first request fills Nautobot's caches").prefix("10.0.0.0/24"))
    counts = {"GET": [], "POST": []}
    for method in counts:
        ask(api_client, method, first)
    for used in SIZES:
        search = shape(Ground(f"{shape.__name__} {used}"), used)
        settle()
        with committed():
            lowest(search)  # sets the cursor
        for method, seen in counts.items():
            with CaptureQueriesContext(connection) as queries:
                assert ask(api_client, method, search).status_code in (200, 201)
            seen.append(len(queries))
    for method, seen in counts.items():
        assert len(set(seen)) == 1, f"{method} at {SIZES} used: {seen} queries"


@pytest.fixture(params=shapes.ALL, ids=lambda shape: shape.__name__)
def crowded(request, committed):
    """A search whose cursor is set, with similar data in other namespaces."""
    shape = request.param
    for number in range(TWINS):
        shape(Ground(f"the same in another namespace {number}"), 2000)
    shapes.elsewhere(Ground("another namespace"))
    search = shape(Ground(shape.__name__), SIZES[-1])
    settle()
    with committed():
        lowest(search)
    return search


def is_ours(sql):
    return READS.match(sql) and not CORE.search(sql)


@pytest.mark.postgresql
@pytest.mark.usefixtures("no_leftovers")
def test_each_query_reads_few_rows_by_an_index(crowded, api_client):
    with CaptureQueriesContext(connection) as queries:
        ask(api_client, "POST", crowded)
    ours = [query["sql"] for query in queries if is_ours(query["sql"])]
    assert len(ours) > 5
    for sql in ours:
        for step in steps(sql):
            if step.table in TABLES:
                assert step.kind != "Seq Scan", (step, sql)
            assert step.rows <= ROWS, (step, sql)


@pytest.mark.mariadb
def test_each_query_reads_few_rows(crowded, api_client):
    """As counted by MariaDB: rows requested from tables and their indexes."""
    ours = []

    def note(execute, sql, *rest):
        before = rows_read()
        try:
            return execute(sql, *rest)
        finally:
            if is_ours(sql):
                ours.append((rows_read() - before - reads_of_asking, sql))

    first = rows_read()
    reads_of_asking = rows_read() - first
    with connection.execute_wrapper(note):
        ask(api_client, "POST", crowded)
    assert len(ours) > 5
    for rows, sql in ours:
        assert rows <= ROWS, (rows, sql)
