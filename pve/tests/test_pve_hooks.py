"""Each hook sends one request with the specified method, path and body, and parses the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pve_nautobot import Client, FreeAddress
from pve_nautobot.errors import ConfigurationError, ProtocolError
from stub_server import ALLOCATION, BASE, FOUND, STATUS, SUBNET, StubServer

NET = f"{BASE}/subnets/10.0.0.0-24/"
NEXT = f"{NET}next-free-ip/"
MAC = "BC:24:11:00:00:01"

HOOKS: dict[str, tuple[Callable[[Client], Any], Any, str, str, Any]] = {
    "verify": (lambda c: c.verify(), STATUS, "GET", f"{BASE}/", None),
    "add_subnet": (
        lambda c: c.put_subnet(
            "10.0.0.0/24",
            "simple1",
            "vnet0",
            zone_type="simple",
            zone_dhcp="dnsmasq",
            vnet_alias="Büro",
            vnet_tag=20,
            gateway="10.0.0.1",
            dhcp_ranges=[("10.0.0.100", "10.0.0.150")],
            snat=True,
            dns_zone_prefix="dc1",
            adopt=True,
        ),
        SUBNET,
        "PUT",
        NET,
        {
            "zone": "simple1",
            "vnet": "vnet0",
            "zone_type": "simple",
            "zone_dhcp": "dnsmasq",
            "vnet_alias": "Büro",
            "vnet_tag": 20,
            "gateway": "10.0.0.1",
            "dhcp_ranges": [{"start": "10.0.0.100", "end": "10.0.0.150"}],
            "snat": True,
            "dns_zone_prefix": "dc1",
            "adopt": True,
        },
    ),
    "update_subnet leaves the rest unchanged": (
        lambda c: c.put_subnet("10.0.0.0-24", "simple1", "vnet0", snat=False),
        SUBNET,
        "PUT",
        NET,
        {"zone": "simple1", "vnet": "vnet0", "snat": False},
    ),
    "update_subnet clears values": (
        lambda c: c.put_subnet(
            "10.0.0.0-24",
            "z",
            "v",
            zone_dhcp=None,
            vnet_alias=None,
            vnet_tag=None,
            gateway=None,
            dhcp_ranges=[],
            dns_zone_prefix=None,
        ),
        SUBNET,
        "PUT",
        NET,
        {
            "zone": "z",
            "vnet": "v",
            "zone_dhcp": None,
            "vnet_alias": None,
            "vnet_tag": None,
            "gateway": None,
            "dhcp_ranges": [],
            "dns_zone_prefix": None,
        },
    ),
    "del_subnet": (
        lambda c: c.del_subnet("10.0.0.0/24", zone="simple1"),
        None,
        "DELETE",
        f"{NET}?zone=simple1",
        None,
    ),
    "add_next_freeip": (
        lambda c: c.next_free_ip("10.0.0.0/24", mac=MAC, hostname="web", vmid=100, zone="simple1"),
        ALLOCATION,
        "POST",
        NEXT,
        {"mac": MAC.lower(), "hostname": "web", "vmid": 100, "zone": "simple1"},
    ),
    "add_next_freeip without guest": (lambda c: c.next_free_ip("10.0.0.0/24"), ALLOCATION, "POST", NEXT, {}),
    "bounds": (
        lambda c: c.next_free_ip(
            "10.0.0.0/24",
            range_start="10.0.0.100",
            range_end="10.0.0.150",
            offset=3,
            exclude=["10.0.0.101", "10.0.0.120/30", "10.0.0.130-10.0.0.140"],
        ),
        ALLOCATION,
        "POST",
        NEXT,
        {
            "range_start": "10.0.0.100",
            "range_end": "10.0.0.150",
            "offset": 3,
            "exclude": ["10.0.0.101", "10.0.0.120/30", "10.0.0.130-10.0.0.140"],
        },
    ),
    "ranges in order": (
        lambda c: c.next_free_ip("10.0.0.0/24", ranges=[("10.0.0.50", "10.0.0.60"), ("10.0.0.5", "10.0.0.9")]),
        ALLOCATION,
        "POST",
        NEXT,
        {"ranges": [{"start": "10.0.0.50", "end": "10.0.0.60"}, {"start": "10.0.0.5", "end": "10.0.0.9"}]},
    ),
    "IPv6": (
        lambda c: c.next_free_ip("2001:DB8:10:0::/64", range_start="2001:db8:10::0:5"),
        {**ALLOCATION, "address": "2001:db8:10::5/64", "ip_version": 6},
        "POST",
        f"{BASE}/subnets/2001:db8:10::-64/next-free-ip/",
        {"range_start": "2001:db8:10::5"},
    ),
    "preview": (
        lambda c: c.preview(
            "10.0.0.0/24",
            range_start="10.0.0.5",
            range_end="10.0.0.9",
            offset=1,
            exclude=["10.0.0.6", "10.0.0.7"],
            limit=2,
        ),
        [{"address": "10.0.0.8/24", "ip_version": 4}],
        "GET",
        f"{NEXT}?range_start=10.0.0.5&range_end=10.0.0.9&offset=1&exclude=10.0.0.6&exclude=10.0.0.7&limit=2",
        None,
    ),
    "add_ip": (
        lambda c: c.add_ip("10.0.0.100", hostname="web", mac=MAC, vmid=100, zone="simple1"),
        ALLOCATION,
        "PUT",
        f"{BASE}/ips/10.0.0.100/",
        {
            "hostname": "web",
            "mac": MAC.lower(),
            "vmid": 100,
            "gateway": False,
            "zone": "simple1",
        },
    ),
    "gateway": (
        lambda c: c.add_ip("2001:db8::0:1", hostname="vnet0-gw", gateway=True),
        ALLOCATION,
        "PUT",
        f"{BASE}/ips/2001:db8::1/",
        {"hostname": "vnet0-gw", "gateway": True},
    ),
    "update_ip": (
        lambda c: c.update_ip("10.0.0.100", hostname="db", vmid=101, zone="simple1"),
        ALLOCATION,
        "PATCH",
        f"{BASE}/ips/10.0.0.100/",
        {"hostname": "db", "vmid": 101, "zone": "simple1"},
    ),
    "del_ip accepts the address that next_free_ip returns": (
        lambda c: c.del_ip("10.0.0.100/24", zone="simple1"),
        None,
        "DELETE",
        f"{BASE}/ips/10.0.0.100/?zone=simple1",
        None,
    ),
    "update_ip with a precondition": (
        lambda c: c.update_ip("10.0.0.100", mac="bc:24:11:00:00:02", zone="simple1", if_mac=MAC, if_vmid=100),
        ALLOCATION,
        "PATCH",
        f"{BASE}/ips/10.0.0.100/?mac=bc:24:11:00:00:01&vmid=100",
        {"mac": "bc:24:11:00:00:02", "zone": "simple1"},
    ),
    "del_ip with a precondition": (
        lambda c: c.del_ip("10.0.0.100", zone="simple1", if_mac=MAC, if_vmid=100),
        None,
        "DELETE",
        f"{BASE}/ips/10.0.0.100/?zone=simple1&mac=bc:24:11:00:00:01&vmid=100",
        None,
    ),
    "get_ips_from_mac": (
        lambda c: c.get_ips_from_mac("bc24.1100.0001", zone="simple1"),
        FOUND,
        "GET",
        f"{BASE}/ips/?mac=bc:24:11:00:00:01&zone=simple1",
        None,
    ),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_sends_one_request(server: StubServer, hook: str) -> None:
    call, answer, method, path, body = HOOKS[hook]
    server.answer(204) if answer is None else server.answer(200, answer)
    call(Client(server.url, "pve", "s3cret"))
    (request,) = server.requests
    assert (request.method, request.path, request.body) == (method, path, body)
    assert request.headers["authorization"] == "Token s3cret"


def test_the_cluster_is_sent_with_every_call_that_needs_it(server: StubServer) -> None:
    client = Client(server.url, "pve", "s3cret", cluster="dc1")
    for answer in (ALLOCATION, SUBNET, ALLOCATION, ALLOCATION, FOUND):
        server.answer(200, answer)
    server.answer(204)
    server.answer(204)
    server.answer(200, STATUS)
    client.next_free_ip("10.0.0.0/24")
    client.put_subnet("10.0.0.0/24", "z", "v")
    client.add_ip("10.0.0.5")
    client.update_ip("10.0.0.5", vmid=100)
    client.get_ips_from_mac(MAC)
    client.del_ip("10.0.0.5")
    client.del_subnet("10.0.0.0/24")
    client.verify()
    assert [request.body["cluster"] for request in server.requests[:4]] == ["dc1"] * 4
    assert all(request.path.endswith("cluster=dc1") for request in server.requests[4:])
    assert len(server.requests) == 8


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/"])
def test_root_url_and_api_root_are_equivalent(server: StubServer, suffix: str) -> None:
    server.answer(200, STATUS)
    Client(server.url + suffix, "pve", "s3cret").verify()
    assert server.requests[0].path == f"{BASE}/"


def test_a_namespace_is_a_single_path_segment(server: StubServer) -> None:
    server.answer(200, STATUS)
    Client(f"{server.url}/nautobot/api", "a/b ü?", "s3cret").verify()
    assert server.requests[0].path == "/nautobot/api/plugins/pve-ipam/namespaces/a%2Fb%20%C3%BC%3F/"


def test_responses_are_parsed(server: StubServer) -> None:
    client = Client(server.url, "pve", "s3cret")
    for status, answer in (
        (201, ALLOCATION),
        (200, ALLOCATION),
        (201, SUBNET),
        (200, FOUND),
        (200, {**STATUS, "ready": False, "missing": ["ipam.add_ipaddress"], "warning": "Was it renamed?"}),
        (200, [{"address": "10.0.0.8/24", "ip_version": 4}]),
    ):
        server.answer(status, answer)
    made, held = (client.next_free_ip("10.0.0.0/24", mac=MAC) for _ in range(2))
    assert (made.address, made.ip, made.mac, made.vmid, made.created) == (
        "10.0.0.100/24",
        "10.0.0.100",
        "bc:24:11:00:00:01",
        100,
        True,
    )
    assert not held.created
    subnet = client.put_subnet("10.0.0.0/24", "simple1", "vnet0")
    assert (subnet.prefix, subnet.gateway, subnet.dhcp_ranges, subnet.created) == (
        "10.0.0.0/24",
        "10.0.0.1",
        (("10.0.0.100", "10.0.0.150"),),
        True,
    )
    found = client.get_ips_from_mac(MAC)
    assert (found.ip4, found.ip6, [entry.vmid for entry in found.results]) == ("10.0.0.100", None, [100])
    status_now = client.verify()
    assert (status_now.ready, status_now.missing) == (False, ("ipam.add_ipaddress",))
    assert status_now.warning == "Was it renamed?"
    assert client.preview("10.0.0.0/24") == (FreeAddress("10.0.0.8/24", 4),)


@pytest.mark.parametrize(
    "answer",
    [
        {**ALLOCATION, "address": "0.0.0.0"},
        {**ALLOCATION, "address": "0.0.0.0/24"},
        {**ALLOCATION, "address": "10.0.0.100"},
        {**ALLOCATION, "address": None},
        {**ALLOCATION, "vmid": "100"},
        {},
        [ALLOCATION],
        None,
    ],
)
def test_an_invalid_allocation_is_rejected(server: StubServer, answer: Any) -> None:
    server.answer(200, answer)
    with pytest.raises(ProtocolError):
        Client(server.url, "pve", "s3cret").next_free_ip("10.0.0.0/24")
    assert len(server.requests) == 1


def test_a_204_is_not_an_allocation(server: StubServer) -> None:
    server.answer(204)
    with pytest.raises(ProtocolError):
        Client(server.url, "pve", "s3cret").next_free_ip("10.0.0.0/24")


INVALID: list[tuple[Callable[[Client], Any], tuple[str, ...]]] = [
    (lambda c: c.next_free_ip("10.0.0.0/24", mac="bc:24:11"), ("mac", "bc:24:11")),
    (lambda c: c.next_free_ip("10.0.0.0/24", mac="bc:24-11:00:00:01"), ("mac", "bc:24-11:00:00:01")),
    (lambda c: c.next_free_ip("10.0.0.0/24", vmid=99), ("vmid", "99")),
    (lambda c: c.next_free_ip("10.0.0.0/24", vmid=1_000_000_000), ("vmid", "1000000000")),
    (lambda c: c.next_free_ip("10.0.0.0/24", offset=-1), ("offset", "-1")),
    (lambda c: c.next_free_ip("10.0.0.0/24", exclude=["10.0.0"]), ("exclude", "10.0.0")),
    (lambda c: c.next_free_ip("10.0.0.0/24", exclude=["10.0.0.0/33"]), ("exclude", "10.0.0.0/33")),
    (
        lambda c: c.next_free_ip("10.0.0.0/24", range_start="10.0.0.9", range_end="10.0.0.5"),
        ("range", "10.0.0.9-10.0.0.5", "reversed"),
    ),
    (lambda c: c.next_free_ip("10.0.0.0/24", range_start="10.0.1.9"), ("range", "10.0.1.9")),
    (lambda c: c.next_free_ip("10.0.0.0/24", range_start="2001:db8::1"), ("range", "2001:db8::1")),
    (lambda c: c.next_free_ip("10.0.0.0/24", range_start="10.0.0.5/24"), ("range start", "10.0.0.5/24")),
    (
        lambda c: c.next_free_ip("10.0.0.0/24", range_start="10.0.0.5", ranges=[("10.0.0.5", "10.0.0.6")]),
        ("range_start", "ranges"),
    ),
    (lambda c: c.next_free_ip("10.0.0.1/24"), ("subnet", "10.0.0.1/24")),
    (lambda c: c.next_free_ip("10.0.0.0"), ("subnet", "10.0.0.0")),
    (lambda c: c.next_free_ip("10.0.0.0/255.255.255.0"), ("subnet", "10.0.0.0/255.255.255.0")),
    (lambda c: c.next_free_ip("fe80::%1/64"), ("subnet", "fe80::%1/64")),
    (lambda c: c.preview("10.0.0.0/24", limit=0), ("limit", "0")),
    (lambda c: c.add_ip("10.0.0.256"), ("ip", "10.0.0.256")),
    (lambda c: c.del_ip("10.0.0.5/33"), ("ip", "10.0.0.5/33")),
    (lambda c: c.del_ip("../namespaces"), ("ip", "../namespaces")),
    (lambda c: c.update_ip("10.0.0.5"), ("nothing to change",)),
    (lambda c: c.put_subnet("10.0.0.0/24", "z", "v", gateway="gw"), ("gateway", "gw")),
    (
        lambda c: c.put_subnet("10.0.0.0/24", "z", "v", dhcp_ranges=[("10.0.0.9", "10.0.0.5")]),
        ("dhcp_ranges", "10.0.0.9-10.0.0.5"),
    ),
    (lambda c: c.put_subnet("10.0.0.0/24", "z", "v", vnet_tag=0), ("vnet_tag", "0")),
    (lambda c: c.del_ip("10.0.0.5", if_mac="bc:24"), ("if_mac", "bc:24")),
    (lambda c: c.update_ip("10.0.0.5", hostname="web", if_vmid=99), ("if_vmid", "99")),
    (lambda c: c.get_ips_from_mac(""), ("mac", "''")),
]


@pytest.mark.parametrize(("call", "named"), INVALID)
def test_invalid_input_is_rejected_without_a_request(
    server: StubServer, call: Callable[[Client], Any], named: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call(Client(server.url, "pve", "s3cret"))
    assert all(word in str(caught.value) for word in named)
    assert server.requests == []


@pytest.mark.parametrize("spelling", ["bc:24:11:0a:00:01", "BC-24-11-0A-00-01", "bc24.110a.0001", "BC24110A0001"])
def test_common_mac_notations_are_normalized(server: StubServer, spelling: str) -> None:
    server.answer(200, ALLOCATION)
    Client(server.url, "pve", "s3cret").next_free_ip("10.0.0.0/24", mac=spelling)
    assert server.requests[0].body == {"mac": "bc:24:11:0a:00:01"}
