"""The facade and several PVEs: in two namespaces, in one, or with two records of one prefix."""

import pytest

from tests.api.hooks.entry import NOTHING, mac
from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import PVE, RANGES


def test_the_namespace_is_in_the_path(pve, neighbour):
    other = PVE(neighbour)
    pve.add_subnet(RANGES)
    other.add_subnet(RANGES)
    assert [one.start_guest(1) for one in (pve, other)] == ["10.0.0.10", "10.0.0.10"]
    assert pve.plugin.play("get_ips_from_mac", mac=mac(1)) == ("10.0.0.10", None)
    pve.del_ip("10.0.0.10")
    pve.del_subnet(RANGES)
    assert pve.entry.held() == NOTHING
    assert list(neighbour.held()["addresses"]) == ["10.0.0.1/24", "10.0.0.10/24"]


def test_two_records_of_one_prefix(pve):
    """Made by hand: PVE cannot say which one it means."""
    pve.add_subnet(RANGES)
    (record,) = pve.entry.subnets()
    app = "/api/plugins/pve-ipam"
    zone = pve.entry.made(pve.entry.live.request("POST", f"{app}/zones/", {"name": "b", "namespace": pve.entry.id}))
    vnet = pve.entry.made(pve.entry.live.request("POST", f"{app}/vnets/", {"name": "b", "zone": zone["id"]}))
    twin = {"vnet": vnet["id"], "prefix": record["prefix"]["id"], "adopted": True}
    pve.entry.made(pve.entry.live.request("POST", f"{app}/subnets/", twin))
    sentence = f"409 this PVE has several subnets 10.0.0.0/24 in namespace {pve.entry.name}"
    gateway = {"address": "10.0.0.1/24", "description": "gateway", "dns_name": "vnet0-gw"}
    answer = pve.plugin._call("POST", "/ipam/ip-addresses/", gateway)
    assert f"{answer.status} {answer.reason}" == sentence
    for attempt in (pve.del_subnet, lambda: pve.add_ip("10.0.0.9", 9), lambda: pve.next(1)):
        with pytest.raises(Died, match=sentence):
            attempt()
    refused = pve.entry.call("DELETE", "subnets/10.0.0.0-24/")
    assert (refused.status, refused.reason) == (409, sentence[4:])
    assert pve.entry.call("DELETE", "subnets/10.0.0.0-24/?zone=b").status == 204
    pve.del_subnet(RANGES)
    assert pve.entry.held() == NOTHING


def test_two_clusters_in_one_namespace(entry):
    alpha, beta = PVE(entry, "alpha"), PVE(entry, "beta")
    for one in (alpha, beta):
        one.add_subnet(RANGES)
    assert [one.start_guest(1) for one in (alpha, beta)] == ["10.0.0.10", "10.0.0.11"]
    records = entry.subnets()
    assert [record["gateway"] for record in records] == ["10.0.0.1"] * 2
    assert len({record["vnet"]["id"] for record in records}) == 2
    assert beta.plugin.play("get_ips_from_mac", mac=mac(1)) == ("10.0.0.11", None)
    assert beta.del_ip("10.0.0.10") is None
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 is not empty: a guest holds 10.0.0.10/24"):
        alpha.del_subnet(RANGES)
    alpha.del_ip("10.0.0.10")
    alpha.del_subnet(RANGES)
    assert list(entry.held()["addresses"]) == ["10.0.0.1/24", "10.0.0.11/24"]
    beta.del_ip("10.0.0.11")
    beta.del_subnet(RANGES)
    assert entry.held() == NOTHING


def test_the_cluster_that_came_second_leaves_first(entry):
    alpha, beta = PVE(entry, "alpha"), PVE(entry, "beta")
    for one in (alpha, beta):
        one.add_subnet(RANGES)
    beta.del_subnet(RANGES)
    held = entry.held()
    assert list(held["addresses"]) == ["10.0.0.1/24"]
    assert len(held["ranges"]) == 2
    alpha.del_subnet(RANGES)
    assert entry.held() == NOTHING
