"""Subnets: stored data, DHCP ranges and changes to them, point-to-point subnets, and rejected input."""

import pytest

from tests.api.hooks.entry import NOTHING, dhcp, mac, refusal

S = "10.0.0.0-24"
V6 = "2001:db8::-64"


def test_the_response_shows_the_subnet_as_stored(entry):
    answer = entry.put_subnet(
        S,
        zone_type="vlan",
        gateway="10.0.0.1",
        dhcp_ranges=dhcp("10.0.0.10..10.0.0.19"),
        snat=True,
        dns_zone_prefix="adm",
    )
    body = dict(entry.made(answer))
    assert body.pop("url") == f"{entry.live.api}subnets/{body.pop('id')}/"
    assert body == {
        "subnet": S,
        "prefix": "10.0.0.0/24",
        "namespace": entry.name,
        "cluster": None,
        "zone": "simple1",
        "vnet": "vnet0",
        "gateway": "10.0.0.1",
        "dhcp_ranges": dhcp("10.0.0.10..10.0.0.19"),
        "snat": True,
        "dns_zone_prefix": "adm",
        "adopted": False,
    }
    assert entry.held() == {"prefixes": ["10.0.0.0/24"], "ranges": ["10.0.0.10..10.0.0.19"], "addresses": {}}


def test_the_core_objects_are_what_core_expects(entry):
    entry.made(entry.put_subnet(S, dhcp_ranges=dhcp("10.0.0.10..10.0.0.19")))
    (prefix,) = entry.live.request("GET", f"/api/ipam/prefixes/?namespace={entry.id}&depth=1").body["results"]
    assert (prefix["type"]["value"], prefix["status"]["name"]) == ("network", "Active")
    (found,) = entry.live.request("GET", f"/api/ipam/ip-address-ranges/?namespace={entry.id}&depth=1").body["results"]
    assert (found["role"]["name"], found["is_exclusive"], found["status"]["name"]) == ("DHCP", False, "Active")


def test_omitted_fields_are_kept_and_null_clears(entry):
    full = {"gateway": "10.0.0.1", "dhcp_ranges": dhcp("10.0.0.10..10.0.0.19"), "snat": True, "dns_zone_prefix": "adm"}
    before = entry.made(entry.put_subnet(S, zone_type="evpn", **full))
    assert entry.made(entry.put_subnet(S), 200) == before
    cleared = entry.made(
        entry.put_subnet(S, gateway=None, dhcp_ranges=None, snat=False, dns_zone_prefix=None, zone_type="simple"), 200
    )
    assert cleared == {**before, "gateway": None, "dhcp_ranges": [], "snat": False, "dns_zone_prefix": ""}
    assert entry.held()["ranges"] == []
    zones = entry.live.request("GET", f"/api/plugins/pve-ipam/zones/?namespace={entry.id}").body["results"]
    assert [zone["type"] for zone in zones] == ["simple"]


def test_ranges_are_compared_and_their_addresses_kept(entry):
    entry.made(entry.put_subnet(S, dhcp_ranges=dhcp("10.0.0.10..10.0.0.19", "10.0.0.30..10.0.0.39")))
    for last in (10, 15, 30):
        entry.made(entry.put_ip(f"10.0.0.{last}", mac=mac(last)))
    before = {item["start_host"]: item["id"] for item in ranges_of(entry)}
    wanted = ["10.0.0.10..10.0.0.12", "10.0.0.20..10.0.0.29", "10.0.0.30..10.0.0.39"]
    answer = entry.made(entry.put_subnet(S, dhcp_ranges=dhcp(*wanted[::-1])), 200)
    assert answer["dhcp_ranges"] == dhcp(*wanted)
    held = entry.held()
    assert held["ranges"] == wanted
    assert list(held["addresses"]) == ["10.0.0.10/24", "10.0.0.15/24", "10.0.0.30/24"]
    after = {item["start_host"]: item["id"] for item in ranges_of(entry)}
    assert after["10.0.0.30"] == before["10.0.0.30"], "an unchanged range is not recreated"


def ranges_of(entry):
    return entry.live.request("GET", f"/api/ipam/ip-address-ranges/?namespace={entry.id}").body["results"]


def test_ranges_of_an_ipv6_subnet_in_any_notation(entry):
    answer = entry.put_subnet(
        V6, gateway="2001:DB8:0::0001", dhcp_ranges=[{"start": "2001:db8::0a", "end": "2001:0db8::FF"}]
    )
    body = entry.made(answer)
    assert (body["gateway"], body["dhcp_ranges"]) == ("2001:db8::1", dhcp("2001:db8::a..2001:db8::ff"))
    body["dhcp_ranges"] = dhcp("2001:db8::a..2001:db8::ff")
    assert entry.put_subnet(V6, gateway="2001:db8::1", dhcp_ranges=body["dhcp_ranges"]).status == 200


@pytest.mark.parametrize(
    ("subnet", "ip", "gateway"),
    [("10.0.0.7-32", "10.0.0.7/32", "10.99.0.1"), ("2001:db8::7-128", "2001:db8::7/128", "fe80::1")],
)
def test_point_to_point_with_the_gateway_outside(entry, subnet, ip, gateway):
    assert entry.made(entry.put_subnet(subnet, gateway=gateway))["gateway"] == gateway
    assert entry.made(entry.next_free_ip(subnet, mac=mac(1)))["address"] == ip
    assert refusal(entry.next_free_ip(subnet, mac=mac(2)))[:2] == (409, "no_free_address")
    assert entry.made(entry.next_free_ip(subnet, mac=mac(1)), 200)["address"] == ip
    assert entry.delete_ip(ip.split("/")[0]).status == 204
    assert entry.delete_subnet(subnet).status == 204
    assert entry.held() == NOTHING


def test_the_gateway_may_be_the_only_address(entry):
    entry.made(entry.put_subnet("10.0.0.7-32", gateway="10.0.0.7"))
    entry.made(entry.put_ip("10.0.0.7", gateway=True))
    assert entry.delete_subnet("10.0.0.7-32").status == 204
    assert entry.held() == NOTHING


@pytest.mark.parametrize("subnet", ["10.0.0.0-31", "2001:db8::-127"])
def test_two_addresses_and_no_more(entry, subnet):
    entry.made(entry.put_subnet(subnet))
    first, second = (entry.made(entry.next_free_ip(subnet, mac=mac(n)))["address"] for n in (1, 2))
    assert [first[-4:], second[-4:]] == [subnet[-4:].replace("-", "/"), f"1{first[first.index('/') :]}"[-4:]]
    assert entry.next_free_ip(subnet, mac=mac(3)).status == 409


@pytest.mark.parametrize("other", ["10.0.0.0-25", "10.0.0.128-25", "10.0.0.0-16", S])
def test_subnets_of_a_namespace_never_overlap(entry, other):
    entry.made(entry.put_subnet(S))
    before = entry.held()
    status, code, sentence = refusal(entry.put_subnet(other, vnet="vnet1"))
    assert (status, code) == (409, "conflict")
    assert f"subnet {other.replace('-', '/')} overlaps 10.0.0.0/24 of vnet simple1/vnet0" in sentence
    assert refusal(entry.put_subnet(other, zone="simple2"))[:2] == (409, "conflict")
    assert entry.held() == before
    assert entry.put_subnet("10.0.1.0-24", vnet="vnet1").status == 201, "adjacent subnets are fine"


BAD_SUBNETS = [
    ("range outside", {"dhcp_ranges": dhcp("10.0.1.1..10.0.1.9")}, "dhcp_ranges 10.0.1.1-10.0.1.9 is outside"),
    ("range partly outside", {"dhcp_ranges": dhcp("10.0.0.250..10.0.1.9")}, "is outside 10.0.0.0/24"),
    ("range reversed", {"dhcp_ranges": dhcp("10.0.0.9..10.0.0.1")}, "10.0.0.9-10.0.0.1 ends before it starts"),
    ("ranges overlap", {"dhcp_ranges": dhcp("10.0.0.1..10.0.0.9", "10.0.0.9..10.0.0.20")}, "overlaps the one before"),
    ("the same range twice", {"dhcp_ranges": dhcp("10.0.0.1..10.0.0.9", "10.0.0.1..10.0.0.9")}, "overlaps"),
    ("range of the other family", {"dhcp_ranges": dhcp("::1..::9")}, "dhcp_ranges ::1 is IPv6, 10.0.0.0/24 is IPv4"),
    ("range without end", {"dhcp_ranges": [{"start": "10.0.0.1"}]}, "end"),
    ("range as text", {"dhcp_ranges": dhcp("first..last")}, "start first is not an IP address"),
    ("ranges as one string", {"dhcp_ranges": "10.0.0.1-10.0.0.9"}, "dhcp_ranges"),
    ("gateway outside", {"gateway": "10.0.1.1"}, "gateway 10.0.1.1 is not a usable address of 10.0.0.0/24"),
    ("gateway is the network", {"gateway": "10.0.0.0"}, "gateway 10.0.0.0 is not a usable address"),
    ("gateway is the broadcast", {"gateway": "10.0.0.255"}, "gateway 10.0.0.255 is not a usable address"),
    ("gateway of the other family", {"gateway": "2001:db8::1"}, "gateway 2001:db8::1 is IPv6"),
    ("gateway with a mask", {"gateway": "10.0.0.1/24"}, "gateway 10.0.0.1/24 is not an IP address"),
    ("zone of 9 characters", {"zone": "ninechars"}, "'ninechars' is not a valid PVE ID"),
    ("vnet of 9 characters", {"vnet": "ninechars"}, "'ninechars' is not a valid PVE ID"),
    ("zone with a hyphen", {"zone": "zone-1"}, "'zone-1' is not a valid PVE ID"),
    ("no zone", {"zone": None}, "zone"),
    ("no vnet", {"vnet": ""}, "vnet"),
    ("an unknown zone type", {"zone_type": "mesh"}, "mesh"),
    ("snat not a boolean", {"snat": "perhaps"}, "snat"),
    ("a long cluster name", {"cluster": "c" * 256}, "cluster"),
    ("a long dns prefix", {"dns_zone_prefix": "d" * 256}, "dns_zone_prefix"),
]


@pytest.mark.parametrize(("body", "sentence"), [pytest.param(*case[1:], id=case[0]) for case in BAD_SUBNETS])
def test_bad_input_changes_nothing(entry, body, sentence):
    status, code, said = refusal_of_field(entry.put_subnet(S, **body))
    assert (status, code) == (400, "invalid")
    assert sentence in said
    assert entry.held() == NOTHING
    entry.made(entry.put_subnet(S, gateway="10.0.0.1", dhcp_ranges=dhcp("10.0.0.10..10.0.0.19")))
    before = entry.subnets()
    assert entry.put_subnet(S, **body).status == 400
    assert entry.subnets() == before


def refusal_of_field(answer):
    assert answer.reason.isascii()
    return refusal(answer)


@pytest.mark.parametrize(
    ("subnet", "sentence"),
    [
        ("10.0.0.1-24", "subnet '10.0.0.1-24' has host bits set, the network is 10.0.0.0/24"),
        ("10.0.0.0-33", "subnet '10.0.0.0-33' is not of the form 10.0.0.0-24"),
        ("10.0.0-24", "is not of the form"),
        ("10.0.0.0", "is not of the form"),
        ("simple1-10.0.0.0-24", "is not of the form"),
        ("2001:db8::-129", "is not of the form"),
    ],
)
def test_invalid_subnets(entry, subnet, sentence):
    for answer in (entry.put_subnet(subnet), entry.delete_subnet(subnet), entry.next_free_ip(subnet)):
        status, code, said = refusal(answer)
        assert (status, code) == (400, "invalid")
        assert sentence in said


def test_a_subnet_of_another_vnet_is_not_deleted(entry):
    entry.made(entry.put_subnet(S))
    for vnet, left in (("vnet1", ["10.0.0.0/24"]), ("vnet0", [])):
        assert entry.call("DELETE", f"subnets/{S}/?zone=simple1&vnet={vnet}").status == 204
        assert entry.held()["prefixes"] == left


@pytest.mark.parametrize("body", [[], "text", 7, b"{", b"\xff\xfe", b'{"zone": "simple1", "vnet": "vnet\\u0000"}'])
def test_a_body_that_is_not_an_object(entry, body):
    answer = entry.live.request("PUT", f"namespaces/{entry.name}/subnets/{S}/", body)
    assert refusal(answer)[:2] == (400, "invalid")


def test_a_change_that_fails_late_is_rolled_back(entry):
    """The gateway, the flags and the first range are written before the second range turns out to be taken."""
    before = entry.made(entry.put_subnet(S, gateway="10.0.0.1", dhcp_ranges=dhcp("10.0.0.10..10.0.0.19")))
    entry.range("10.0.0.50", "10.0.0.59")
    wanted = dhcp("10.0.0.30..10.0.0.39", "10.0.0.55..10.0.0.69")
    answer = entry.put_subnet(S, gateway="10.0.0.2", snat=True, zone_type="vxlan", dhcp_ranges=wanted)
    status, code, sentence = refusal(answer)
    assert (status, code) == (409, "conflict")
    assert "dhcp_ranges 10.0.0.55-10.0.0.69 of 10.0.0.0/24" in sentence
    assert entry.made(entry.put_subnet(S), 200) == before
    assert entry.held()["ranges"] == ["10.0.0.10..10.0.0.19", "10.0.0.50..10.0.0.59"]
