"""PVE never destroys what it did not make: prefixes, ranges and addresses of Nautobot's people."""

import pytest

from tests.api.hooks.entry import NOTHING, dhcp, mac, refusal

S = "10.0.0.0-24"
RANGES = {"dhcp_ranges": dhcp("10.0.0.10..10.0.0.19")}


def test_a_prefix_of_other_hands_is_adopted_only_when_asked(entry):
    entry.prefix("10.0.0.0/24", description="by hand")
    status, code, sentence = refusal(entry.put_subnet(S))
    assert (status, code) == (409, "conflict")
    assert "prefix 10.0.0.0/24 is in namespace" in sentence
    assert "adopt it to use it" in sentence
    assert entry.subnets() == []
    assert entry.made(entry.put_subnet(S, adopt=True, **RANGES))["adopted"] is True
    assert entry.put_subnet(S, **RANGES).status == 200, "once adopted it is ours to use"
    assert entry.delete_subnet(S).status == 204
    assert entry.held() == {"prefixes": ["10.0.0.0/24"], "ranges": [], "addresses": {}}
    assert entry.subnets() == []


def test_a_range_of_other_hands_is_adopted_only_when_asked(entry):
    entry.made(entry.put_subnet(S))
    entry.range("10.0.0.10", "10.0.0.19")
    status, code, sentence = refusal(entry.put_subnet(S, **RANGES))
    assert (status, code) == (409, "conflict")
    assert "10.0.0.10" in sentence
    assert "was not created by PVE" in sentence
    entry.made(entry.put_subnet(S, adopt=True, **RANGES), 200)
    entry.made(entry.put_subnet(S, dhcp_ranges=[]), 200)
    assert entry.held()["ranges"] == ["10.0.0.10..10.0.0.19"]


def test_a_range_that_overlaps_one_of_other_hands(entry):
    entry.made(entry.put_subnet(S))
    entry.range("10.0.0.15", "10.0.0.29")
    assert refusal(entry.put_subnet(S, adopt=True, **RANGES))[:2] == (409, "conflict")


@pytest.mark.parametrize("gateway", [False, True])
def test_an_address_of_other_hands_is_adopted_only_when_asked(entry, gateway):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.9/24", dns_name="by-hand")
    status, code, sentence = refusal(entry.put_ip("10.0.0.9", mac=mac(9), gateway=gateway))
    assert (status, code) == (409, "address_taken")
    assert "was not created by PVE" in sentence
    body = entry.made(entry.put_ip("10.0.0.9", mac=mac(9), hostname="web9", gateway=gateway, adopt=True), 200)
    assert (body["mac"], body["hostname"], body["dns_name"]) == (mac(9), "web9", "by-hand")
    assert entry.delete_ip("10.0.0.9").status == 204
    assert entry.held()["addresses"] == {"10.0.0.9/24": "nobody's"}


def test_an_address_of_nautobots_people_is_never_deleted(entry):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.9/24")
    for zone in ("simple1", "", "other"):
        status, code, sentence = refusal(entry.delete_ip("10.0.0.9", zone=zone))
        assert (status, code) == (409, "not_ours")
        assert "was not created by PVE" in sentence
    assert refusal(entry.patch_ip("10.0.0.9", hostname="mine"))[:2] == (404, "not_found")
    assert entry.held()["addresses"] == {"10.0.0.9/24": "nobody's"}


def test_the_next_free_address_steps_over_those_of_other_hands(entry):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.1/24")
    assert entry.made(entry.next_free_ip(S, mac=mac(1)))["address"] == "10.0.0.2/24"


def test_a_subnet_around_an_address_of_other_hands_is_not_deleted(entry):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.9/24")
    status, code, sentence = refusal(entry.delete_subnet(S))
    assert (status, code) == (409, "subnet_not_empty")
    assert "10.0.0.9/24, which this PVE did not create" in sentence
    assert entry.held()["prefixes"] == ["10.0.0.0/24"]


def test_an_adopted_prefix_lets_go_whatever_others_have_in_it(entry):
    entry.prefix("10.0.0.0/24")
    entry.address("10.0.0.9/24")
    entry.made(entry.put_subnet(S, adopt=True, gateway="10.0.0.1"))
    entry.made(entry.put_ip("10.0.0.1", gateway=True))
    assert entry.delete_subnet(S).status == 204
    assert entry.held() == {"prefixes": ["10.0.0.0/24"], "ranges": [], "addresses": {"10.0.0.9/24": "nobody's"}}


def test_what_people_hung_around_and_below_outlives_the_subnet(entry):
    entry.prefix("10.0.0.0/16", type="container")
    entry.made(entry.put_subnet(S))
    entry.prefix("10.0.0.64/26", type="pool")
    entry.range("10.0.0.200", "10.0.0.209")
    assert entry.delete_subnet(S).status == 204
    assert entry.held() == {
        "prefixes": ["10.0.0.0/16", "10.0.0.64/26"],
        "ranges": ["10.0.0.200..10.0.0.209"],
        "addresses": {},
    }


def test_a_range_of_other_hands_keeps_its_prefix(entry):
    """Without a prefix around, the range would have no place: the subnet stays until people have decided."""
    entry.made(entry.put_subnet(S))
    entry.range("10.0.0.200", "10.0.0.209")
    status, _code, sentence = refusal(entry.delete_subnet(S))
    assert status == 409
    assert "10.0.0.200" in sentence
    assert len(entry.subnets()) == 1


def test_deleting_in_nautobot_takes_our_records_along(entry):
    """An admin tidies up by hand; PVE's own deletion then finds nothing to do."""
    entry.made(entry.put_subnet(S, gateway="10.0.0.1", **RANGES))
    held = entry.made(entry.put_ip("10.0.0.9", mac=mac(9)))
    assert entry.live.request("DELETE", f"/api/ipam/ip-addresses/{held['id']}/").status == 204
    assert entry.made(entry.by_mac(mac(9)), 200)["results"] == []
    assert entry.delete_ip("10.0.0.9").status == 204
    (found,) = entry.live.request("GET", f"/api/ipam/ip-address-ranges/?namespace={entry.id}").body["results"]
    assert entry.live.request("DELETE", f"/api/ipam/ip-address-ranges/{found['id']}/").status == 204
    (prefix,) = entry.live.request("GET", f"/api/ipam/prefixes/?namespace={entry.id}").body["results"]
    assert entry.live.request("DELETE", f"/api/ipam/prefixes/{prefix['id']}/").status == 204
    assert entry.subnets() == []
    assert entry.delete_subnet(S).status == 204
    assert entry.held() == NOTHING
