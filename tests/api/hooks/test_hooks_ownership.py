"""PVE never destroys what it did not create: prefixes, ranges and addresses that Nautobot users created."""

import pytest

from tests.api.hooks.entry import NOTHING, dhcp, mac, refusal

S = "10.0.0.0-24"
RANGES = {"dhcp_ranges": dhcp("10.0.0.10..10.0.0.19")}


def test_an_existing_prefix_is_adopted_only_on_request(entry):
    entry.prefix("10.0.0.0/24", description="by hand")
    status, code, sentence = refusal(entry.put_subnet(S))
    assert (status, code) == (409, "conflict")
    assert "prefix 10.0.0.0/24 already exists in namespace" in sentence
    assert "adopt it to use it" in sentence
    assert entry.subnets() == []
    assert entry.made(entry.put_subnet(S, adopt=True, **RANGES))["adopted"] is True
    assert entry.put_subnet(S, **RANGES).status == 200, "once adopted, we may use it"
    assert entry.delete_subnet(S).status == 204
    assert entry.held() == {"prefixes": ["10.0.0.0/24"], "ranges": [], "addresses": {}}
    assert entry.subnets() == []


def test_an_existing_range_is_adopted_only_on_request(entry):
    entry.made(entry.put_subnet(S))
    entry.range("10.0.0.10", "10.0.0.19")
    status, code, sentence = refusal(entry.put_subnet(S, **RANGES))
    assert (status, code) == (409, "conflict")
    assert "10.0.0.10" in sentence
    assert "was not created by PVE" in sentence
    entry.made(entry.put_subnet(S, adopt=True, **RANGES), 200)
    entry.made(entry.put_subnet(S, dhcp_ranges=[]), 200)
    assert entry.held()["ranges"] == ["10.0.0.10..10.0.0.19"]


def test_a_range_that_overlaps_an_existing_one(entry):
    entry.made(entry.put_subnet(S))
    entry.range("10.0.0.15", "10.0.0.29")
    assert refusal(entry.put_subnet(S, adopt=True, **RANGES))[:2] == (409, "conflict")


@pytest.mark.parametrize("gateway", [False, True])
def test_an_existing_address_is_adopted_only_on_request(entry, gateway):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.9/24", dns_name="by-hand")
    status, code, sentence = refusal(entry.put_ip("10.0.0.9", mac=mac(9), gateway=gateway))
    assert (status, code) == (409, "address_taken")
    assert "was not created by PVE" in sentence
    body = entry.made(entry.put_ip("10.0.0.9", mac=mac(9), hostname="web9", gateway=gateway, adopt=True), 200)
    assert (body["mac"], body["hostname"], body["dns_name"]) == (mac(9), "web9", "by-hand")
    assert entry.delete_ip("10.0.0.9").status == 204
    assert entry.held()["addresses"] == {"10.0.0.9/24": "nobody's"}


def test_an_address_created_by_nautobot_users_is_never_deleted(entry):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.9/24")
    for zone in ("simple1", "", "other"):
        status, code, sentence = refusal(entry.delete_ip("10.0.0.9", zone=zone))
        assert (status, code) == (409, "not_ours")
        assert "was not created by PVE" in sentence
    assert refusal(entry.patch_ip("10.0.0.9", hostname="mine"))[:2] == (404, "not_found")
    assert entry.held()["addresses"] == {"10.0.0.9/24": "nobody's"}


def test_the_next_free_address_skips_existing_addresses(entry):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.1/24")
    assert entry.made(entry.next_free_ip(S, mac=mac(1)))["address"] == "10.0.0.2/24"


def test_a_subnet_containing_a_foreign_address_is_not_deleted(entry):
    entry.made(entry.put_subnet(S))
    entry.address("10.0.0.9/24")
    status, code, sentence = refusal(entry.delete_subnet(S))
    assert (status, code) == (409, "subnet_not_empty")
    assert "10.0.0.9/24, which this PVE did not create" in sentence
    assert entry.held()["prefixes"] == ["10.0.0.0/24"]


def test_an_adopted_prefix_is_released_whatever_else_it_contains(entry):
    entry.prefix("10.0.0.0/24")
    entry.address("10.0.0.9/24")
    entry.made(entry.put_subnet(S, adopt=True, gateway="10.0.0.1"))
    entry.made(entry.put_ip("10.0.0.1", gateway=True))
    assert entry.delete_subnet(S).status == 204
    assert entry.held() == {"prefixes": ["10.0.0.0/24"], "ranges": [], "addresses": {"10.0.0.9/24": "nobody's"}}


def test_parent_and_child_prefixes_outlive_the_subnet(entry):
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


def test_an_existing_range_keeps_its_prefix(entry):
    """The range needs a parent prefix, so the subnet stays until a person decides what to do."""
    entry.made(entry.put_subnet(S))
    entry.range("10.0.0.200", "10.0.0.209")
    status, _code, sentence = refusal(entry.delete_subnet(S))
    assert status == 409
    assert "10.0.0.200" in sentence
    assert len(entry.subnets()) == 1


def test_deleting_in_nautobot_deletes_our_records(entry):
    """After an admin has cleaned up manually, PVE's own deletion finds nothing to do."""
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
