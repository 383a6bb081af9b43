"""Each hook and each call of PVE's stock plugin costs as much in a large network as in a small one."""

import pytest
from django.db import connection
from rest_framework.test import APIClient

from nautobot_pve_ipam.models import SDNVNet, SDNZone
from nautobot_pve_ipam.services.connect import connect_pve
from tests.api.hooks.stock_plugin import StockPlugin
from tests.crowd import BUSY, crowd
from tests.live import Answer
from tests.nightly import examples
from tests.search.plans import statements

pytestmark = pytest.mark.django_db

#: Subnets and allocations.
SMALL, LARGE = (1, 100), (200, examples(2_000, 50_000))
#: Rows that one statement of the App may read, entries of indexes included: one page of a search, and some.
ROWS = 100
API = "/api/plugins/pve-ipam"
NEW, BODY = "10.200.0.0-24", {"zone": "z", "vnet": "v", "gateway": "10.200.0.1", "zone_type": "simple"}
RANGE, OTHER = ({"start": f"10.200.0.{start}", "end": f"10.200.0.{start + 9}"} for start in (10, 30))
#: A guest that crowd() made, and its address.
KNOWN, ITS_IP = "02:00:00:00:00:07", "10.0.0.8"


def mac(number):
    return f"BC:24:11:00:00:{number:02X}"


def hooks():
    """One life of a subnet and its guests, and the same in a busy subnet: method, path, body, status."""
    guest = {"zone": "z", "hostname": "web1", "vmid": 101}
    yield "GET", "", None, 200
    yield "PUT", f"subnets/{NEW}/", {**BODY, "dhcp_ranges": [RANGE]}, 201
    yield "PUT", f"subnets/{NEW}/", {**BODY, "dhcp_ranges": [RANGE]}, 200
    yield "PUT", f"subnets/{NEW}/", {**BODY, "dhcp_ranges": [OTHER], "zone_type": "vlan"}, 200
    yield "PUT", f"subnets/{NEW}/", {**BODY, "dhcp_ranges": [OTHER]}, 200
    yield "PUT", "ips/10.200.0.1/", {"zone": "z", "gateway": True}, 201
    for subnet, free in ((NEW, "10.200.0.77"), (BUSY.replace("/", "-"), "10.0.255.77")):
        yield "POST", f"subnets/{subnet}/next-free-ip/", {**guest, "mac": mac(1)}, 201
        yield "POST", f"subnets/{subnet}/next-free-ip/", {**guest, "mac": mac(1)}, 200
        yield "PUT", f"ips/{free}/", {**guest, "mac": mac(2)}, 201
        yield "PUT", f"ips/{free}/", {**guest, "mac": mac(2)}, 200
        yield "PATCH", f"ips/{free}/", {"zone": "z", "hostname": "renamed", "mac": mac(3)}, 200
        yield "GET", f"ips/{free}/?zone=z", None, 200
        yield "GET", f"ips/?zone=z&mac={mac(1)}", None, 200
        yield "DELETE", f"subnets/{subnet}/?zone=z", None, 409
        yield "DELETE", f"ips/{free}/?zone=z", None, 204
        yield "DELETE", f"ips/{free}/?zone=z", None, 204
        yield "DELETE", "ips/{given}/?zone=z", None, 204
    yield "DELETE", f"subnets/{NEW}/?zone=z", None, 204
    yield "DELETE", f"subnets/{NEW}/?zone=z", None, 204
    yield "GET", f"ips/?zone=z&mac={KNOWN}", None, 200
    yield "GET", f"ips/{ITS_IP}/?zone=z", None, 200
    yield "PUT", f"ips/{ITS_IP}/", {"zone": "z", "mac": mac(9)}, 409


def play_hooks(client, namespace):
    """Yields what each call is, after it."""
    given = None
    for method, path, body, status in hooks():
        url = f"{API}/namespaces/{namespace}/{path.format(given=given)}"
        answer = client.generic(method, url, *encoded(client, body))
        assert answer.status_code == status, (method, path, answer.data)
        if "next-free-ip" in path:
            given = answer.data["address"].split("/")[0]
        yield f"{method} {path} {status}"


class InProcess(StockPlugin):
    """The plugin, with the Nautobot of this process."""

    def __init__(self, client, namespace):
        super().__init__(f"{API}/netbox/{namespace}", "")
        self._client = client

    def _send(self, method, path, body):
        answer = self._client.generic(method, self.url + path, *encoded(self._client, body))
        return Answer(answer.status_code, answer.reason_phrase, answer.headers, answer.data)


def encoded(client, body):
    return () if body is None else client._encode_data(body, format="json")


def play_facade(client, namespace):
    """All of the stock plugin's hooks, on a subnet of its own and on the busy one; yields each, after it."""
    plugin = InProcess(client, namespace)
    net = {"network": "10.200.0.0", "mask": 24, "cidr": "10.200.0.0/24", "gateway": "10.200.0.1"}
    busy = {"network": "10.0.0.0", "mask": 16, "cidr": BUSY, "gateway": "10.0.255.1"}
    guest = {"hostname": "guest", "description": f"mac:{mac(1)}"}
    one, other = (tuple(found.values()) for found in (RANGE, OTHER))
    for hook, arguments in (
        ("on_update_hook", {}),
        ("add_subnet", {**net, "ranges": [one]}),
        ("add_gateway", {"ip": net["gateway"], "mask": 24, "hostname": "vnet1-gw", "description": "gateway"}),
        ("update_subnet", {"removed": [one], "added": [other]}),
        ("add_range_next_freeip", {"start": other[0], "end": other[1], **guest}),
        ("get_ips_from_mac", {"mac": mac(1)}),
        ("update_ip", {"ip": other[0], "mask": 24, **guest, "hostname": "renamed"}),
        ("del_ip", {"ip": other[0]}),
        ("add_gateway", {"ip": busy["gateway"], "mask": 16, "hostname": "vnet1-gw", "description": "gateway"}),
        ("add_next_freeip", {**busy, **guest}),
        ("get_ips_from_mac", {"mac": mac(1)}),
        ("add_ip", {"ip": "10.0.255.9", "mask": 16, **guest, "description": f"mac:{mac(2)}"}),
        ("del_ip", {"ip": "10.0.255.9"}),
        ("get_ips_from_mac", {"mac": KNOWN}),
        ("del_ip", {"ip": busy["gateway"]}),
        ("del_subnet", {**net, "ranges": [other]}),
    ):
        result = plugin.play(hook, **arguments)
        yield f"{hook} {arguments}"
        if hook == "add_next_freeip":
            plugin.play("del_ip", ip=result)
            yield "del_ip of that"
    assert plugin._call("GET", f"/ipam/ip-addresses/?parent={BUSY}", None).status == 409
    yield "what keeps the busy subnet"


def cost(play, client, namespace, committed):
    """Each call, and its statements."""
    found = []
    calls = play(client, namespace)
    while True:
        with statements() as made, committed():
            call = next(calls, None)
        if call is None:
            return found
        found.append((call, made))


@pytest.fixture
def networks(committed):
    """A small and a large network: the names of their namespaces, with clients that have the tokens of their PVEs."""
    found = {}
    for name, size in (("small", SMALL), ("large", LARGE)):
        namespace = crowd(name, *size)
        # As a subnet before has left them.
        SDNVNet.objects.create(zone=SDNZone.objects.create(namespace=namespace, name="netbox"), name="vnet1")
        found[name] = APIClient()
        found[name].credentials(HTTP_AUTHORIZATION=f"token {connect_pve(name, f'pve-{name}').token}")
        with committed():  # sets the cursor
            found[name].get(f"{API}/namespaces/{name}/subnets/{BUSY.replace('/', '-')}/next-free-ip/")
    return found


@pytest.mark.parametrize("play", [play_hooks, play_facade])
def test_as_many_queries_and_few_rows(play, networks, committed):
    for name, client in networks.items():  # loads what is loaded once, and gives objects made in bulk a change log
        list(play(client, name))
    few, many = (cost(play, client, name, committed) for name, client in networks.items())
    assert [(call, len(made)) for call, made in few] == [(call, len(made)) for call, made in many]
    if connection.vendor == "mysql":  # it has other plans, and other ways to count
        return
    too_many = [(call, one.rows, one.sql) for call, made in many for one in made if one.is_ours and one.rows > ROWS]
    assert not too_many, "\n".join(map(str, too_many))
    assert sum(one.is_ours for _, made in many for one in made) > len(many)
