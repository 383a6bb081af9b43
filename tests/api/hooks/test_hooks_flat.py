"""What each hook asks of the database does not depend on how many subnets and allocations there are."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.crowd import crowd
from tests.nightly import examples
from tests.search.plans import steps

pytestmark = pytest.mark.django_db

#: Subnets and allocations of the namespace.
SMALL, LARGE = (1, 100), (examples(300, 1000), examples(5_000, 50_000))
#: Rows of a table that one query may examine, and how the names of tables begin that grow.
MOST_ROWS = 100
GROWING = ("ipam_", "nautobot_pve_ipam_", "extras_objectchange")
#: Core's clean() of an address looks for its parent among all prefixes that start before it.
CORE = re.compile(r"FROM .ipam_prefix. WHERE .*.prefix_length. DESC LIMIT 1$")
GUEST = {"mac": "BC:24:11:00:00:01", "vmid": 100, "hostname": "web1", "zone": "z"}
BOUNDS = {"range_start": "10.0.250.0", "range_end": "10.0.250.99"}

#: One life of a network and a guest: method, what is asked, body or query, expected status.
CALLS = (
    ("GET", "", {}, 200),
    ("PUT", "subnets/10.0.0.0-16/", {"zone": "z", "vnet": "v"}, 200),
    ("PUT", "subnets/10.255.0.0-24/", {"zone": "z", "vnet": "v", "gateway": "10.255.0.1"}, 201),
    ("PUT", "ips/10.255.0.1/", {"gateway": True, "zone": "z"}, 201),
    (
        "PUT",
        "subnets/10.255.0.0-24/",
        {"zone": "z", "vnet": "v", "dhcp_ranges": [{"start": "10.255.0.100", "end": "10.255.0.199"}]},
        200,
    ),
    ("GET", "subnets/10.0.0.0-16/next-free-ip/", BOUNDS, 200),
    ("POST", "subnets/10.0.0.0-16/next-free-ip/", BOUNDS | GUEST, 201),
    ("POST", "subnets/10.0.0.0-16/next-free-ip/", BOUNDS | GUEST, 200),
    ("GET", "ips/", {"mac": GUEST["mac"], "zone": "z"}, 200),
    ("GET", "ips/10.0.250.0/", {"zone": "z"}, 200),
    ("PUT", "ips/10.0.250.0/", GUEST, 200),
    ("PATCH", "ips/10.0.250.0/", {"zone": "z", "hostname": "web2"}, 200),
    ("DELETE", "ips/10.0.250.0/", {"zone": "z"}, 204),
    ("DELETE", "ips/10.0.250.0/", {"zone": "z"}, 204),
    ("PUT", "ips/10.0.251.0/", GUEST, 201),
    ("PUT", "ips/10.0.252.0/", GUEST, 409),
    ("DELETE", "subnets/10.0.0.0-16/", {"zone": "z"}, 409),
    ("DELETE", "subnets/10.255.0.0-24/", {"zone": "z"}, 204),
)


def ask(client, namespace, method, path, data, status):
    url = f"/api/plugins/pve-ipam/namespaces/{namespace.name}/{path}"
    with CaptureQueriesContext(connection) as queries:
        answer = getattr(client, method.lower())(url, data, **({} if method == "GET" else {"format": "json"}))
    assert answer.status_code == status, (method, path, answer.content)
    return [query["sql"] for query in queries]


@pytest.mark.postgresql
def test_each_asks_as_many_queries_that_read_as_few_rows(api_client):
    first, small, large = (crowd(name, *size) for name, size in (("first", (1, 1)), ("small", SMALL), ("large", LARGE)))
    grown = []
    for number, call in enumerate(CALLS):
        ask(api_client, first, *call)  # what is looked up once per process
        few, many = ask(api_client, small, *call), ask(api_client, large, *call)
        if len(few) != len(many):
            grown.append((number, *call[:2], f"{len(few)} queries, then {len(many)}"))
        for sql in many:
            if sql.startswith("SELECT") and not CORE.search(sql):
                read = max((step.rows for step in steps(sql) if step.table.startswith(GROWING)), default=0)
                if read > MOST_ROWS:
                    grown.append((number, *call[:2], f"{read} rows", sql))
    assert not grown, "\n".join(map(str, grown))
