"""Database work of the stock plugin's hooks: as much in a large network as in a small one."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.ipam.models import IPAddress, Prefix
from rest_framework.test import APIClient

from nautobot_pve_ipam.models import Allocation, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.connect import connect_pve
from tests.api.hooks.stock_plugin import StockPlugin
from tests.live import Answer
from tests.nightly import examples
from tests.search.fill import Ground, settle
from tests.search.plans import steps

pytestmark = pytest.mark.django_db

SMALL, LARGE = (1, 100), (200, examples(5_000, 50_000))
#: Rows that one query may examine; also a page of the search for a free address, which is checked elsewhere.
ROWS = 64
NET = {"network": "10.200.0.0", "mask": 24, "cidr": "10.200.0.0/24", "gateway": "10.200.0.1"}
RANGE, OTHER = ("10.200.0.10", "10.200.0.20"), ("10.200.0.30", "10.200.0.40")
BUSY = {"network": "10.0.0.0", "mask": 16, "cidr": "10.0.0.0/16", "gateway": "10.0.0.1"}
OURS = re.compile(r"SELECT .*(nautobot_pve_ipam_|ipam_(ipaddress|prefix|ipaddressrange)\b)")
#: Core's own: it looks for the ranges and prefixes around what is saved.
CORE = re.compile(r"FROM .ipam_ipaddressrange. INNER JOIN|FROM .ipam_prefix. WHERE .*(LIMIT 1|network. <= )")


class InProcess(StockPlugin):
    """The plugin, with this process's Nautobot."""

    def __init__(self, namespace, client):
        super().__init__(f"/api/plugins/pve-ipam/netbox/{namespace}", "")
        self._client = client

    def _send(self, method, path, body):
        answer = self._client.generic(method, self.url + path, *self._encoded(body))
        return Answer(answer.status_code, answer.reason_phrase, answer.headers, answer.data)

    def _encoded(self, body):
        return () if body is None else self._client._encode_data(body, format="json")


def network(name, subnets, guests):
    """A namespace with a /16 full of guests, and further subnets."""
    ground = Ground(name)
    zone = SDNZone.objects.create(namespace=ground.namespace, name="netbox")
    vnet = SDNVNet.objects.create(zone=zone, name="vnet0")
    busy = ground.prefix(BUSY["cidr"])
    made = Prefix.objects.bulk_create(
        Prefix(prefix=f"10.{100 + n // 250}.{n % 250}.0/24", namespace=ground.namespace, status=ground.active)
        for n in range(subnets)
    )
    SDNSubnet.objects.bulk_create(SDNSubnet(vnet=vnet, prefix=prefix) for prefix in made)
    record = SDNSubnet.objects.create(vnet=vnet, prefix=busy)
    ground.use(busy, range(256, 256 + guests))
    Allocation.objects.bulk_create(
        Allocation(ip_address=address, subnet=record, mac=f"BC:24:11:{n >> 16:02X}:{n >> 8 & 255:02X}:{n & 255:02X}")
        for n, address in enumerate(IPAddress.objects.filter(parent=busy))
    )
    return ground


def play_all(plugin):
    """Every hook on a subnet of its own and on the busy one; yields its name after each."""
    gateway = {"ip": NET["gateway"], "mask": 24, "hostname": "vnet1-gw", "description": "gateway"}
    guest = {"hostname": "guest", "description": "mac:BC:24:12:00:00:01"}
    for hook, arguments in (
        ("on_update_hook", {}),
        ("add_subnet", {**NET, "ranges": [RANGE]}),
        ("add_gateway", gateway),
        ("update_subnet", {"removed": [RANGE], "added": [OTHER]}),
        ("add_range_next_freeip", {"start": OTHER[0], "end": OTHER[1], **guest}),
        ("get_ips_from_mac", {"mac": "BC:24:12:00:00:01"}),
        ("update_ip", {"ip": OTHER[0], "mask": 24, **guest, "hostname": "renamed"}),
        ("del_ip", {"ip": OTHER[0]}),
        ("add_next_freeip", {**BUSY, **guest}),
        ("del_ip", {"ip": "10.0.0.1"}),
        ("add_ip", {"ip": "10.0.0.9", "mask": 16, **guest}),
        ("del_ip", {"ip": "10.0.0.9"}),
        ("del_subnet", {**NET, "ranges": [OTHER]}),
    ):
        plugin.play(hook, **arguments)
        yield f"{hook} {arguments.get('cidr', arguments.get('ip', ''))}"
    assert plugin._call("GET", f"/ipam/ip-addresses/?parent={BUSY['cidr']}", None).status == 409
    yield "a look-up of what keeps the busy subnet"


@pytest.fixture(params=["superuser", "token of pve_ipam_connect"])
def client_of(request, api_client):
    def client_of(ground):
        if request.param == "superuser":
            return api_client
        client = APIClient()
        token = connect_pve(ground.namespace.name, f"pve-{ground.namespace.name}").token
        client.credentials(HTTP_AUTHORIZATION=f"token {token}")
        return client

    return client_of


def queries_of(ground, client):
    """Each hook, and the queries it made."""
    with CaptureQueriesContext(connection) as queries:
        done = 0
        for hook in play_all(InProcess(ground.namespace.name, client)):
            yield hook, queries.captured_queries[done:]
            done = len(queries.captured_queries)


def test_as_many_queries(client_of):
    warm, small, large = network("warm", 1, 1), network("small", *SMALL), network("large", *LARGE)
    settle()
    counts = [
        {hook: len(queries) for hook, queries in queries_of(ground, client_of(ground))}
        for ground in (warm, small, large)
    ]
    assert counts[2] == counts[1]


@pytest.mark.postgresql
def test_each_query_reads_few_rows_by_an_index(client_of):
    for number in range(5):
        network(f"elsewhere{number}", 400, 1000)
    ground = network("large", *LARGE)
    settle()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE nautobot_pve_ipam_sdnsubnet, nautobot_pve_ipam_allocation")
    read = [(hook, query["sql"]) for hook, queries in queries_of(ground, client_of(ground)) for query in queries]
    ours = {sql: hook for hook, sql in read if OURS.match(sql) and not CORE.search(sql)}
    assert len(ours) > 50
    too_many = [(hook, step, sql) for sql, hook in ours.items() for step in steps(sql) if step.rows > ROWS]
    assert not too_many, "\n".join(map(str, too_many))
