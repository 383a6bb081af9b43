"""Single addresses: data stored for a guest, the gateway's life cycle, lookup by MAC, and rejected input."""

import pytest

from tests.api.hooks.entry import NOTHING, dhcp, mac, refusal

S, V6 = "10.0.0.0-24", "2001:db8::-64"
GUEST = {"mac": mac(9), "vmid": 109, "hostname": "Web9"}


@pytest.fixture
def subnet(entry):
    """A namespace with one subnet and its registered gateway."""
    entry.made(entry.put_subnet(S, gateway="10.0.0.1", dhcp_ranges=dhcp("10.0.0.10..10.0.0.19")))
    entry.made(entry.put_ip("10.0.0.1", hostname="vnet0-gw", mac=mac(255), gateway=True))
    return entry


def test_an_address_is_held_with_everything_pve_knows(subnet):
    body = subnet.made(subnet.put_ip("10.0.0.9", **GUEST))
    shown = {
        key: body[key] for key in ("address", "ip_version", "namespace", "status", "type", "dns_name", "mac", "vmid")
    }
    assert shown == {
        "address": "10.0.0.9/24",
        "ip_version": 4,
        "namespace": subnet.name,
        "status": "Active",
        "type": "host",
        "dns_name": "web9",
        "mac": mac(9),
        "vmid": 109,
    }
    place = {key: body[key] for key in ("hostname", "is_gateway", "cluster", "zone", "vnet")}
    assert place == {"hostname": "Web9", "is_gateway": False, "cluster": None, "zone": "simple1", "vnet": "vnet0"}


def test_an_address_inside_a_dhcp_range_is_of_type_dhcp(subnet):
    assert subnet.made(subnet.put_ip("10.0.0.10", mac=mac(1)))["type"] == "dhcp"


@pytest.mark.parametrize("known", [{"mac": mac(9)}, {"vmid": 109}, {"hostname": "web9"}])
def test_the_same_guest_asks_again_with_changed_data(subnet, known):
    first = subnet.made(subnet.put_ip("10.0.0.9", **known))
    again = subnet.made(subnet.put_ip("10.0.0.9", **{**known, "hostname": "web9"}), 200)
    assert (again["id"], again["hostname"]) == (first["id"], "web9")


def test_an_anonymous_guest_is_the_same_anonymous_guest(subnet):
    subnet.made(subnet.put_ip("10.0.0.9"))
    assert subnet.put_ip("10.0.0.9").status == 200
    assert subnet.put_ip("10.0.0.9", hostname="web9").status == 409
    subnet.made(subnet.put_ip("10.0.0.8", mac=mac(8)))
    assert subnet.put_ip("10.0.0.8").status == 409


@pytest.mark.parametrize("other", [{"mac": mac(8), "vmid": 109}, {"vmid": 110}, {"hostname": "db9"}])
def test_another_guest_is_told_who_holds_it(subnet, other):
    subnet.made(subnet.put_ip("10.0.0.9", **(GUEST if "mac" in other else {**GUEST, "mac": None})))
    status, code, sentence = refusal(subnet.put_ip("10.0.0.9", **other))
    assert (status, code) == (409, "address_taken")
    assert "address 10.0.0.9/24 is held by guest Web9" in sentence


def test_a_guest_does_not_become_the_gateway_or_vice_versa(subnet):
    subnet.made(subnet.put_ip("10.0.0.9", **GUEST))
    assert refusal(subnet.put_ip("10.0.0.9", **GUEST, gateway=True))[:2] == (409, "address_taken")
    status, code, sentence = refusal(subnet.put_ip("10.0.0.1", mac=mac(255), hostname="vnet0-gw"))
    assert (status, code) == (409, "address_taken")
    assert "10.0.0.1/24 is held by a gateway" in sentence


def test_a_mac_holds_one_address_per_subnet_and_family(subnet):
    subnet.made(subnet.put_subnet(V6))
    subnet.made(subnet.put_ip("10.0.0.9", **GUEST))
    subnet.made(subnet.put_ip("2001:db8::9", **GUEST))
    status, code, sentence = refusal(subnet.put_ip("10.0.0.8", **GUEST))
    assert (status, code) == (409, "conflict")
    assert f"mac {mac(9)} already holds 10.0.0.9/24 in 10.0.0.0/24" in sentence


def test_the_mac_of_the_vnet_may_hold_several_gateways(subnet):
    """PVE registers the new gateway before it releases the old one, both with the vnet's MAC."""
    subnet.made(subnet.put_subnet(S, gateway="10.0.0.2"), 200)
    subnet.made(subnet.put_ip("10.0.0.2", hostname="vnet0-gw", mac=mac(255), gateway=True))
    assert subnet.delete_ip("10.0.0.1").status == 204
    assert list(subnet.held()["addresses"]) == ["10.0.0.2/24"]


def test_found_by_mac_only_in_its_zone(subnet):
    subnet.made(subnet.put_subnet(V6))
    for ip in ("10.0.0.9", "2001:db8::9"):
        subnet.made(subnet.put_ip(ip, **GUEST))
    for spelling in (mac(9), "bc-24-11-00-00-09", "bc2411000009", "bc24.1100.0009"):
        body = subnet.made(subnet.by_mac(spelling), 200)
        assert (body["ip4"], body["ip6"], len(body["results"])) == ("10.0.0.9", "2001:db8::9", 2)
    nothing = {"ip4": None, "ip6": None, "results": []}
    assert subnet.made(subnet.by_mac(mac(9), zone="simple2"), 200) == nothing
    assert subnet.made(subnet.by_mac(mac(255)), 200) == nothing, "a gateway is not a guest"
    subnet.delete_ip("10.0.0.9")
    assert subnet.made(subnet.by_mac(mac(9)), 200)["ip4"] is None


def test_an_address_changes_its_guest(subnet):
    subnet.made(subnet.put_ip("10.0.0.9", **GUEST))
    body = subnet.made(subnet.patch_ip("10.0.0.9", hostname="db9", mac=mac(10), vmid=110), 200)
    assert (body["hostname"], body["dns_name"], body["mac"], body["vmid"]) == ("db9", "db9", mac(10), 110)
    body = subnet.made(subnet.patch_ip("10.0.0.9", hostname=None, mac=None, vmid=None), 200)
    assert (body["hostname"], body["mac"], body["vmid"]) == ("db9", mac(10), 110)
    assert subnet.made(subnet.by_mac(mac(9)), 200)["ip4"] is None


def test_a_dns_name_set_by_a_person_is_kept(subnet):
    held = subnet.made(subnet.put_ip("10.0.0.9", **GUEST))
    subnet.live.request("PATCH", f"/api/ipam/ip-addresses/{held['id']}/", {"dns_name": "www.example.com"})
    body = subnet.made(subnet.patch_ip("10.0.0.9", hostname="db9"), 200)
    assert (body["hostname"], body["dns_name"]) == ("db9", "www.example.com")


def test_a_hostname_that_is_not_a_dns_name(subnet):
    body = subnet.made(subnet.put_ip("10.0.0.9", hostname="my guest (old)"))
    assert (body["hostname"], body["dns_name"]) == ("my guest (old)", "")


@pytest.mark.parametrize(
    ("subnet_id", "ip", "what"),
    [
        (S, "10.0.0.0", "the network address of 10.0.0.0/24"),
        (S, "10.0.0.255", "the broadcast address of 10.0.0.0/24"),
        (V6, "2001:db8::", "the anycast address of 2001:db8::/64"),
    ],
)
def test_addresses_that_hosts_may_not_use(entry, subnet_id, ip, what):
    entry.made(entry.put_subnet(subnet_id))
    for gateway in (False, True):
        status, code, sentence = refusal(entry.put_ip(ip, gateway=gateway))
        assert (status, code) == (400, "invalid")
        assert sentence == f"address {ip} is {what}"
    assert entry.held()["addresses"] == {}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"mac": "1"}, "mac 1 is not a MAC address"),
        ({"mac": "BC:24:11:00:00"}, "is not a MAC address"),
        ({"vmid": 99}, "vmid 99 is not between 100 and 999999999"),
        ({"vmid": 10**9}, "is not between 100 and 999999999"),
        ({"vmid": "many"}, "vmid many is not a whole number"),
        ({"hostname": "h" * 256}, "hostname"),
        ({"hostname": ["web"]}, "hostname"),
        ({"gateway": "perhaps"}, "gateway"),
        ({"zone": "ninechars"}, "'ninechars' is not a valid PVE ID"),
    ],
)
def test_bad_input_changes_nothing(subnet, body, sentence):
    before = subnet.held()
    for answer in (subnet.put_ip("10.0.0.9", **body), subnet.patch_ip("10.0.0.1", **body)):
        status, code, said = refusal(answer)
        assert (status, code) == (400, "invalid")
        assert sentence in said
    assert subnet.held() == before


@pytest.mark.parametrize("ip", ["10.0.0", "10.0.0.256", "gateway", "10.0.0.9-24", "1"])
def test_invalid_addresses(subnet, ip):
    for answer in (subnet.put_ip(ip), subnet.patch_ip(ip), subnet.delete_ip(ip)):
        status, code, sentence = refusal(answer)
        assert (status, code, sentence) == (400, "invalid", f"ip {ip} is not an IP address (no mask, no hostname)")


@pytest.mark.parametrize("ip", ["10.0.1.9", "2001:db8::9"])
def test_an_address_outside_every_subnet(subnet, ip):
    status, code, sentence = refusal(subnet.put_ip(ip))
    assert (status, code) == (404, "not_found")
    assert sentence == f"zone simple1 has no subnet containing address {ip}"
    assert subnet.delete_ip(ip).status == 204


def test_a_full_range_is_distinguished_from_a_full_subnet(subnet):
    bounds = {"range_start": "10.0.0.10", "range_end": "10.0.0.11"}
    for n in (1, 2):
        subnet.made(subnet.next_free_ip(S, mac=mac(n), **bounds))
    status, code, sentence = refusal(subnet.next_free_ip(S, mac=mac(3), **bounds))
    assert (status, code) == (409, "no_free_address")
    assert sentence.startswith("No free address in 10.0.0.10-10.0.0.11")
    assert subnet.made(subnet.next_free_ip(S, mac=mac(3)))["address"] == "10.0.0.2/24"


def test_the_subnet_is_deleted_once_its_guests_are_gone(subnet):
    for n in (1, 2):
        subnet.made(subnet.next_free_ip(S, mac=mac(n), range_start="10.0.0.10", range_end="10.0.0.19"))
    before = subnet.held()
    status, code, sentence = refusal(subnet.delete_subnet(S))
    assert (status, code) == (409, "subnet_not_empty")
    assert sentence.startswith("subnet 10.0.0.0/24 is not empty: a guest holds 10.0.0.1")
    assert subnet.held() == before
    for ip in ("10.0.0.10", "10.0.0.11"):
        assert subnet.delete_ip(ip).status == 204
    assert subnet.delete_subnet(S).status == 204
    assert subnet.held() == NOTHING


def test_a_subnet_of_another_zone_is_not_deleted(subnet):
    assert subnet.delete_subnet(S, zone="simple2").status == 204
    assert subnet.held()["prefixes"] == ["10.0.0.0/24"]
