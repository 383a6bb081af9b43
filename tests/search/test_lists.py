"""Many addresses in one call take a few queries each."""

from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from nautobot_pve_ipam.services.locks import MANY
from tests.networks import Network
from tests.search.fill import Ground

pytestmark = pytest.mark.django_db

#: A savepoint and its release, core's checks for an exclusive range and a duplicate, the inserts of address and
#: allocation.
QUERIES_PER_ADDRESS = 6
#: MySQL's locks are taken and released one by one.
LOCK_QUERIES = {"postgresql": 0, "mysql": 2}
#: Queries for each further window of the search: children, ranges, addresses, locks, enclosing prefixes.
QUERIES_PER_WINDOW = 6


def post(client, prefix, bodies):
    answer = client.post(f"/api/plugins/pve-ipam/prefixes/{prefix.pk}/next-free-ip/", bodies, format="json")
    assert answer.status_code == 201, answer.json()
    return answer.json()


def guests(count):
    return [{"vmid": 100 + number, "hostname": f"guest{number}"} for number in range(count)]


def test_each_further_address_costs_a_few_queries(api_client):
    prefix = Ground("lists").prefix("10.0.0.0/16")
    post(api_client, prefix, guests(2))
    counts = []
    for size in (8, 16, 256):
        with CaptureQueriesContext(connection) as queries:
            post(api_client, prefix, guests(size))
        counts.append((size, len(queries)))
    for (few, for_few), (many, for_many) in pairwise(counts):
        each = QUERIES_PER_ADDRESS + LOCK_QUERIES[connection.vendor]
        assert for_many - for_few <= each * (many - few) + QUERIES_PER_WINDOW, counts


@pytest.mark.postgresql
@pytest.mark.parametrize("size", [MANY, MANY + 1, 150])
def test_a_list_holds_few_locks_however_long(size, api_client):
    """All connections of a server share room for some thousand locks."""
    prefix = Ground("locks").prefix("10.0.0.0/16")
    made = post(api_client, prefix, [{"mac": f"BC:24:11:00:00:{number:02X}"} for number in range(size)])
    assert len({item["mac"] for item in made}) == size
    with connection.cursor() as cursor:  # still the transaction of this test
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        (locks,) = cursor.fetchone()
    assert locks <= (2 * MANY + 3 if size <= MANY else 3)  # one on the prefix


def test_a_webhook_is_fired_for_each(live):
    """Uses the live Nautobot, whose task queue can be read."""
    network = Network(live)
    network.prefix("10.0.0.0/24")
    webhook = live.request(
        "POST",
        "/api/extras/webhooks/",
        {
            "name": network.name,
            "content_types": ["ipam.ipaddress", "nautobot_pve_ipam.allocation"],
            "type_create": True,
            "payload_url": "https://hook.example.com/",
            "http_method": "POST",
            "enabled": True,
        },
    ).body
    made = network.post("10.0.0.0-24", guests(40)).body
    live.request("DELETE", f"/api/extras/webhooks/{webhook['id']}/")
    fired = [arguments[1] for name, arguments in live.queued_tasks() if arguments and arguments[0] == webhook["id"]]
    assert len(fired) == 2 * 40
    assert {data["id"] for data in fired} >= {item["id"] for item in made}
