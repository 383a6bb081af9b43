"""The facade, subnets: PVE adds, changes and deletes them, with their ranges and gateways."""

from dataclasses import replace

import pytest

from tests.api.hooks.entry import NOTHING
from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import PVE, RANGES


def test_a_subnet_inside_another_prefix_is_separate(pve):
    pve.entry.prefix("10.0.0.0/16", type="container")
    pve.add_subnet()
    pve.entry.prefix("10.0.0.0/8", type="container")
    assert pve.next(1) == "10.0.0.2"
    assert pve.addresses() == ["10.0.0.1/24", "10.0.0.2/24"]


def test_a_subnet_with_a_guest_and_no_gateway_is_not_empty(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.9", 9)
    pve.del_ip("10.0.0.1")
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 is not empty: a guest holds 10.0.0.9/24"):
        pve.del_subnet()
    assert pve.entry.held()["prefixes"] == ["10.0.0.0/24"]
    assert pve.addresses() == ["10.0.0.9/24"]


def test_the_prefix_is_not_deleted_whatever_the_plugin_believes(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.9", 9)
    (found,) = pve.plugin._call("GET", "/ipam/prefixes/?q=10.0.0.0", None).body["results"]
    answer = pve.plugin._call("DELETE", f"/ipam/prefixes/{found['id']}/", None)
    assert (answer.status, answer.body["code"]) == (409, "subnet_not_empty")


def test_what_keeps_the_subnet_is_found_before_its_gateway_is_deleted(pve):
    """An admin's address is no entry of PVE's."""
    pve.add_subnet(RANGES)
    pve.entry.address("10.0.0.200/24")
    before = pve.entry.held()
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 still holds 10.0.0.200/24, which this PVE did not create"):
        pve.del_subnet(RANGES)
    assert pve.entry.held() == before
    (record,) = pve.entry.subnets()
    assert record["gateway"] == "10.0.0.1"


def test_nothing_is_deleted_without_the_right_to_delete_the_subnet(limited):
    pve = PVE(limited)
    net = {"network": "10.99.0.0", "mask": 24, "cidr": "10.99.0.0/24"}
    pve.add_subnet(gateway=False, **net)
    pve.add_gateway("10.99.0.1")
    lacking = replace(pve.plugin, token=limited.without("ipam.delete_prefix"))
    with pytest.raises(Died, match=r"403 user .* lacks permission ipam.delete_prefix"):
        lacking.play("del_subnet", gateway="10.99.0.1", **net)
    assert "10.99.0.1/24" in list(limited.held()["addresses"])
    pve.plugin.play("del_subnet", gateway="10.99.0.1", **net)


@pytest.mark.parametrize("ranges", [RANGES, []], ids=["with ranges", "without"])
def test_a_subnet_without_gateway_is_deleted(pve, ranges):
    """The plugin would die when it deletes gateway None, so it must not find the subnet."""
    pve.add_subnet(ranges, gateway=False)
    assert pve.del_subnet(ranges, gateway=None) is None
    assert pve.entry.held() == NOTHING


def test_what_pve_did_not_create_in_it_is_kept(pve):
    pve.entry.prefix("10.0.0.0/16", type="container")
    pve.add_subnet(RANGES, gateway=False)
    pve.entry.address("10.0.0.200/24")
    pve.del_subnet(RANGES, gateway=None)
    assert pve.entry.held() == {"prefixes": ["10.0.0.0/16"], "ranges": [], "addresses": {"10.0.0.200/24": "nobody's"}}
    pve.add_subnet(RANGES)


def test_a_subnet_without_gateway_stays_where_an_address_would_lose_its_prefix(pve):
    pve.add_subnet(RANGES, gateway=False)
    pve.entry.address("10.0.0.200/24")
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 still holds 10.0.0.200/24"):
        pve.del_subnet(RANGES, gateway=None)
    assert pve.entry.held()["ranges"]


def test_only_a_real_look_up_deletes_it(pve):
    pve.add_subnet(RANGES, gateway=False)
    assert pve.plugin._call("HEAD", "/ipam/prefixes/?q=10.0.0.0", None).status == 200
    assert len(pve.entry.subnets()) == 1


def test_a_refused_range_leaves_nothing_and_the_retry_works(pve):
    pve.entry.prefix("10.0.0.0/8", type="container")
    blocker = pve.entry.range("10.0.0.15", "10.0.0.25")
    with pytest.raises(Died, match=r"409 dhcp_ranges 10.0.0.20-10.0.0.21"):
        pve.add_subnet([RANGES[1]])
    assert pve.entry.subnets() == []
    assert pve.entry.held()["prefixes"] == ["10.0.0.0/8"]
    with pytest.raises(Died, match=r"409"):
        pve.add_subnet(RANGES)
    assert pve.entry.live.request("DELETE", f"/api/ipam/ip-address-ranges/{blocker['id']}/").status == 204
    pve.add_subnet(RANGES)
    assert len(pve.entry.held()["ranges"]) == 2


@pytest.mark.parametrize(("hostname", "vnet"), [("vnet0-gw", "vnet0"), ("vnet0-gw.adm", "vnet0"), ("gate", "unknown")])
def test_the_vnet_is_taken_from_the_gateways_name(pve, hostname, vnet):
    pve.add_subnet(gateway=False)
    pve.add_gateway(hostname=hostname)
    body = pve.entry.made(pve.entry.put_ip("10.0.0.9", zone="netbox"))
    assert (body["zone"], body["vnet"]) == ("netbox", vnet)
    (record,) = pve.entry.subnets()
    assert record["gateway"] == "10.0.0.1"
    vnets = pve.entry.live.request("GET", f"/api/plugins/pve-ipam/vnets/?namespace={pve.entry.id}").body["results"]
    assert [item["name"] for item in vnets] == [vnet], "the placeholder is gone"


def test_one_guest_keeps_a_subnet_without_gateway(pve):
    pve.add_subnet(gateway=False)
    pve.add_ip("10.0.0.9", 9)
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 is not empty"):
        pve.del_subnet()
    assert pve.addresses() == ["10.0.0.9/24"]


def test_a_subnet_that_exists(pve):
    pve.add_subnet(RANGES)
    with pytest.raises(Died, match="already exists"):
        pve.add_subnet(RANGES)
    answer = pve.plugin._call("POST", "/ipam/prefixes/", {"prefix": "10.0.0.0/24"})
    assert (answer.status, answer.reason) == (409, f"subnet 10.0.0.0/24 already exists in namespace {pve.entry.name}")
