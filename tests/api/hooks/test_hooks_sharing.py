"""Two namespaces with the same prefix, and two clusters sharing a prefix in one namespace, do not interfere."""

import pytest

from tests.api.hooks.entry import NOTHING, Entry, dhcp, mac, refusal

S = "10.0.0.0-24"
SUBNET = {"gateway": "10.0.0.1", "dhcp_ranges": dhcp("10.0.0.10..10.0.0.19")}
BOUNDS = {"range_start": "10.0.0.10", "range_end": "10.0.0.19"}
GATEWAY = {"hostname": "vnet0-gw", "mac": mac(255), "gateway": True}


@pytest.fixture
def alpha(live):
    return Entry(live, cluster="alpha")


@pytest.fixture
def beta(alpha):
    """The other cluster in the same namespace."""
    return alpha.of(cluster="beta")


def set_up(entry):
    entry.made(entry.put_subnet(S, **SUBNET))
    entry.put_ip("10.0.0.1", **GATEWAY)


def test_two_namespaces_have_the_same_life_cycle(entry, neighbour):
    both = (entry, neighbour)
    for one in both:
        set_up(one)
    for n, one in ((1, entry), (1, neighbour), (2, neighbour), (2, entry)):
        assert one.made(one.next_free_ip(S, mac=mac(n), **BOUNDS))["address"] == f"10.0.0.{9 + n}/24"
    assert entry.held() == neighbour.held()
    theirs = neighbour.held()
    for n in (1, 2):
        assert entry.made(entry.by_mac(mac(n)), 200)["results"][0]["namespace"] == entry.name
        assert entry.delete_ip(f"10.0.0.{9 + n}").status == 204
    assert entry.delete_subnet(S).status == 204
    assert (entry.held(), neighbour.held()) == (NOTHING, theirs)


def test_two_clusters_share_prefix_ranges_and_gateway(alpha, beta):
    set_up(alpha)
    set_up(beta)
    assert [record["gateway"] for record in alpha.subnets()] == ["10.0.0.1", "10.0.0.1"]
    held = alpha.held()
    assert (held["prefixes"], held["ranges"]) == (["10.0.0.0/24"], ["10.0.0.10..10.0.0.19"])
    assert list(held["addresses"]) == ["10.0.0.1/24"]


def test_two_clusters_never_collide(alpha, beta):
    set_up(alpha)
    set_up(beta)
    taken = [one.made(one.next_free_ip(S, mac=mac(1), **BOUNDS))["address"] for one in (alpha, beta)]
    assert taken == ["10.0.0.10/24", "10.0.0.11/24"], "the same MAC in two clusters means two guests"
    assert refusal(beta.put_ip("10.0.0.10", mac=mac(1)))[:2] == (409, "address_taken")
    assert refusal(beta.put_ip("10.0.0.10", mac=mac(2)))[:2] == (409, "address_taken")


def test_a_cluster_sees_and_releases_only_its_own(alpha, beta):
    set_up(alpha)
    set_up(beta)
    alpha.made(alpha.next_free_ip(S, mac=mac(1), hostname="a", **BOUNDS))
    before = alpha.held()
    assert beta.made(beta.by_mac(mac(1)), 200)["results"] == []
    assert refusal(beta.patch_ip("10.0.0.10", hostname="mine"))[:2] == (404, "not_found")
    status, code, sentence = refusal(beta.delete_ip("10.0.0.10"))
    assert (status, code) == (409, "not_ours")
    assert "of zone alpha/simple1" in sentence
    nobody = Entry.of(alpha)
    nobody.cluster = None
    assert refusal(nobody.delete_ip("10.0.0.10"))[:2] == (409, "not_ours")
    assert alpha.held() == before
    body = alpha.made(alpha.by_mac(mac(1)), 200)
    assert [(item["cluster"], item["zone"], item["vnet"]) for item in body["results"]] == [
        ("alpha", "simple1", "vnet0")
    ]


@pytest.mark.parametrize("leaves_first", ["alpha", "beta"])
def test_the_prefix_goes_with_the_last_cluster_and_the_gateway_passes_on(alpha, beta, leaves_first):
    set_up(alpha)
    set_up(beta)
    first, last = (alpha, beta) if leaves_first == "alpha" else (beta, alpha)
    last.made(last.next_free_ip(S, mac=mac(1), **BOUNDS))
    assert first.delete_subnet(S).status == 204
    held = last.held()
    assert (held["prefixes"], held["ranges"]) == (["10.0.0.0/24"], ["10.0.0.10..10.0.0.19"])
    assert held["addresses"]["10.0.0.1/24"]["is_gateway"] is True
    assert refusal(last.delete_subnet(S))[:2] == (409, "subnet_not_empty")
    assert last.delete_ip("10.0.0.10").status == 204
    assert last.delete_subnet(S).status == 204
    assert last.held() == NOTHING


def test_one_cluster_moves_its_gateway_away(alpha, beta):
    """In PVE's order: update the subnet, register the new gateway, release the old one."""
    set_up(alpha)
    set_up(beta)
    for one in (alpha, beta):
        one.made(one.put_subnet(S, gateway="10.0.0.2"), 200)
        one.put_ip("10.0.0.2", **GATEWAY)
        assert one.delete_ip("10.0.0.1").status == 204
        left = ["10.0.0.1/24", "10.0.0.2/24"] if one is alpha else ["10.0.0.2/24"]
        assert list(one.held()["addresses"]) == left


def test_removing_ranges_of_one_cluster_keeps_those_of_the_other(alpha, beta):
    set_up(alpha)
    set_up(beta)
    alpha.made(alpha.put_subnet(S, dhcp_ranges=dhcp("10.0.0.30..10.0.0.39")), 200)
    assert alpha.held()["ranges"] == ["10.0.0.10..10.0.0.19", "10.0.0.30..10.0.0.39"]
    assert beta.made(beta.put_subnet(S), 200)["dhcp_ranges"] == SUBNET["dhcp_ranges"]
    beta.made(beta.put_subnet(S, dhcp_ranges=[]), 200)
    assert alpha.held()["ranges"] == ["10.0.0.30..10.0.0.39"]


def test_an_adopted_prefix_outlives_both(alpha, beta):
    alpha.prefix("10.0.0.0/24")
    alpha.made(alpha.put_subnet(S, adopt=True))
    assert refusal(beta.put_subnet(S))[:2] == (409, "conflict")
    beta.made(beta.put_subnet(S, adopt=True))
    for one in (alpha, beta):
        assert one.delete_subnet(S).status == 204
    assert alpha.held()["prefixes"] == ["10.0.0.0/24"]


def test_an_unknown_cluster_holds_nothing(alpha):
    set_up(alpha)
    stranger = alpha.of(cluster="gamma")
    assert stranger.made(stranger.by_mac(mac(1)), 200)["results"] == []
    assert stranger.delete_subnet(S).status == 204
    assert refusal(stranger.delete_ip("10.0.0.1"))[:2] == (409, "not_ours")
    assert refusal(stranger.next_free_ip(S))[:2] == (404, "not_found")
    assert list(alpha.held()["addresses"]) == ["10.0.0.1/24"]
