"""The facade, addresses: of guests and gateways, named by PVE or the next free ones."""

import pytest

from tests.api.hooks.entry import mac
from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import RANGES


def test_deleting_an_absent_address_deletes_no_other(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.20", 20)
    assert pve.del_ip("10.0.0.2") is None
    assert pve.plugin.log[-1] == ("GET", "/ipam/ip-addresses/?q=10.0.0.2", 200)
    assert pve.addresses() == ["10.0.0.1/24", "10.0.0.20/24"]


def test_a_guest_holding_the_gateways_address_is_not_deleted_as_gateway(pve):
    """They were swapped: .1 is the subnet's gateway, but a guest holds it. Such data may be older than its refusal."""
    pve.add_subnet(gateway=False)
    pve.add_ip("10.0.0.1", 1)
    (record,) = pve.entry.subnets()
    pve.entry.live.manage(
        "from nautobot_pve_ipam.models import SDNSubnet\n"
        f"SDNSubnet.objects.filter(pk={record['id']!r}).update(gateway='10.0.0.1')"
    )
    with pytest.raises(Died, match=r"409 address 10.0.0.1/24 is not a gateway"):
        pve.del_ip("10.0.0.1")
    assert pve.addresses() == ["10.0.0.1/24"]


def test_an_existing_gateway_is_registered_again(pve):
    pve.add_subnet()
    pve.add_gateway()
    answer = pve.plugin._call("GET", "/ipam/ip-addresses/?q=10.0.0.1", None)
    assert [entry["description"] for entry in answer.body["data"]] == ["gateway"]
    assert answer.body["data"] == answer.body["results"]


def test_the_plugins_check_does_not_take_a_guest_for_a_gateway(pve):
    pve.add_subnet(gateway=False)
    pve.add_ip("10.0.0.1", 1)
    with pytest.raises(Died, match="is not a gateway"):
        pve.add_gateway()


def test_addresses_from_a_range_get_the_subnets_length(pve):
    pve.add_subnet(RANGES)
    assert pve.next_in(RANGES[0], 1) == "10.0.0.10"
    assert pve.addresses() == ["10.0.0.1/24", "10.0.0.10/24"]


def test_a_call_without_a_mac(pve):
    pve.add_subnet(RANGES)
    assert pve.next_in(RANGES[0], 1, description=None) == "10.0.0.10"
    assert pve.plugin.play("add_ip", ip="10.0.0.9", mask=24, hostname=None, description=None) is True
    assert pve.addresses() == ["10.0.0.1/24", "10.0.0.9/24", "10.0.0.10/24"]


def test_after_a_full_range_pve_tries_the_next(pve):
    pve.add_subnet(RANGES)
    assert [pve.start_guest(n) for n in (1, 2, 3, 4)] == ["10.0.0.10", "10.0.0.11", "10.0.0.20", "10.0.0.21"]
    assert pve.plugin.log[-3][2] == 204
    with pytest.raises(Died, match=r"409 No free address in 10.0.0.10-10.0.0.11"):
        pve.start_guest(5)


def test_a_mac_that_holds_an_address_of_the_subnet_gets_it_again(pve):
    pve.add_subnet(RANGES)
    assert [pve.start_guest(1), pve.start_guest(1), pve.next_in(RANGES[1], 1), pve.next(1)] == ["10.0.0.10"] * 4
    assert pve.addresses() == ["10.0.0.1/24", "10.0.0.10/24"]


def test_a_late_request_finds_nothing(pve):
    """An ID names the allocation: the address may be the next guest's by now."""
    pve.add_subnet(RANGES)
    pve.start_guest(1)
    (late,) = pve.plugin._call("GET", "/ipam/ip-addresses/?q=10.0.0.10", None).body["results"]
    pve.del_ip("10.0.0.10")
    assert pve.start_guest(2) == "10.0.0.10"
    for method in ("DELETE", "PATCH"):
        body = {"description": f"mac:{mac(1)}"} if method == "PATCH" else None
        assert pve.plugin._call(method, f"/ipam/ip-addresses/{late['id']}/", body).status == 404
    assert pve.entry.held()["addresses"]["10.0.0.10/24"] == {"mac": mac(2), "hostname": "guest2"}


def test_an_address_is_changed(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.9", 9)
    pve.plugin.play("update_ip", ip="10.0.0.9", mask=24, hostname="renamed", description=f"mac:{mac(8)}")
    assert pve.entry.held()["addresses"]["10.0.0.9/24"] == {"mac": mac(8), "hostname": "renamed"}
    with pytest.raises(Died, match="no id"):
        pve.plugin.play("update_ip", ip="10.0.0.8", mask=24, hostname="nobody", description=None)


def test_an_address_that_is_taken(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.9", 9)
    with pytest.raises(Died, match=r"409 address 10.0.0.9/24 is held by guest guest9 with MAC"):
        pve.add_ip("10.0.0.9", 8)
    pve.entry.address("10.0.0.8/24")
    with pytest.raises(Died, match=r"409 address 10.0.0.8/24 was not created by PVE"):
        pve.add_ip("10.0.0.8", 8)
    assert pve.del_ip("10.0.0.8") is None, "what PVE did not create is not found"


def test_a_gateway_is_removed(pve):
    pve.add_subnet()
    pve.del_ip("10.0.0.1")
    (record,) = pve.entry.subnets()
    assert (record["gateway"], pve.addresses()) == (None, [])
