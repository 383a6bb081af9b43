"""The NetBox facade with the stock plugin's calls: whatever fails with them on NetBox works here."""

import re
from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from nautobot.ipam.models import Namespace
from nautobot.users.models import Token

from tests.api.hooks.entry import NOTHING, mac
from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import PVE, RANGES


def addresses(entry):
    return list(entry.held()["addresses"])


def test_01_deleting_an_absent_address_deletes_no_other(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.20", 20)
    assert pve.del_ip("10.0.0.2") is None
    assert pve.plugin.log[-1] == ("GET", "/ipam/ip-addresses/?q=10.0.0.2", 200)
    assert addresses(pve.entry) == ["10.0.0.1/24", "10.0.0.20/24"]


def test_02_a_subnet_inside_another_prefix_is_separate(pve):
    pve.entry.prefix("10.0.0.0/16", type="container")
    pve.add_subnet()
    pve.entry.prefix("10.0.0.0/8", type="container")
    assert pve.next(1) == "10.0.0.2"
    assert addresses(pve.entry) == ["10.0.0.1/24", "10.0.0.2/24"]


def test_03_a_subnet_with_a_guest_and_no_gateway_is_not_empty(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.9", 9)
    pve.del_ip("10.0.0.1")
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 is not empty: a guest holds 10.0.0.9/24"):
        pve.del_subnet()
    assert pve.entry.held()["prefixes"] == ["10.0.0.0/24"]
    assert addresses(pve.entry) == ["10.0.0.9/24"]


def test_03_a_guest_holding_the_gateways_address_is_not_deleted_as_gateway(pve):
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
    assert addresses(pve.entry) == ["10.0.0.1/24"]


def test_03_the_prefix_is_not_deleted_whatever_the_plugin_believes(pve):
    pve.add_subnet()
    pve.add_ip("10.0.0.9", 9)
    (found,) = pve.plugin._call("GET", "/ipam/prefixes/?q=10.0.0.0", None).body["results"]
    answer = pve.plugin._call("DELETE", f"/ipam/prefixes/{found['id']}/", None)
    assert (answer.status, answer.body["code"]) == (409, "subnet_not_empty")


def test_04_an_existing_gateway_is_registered_again(pve):
    pve.add_subnet()
    pve.add_gateway()
    answer = pve.plugin._call("GET", "/ipam/ip-addresses/?q=10.0.0.1", None)
    assert [entry["description"] for entry in answer.body["data"]] == ["gateway"]
    assert answer.body["data"] == answer.body["results"]


def test_04_the_plugins_check_does_not_take_a_guest_for_a_gateway(pve):
    pve.add_subnet(gateway=False)
    pve.add_ip("10.0.0.1", 1)
    with pytest.raises(Died, match="is not a gateway"):
        pve.add_gateway()


def test_03_what_keeps_the_subnet_is_found_before_its_gateway_is_deleted(pve):
    """An admin's address is no entry of PVE's."""
    pve.add_subnet(RANGES)
    pve.entry.address("10.0.0.200/24")
    before = pve.entry.held()
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 still holds 10.0.0.200/24, which this PVE did not create"):
        pve.del_subnet(RANGES)
    assert pve.entry.held() == before
    (record,) = pve.entry.subnets()
    assert record["gateway"] == "10.0.0.1"


def test_03_nor_is_anything_deleted_without_the_right_to_delete_the_subnet(limited):
    pve = PVE(limited)
    net = {"network": "10.99.0.0", "mask": 24, "cidr": "10.99.0.0/24"}
    pve.add_subnet(gateway=False, **net)
    pve.add_gateway("10.99.0.1")
    lacking = replace(pve.plugin, token=limited.without("ipam.delete_prefix"))
    with pytest.raises(Died, match=r"403 user .* lacks permission ipam.delete_prefix"):
        lacking.play("del_subnet", gateway="10.99.0.1", **net)
    assert "10.99.0.1/24" in addresses(limited)
    pve.plugin.play("del_subnet", gateway="10.99.0.1", **net)


@pytest.mark.parametrize("ranges", [RANGES, []], ids=["with ranges", "without"])
def test_05_a_subnet_without_gateway_is_deleted(pve, ranges):
    """The plugin would die when it deletes gateway None, so it must not find the subnet."""
    pve.add_subnet(ranges, gateway=False)
    assert pve.del_subnet(ranges, gateway=None) is None
    assert pve.entry.held() == NOTHING


def test_05_what_pve_did_not_create_is_kept(pve):
    pve.entry.prefix("10.0.0.0/16", type="container")
    pve.add_subnet(RANGES, gateway=False)
    pve.entry.address("10.0.0.200/24")
    pve.del_subnet(RANGES, gateway=None)
    assert pve.entry.held() == {"prefixes": ["10.0.0.0/16"], "ranges": [], "addresses": {"10.0.0.200/24": "nobody's"}}
    pve.add_subnet(RANGES)


def test_05_but_not_where_it_would_have_no_prefix(pve):
    pve.add_subnet(RANGES, gateway=False)
    pve.entry.address("10.0.0.200/24")
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 still holds 10.0.0.200/24"):
        pve.del_subnet(RANGES, gateway=None)
    assert pve.entry.held()["ranges"]


def test_05_only_a_real_look_up_deletes(pve):
    pve.add_subnet(RANGES, gateway=False)
    assert pve.plugin._call("HEAD", "/ipam/prefixes/?q=10.0.0.0", None).status == 200
    assert len(pve.entry.subnets()) == 1


def test_06_a_refused_range_leaves_nothing_and_the_retry_works(pve):
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


def test_07_addresses_from_a_range_get_the_subnets_length(pve):
    pve.add_subnet(RANGES)
    assert pve.next_in(RANGES[0], 1) == "10.0.0.10"
    assert addresses(pve.entry) == ["10.0.0.1/24", "10.0.0.10/24"]


def test_08_a_call_without_a_mac(pve):
    pve.add_subnet(RANGES)
    assert pve.next_in(RANGES[0], 1, description=None) == "10.0.0.10"
    assert pve.plugin.play("add_ip", ip="10.0.0.9", mask=24, hostname=None, description=None) is True
    assert addresses(pve.entry) == ["10.0.0.1/24", "10.0.0.9/24", "10.0.0.10/24"]


def test_09_after_a_full_range_pve_tries_the_next(pve):
    pve.add_subnet(RANGES)
    assert [pve.start_guest(n) for n in (1, 2, 3, 4)] == ["10.0.0.10", "10.0.0.11", "10.0.0.20", "10.0.0.21"]
    assert pve.plugin.log[-3][2] == 204
    with pytest.raises(Died, match=r"409 No free address in 10.0.0.10-10.0.0.11"):
        pve.start_guest(5)


def test_10_the_namespace_is_in_the_path(pve, neighbour):
    other = PVE(neighbour)
    pve.add_subnet(RANGES)
    other.add_subnet(RANGES)
    assert [one.start_guest(1) for one in (pve, other)] == ["10.0.0.10", "10.0.0.10"]
    assert pve.plugin.play("get_ips_from_mac", mac=mac(1)) == ("10.0.0.10", None)
    pve.del_ip("10.0.0.10")
    pve.del_subnet(RANGES)
    assert pve.entry.held() == NOTHING
    assert addresses(neighbour) == ["10.0.0.1/24", "10.0.0.10/24"]


@pytest.mark.parametrize(("hostname", "vnet"), [("vnet0-gw", "vnet0"), ("vnet0-gw.adm", "vnet0"), ("gate", "unknown")])
def test_10_the_vnet_is_taken_from_the_gateways_name(pve, hostname, vnet):
    pve.add_subnet(gateway=False)
    pve.add_gateway(hostname=hostname)
    body = pve.entry.made(pve.entry.put_ip("10.0.0.9", zone="netbox"))
    assert (body["zone"], body["vnet"]) == ("netbox", vnet)
    (record,) = pve.entry.subnets()
    assert record["gateway"] == "10.0.0.1"
    vnets = pve.entry.live.request("GET", f"/api/plugins/pve-ipam/vnets/?namespace={pve.entry.id}").body["results"]
    assert [item["name"] for item in vnets] == [vnet], "the placeholder is gone"


def test_11_a_mac_that_holds_an_address_of_the_subnet_gets_it_again(pve):
    pve.add_subnet(RANGES)
    assert [pve.start_guest(1), pve.start_guest(1), pve.next_in(RANGES[1], 1), pve.next(1)] == ["10.0.0.10"] * 4
    assert addresses(pve.entry) == ["10.0.0.1/24", "10.0.0.10/24"]


def test_12_one_guest_keeps_a_subnet_without_gateway(pve):
    pve.add_subnet(gateway=False)
    pve.add_ip("10.0.0.9", 9)
    with pytest.raises(Died, match=r"409 subnet 10.0.0.0/24 is not empty"):
        pve.del_subnet()
    assert addresses(pve.entry) == ["10.0.0.9/24"]


def test_13_a_prefix_not_created_by_pve_is_not_adopted(pve):
    pve.entry.prefix("10.0.0.0/24")
    with pytest.raises(Died, match=r"409 prefix 10.0.0.0/24 already exists in namespace .* not created by PVE"):
        pve.add_subnet()
    assert pve.plugin.log[0] == ("GET", "/ipam/prefixes/?q=10.0.0.0", 200)
    assert pve.entry.subnets() == []


@pytest.mark.django_db
@pytest.mark.parametrize("adopts", [False, True])
def test_13_unless_the_admin_allows_it(settings, adopts, network_in_process):
    configured = {**settings.PLUGINS_CONFIG}
    configured["nautobot_pve_ipam"] = {**configured["nautobot_pve_ipam"], "facade_adopts": adopts}
    post, held = network_in_process
    with override_settings(PLUGINS_CONFIG=configured):
        assert post("prefixes", {"prefix": "10.0.0.0/24"}) == (201 if adopts else 409)
        address = {"address": "10.0.0.1/24", "dns_name": "vnet0-gw", "description": "gateway"}
        assert post("ip-addresses", address) == (201 if adopts else 404)
    assert held() == ([True] if adopts else [])


def prepared(entry, *, adopted=True, vnet="web", zone="dmz", **fields):
    """A subnet as an admin prepares it for PVE in Nautobot, with a range, gateway and vnet chosen by hand."""
    app = "/api/plugins/pve-ipam"

    def made(kind, **body):
        return entry.made(entry.live.request("POST", f"{app}/{kind}/", body))

    prefix = entry.prefix("10.0.0.0/24")["id"]
    zone = made("zones", name=zone, namespace=entry.id)["id"]
    vnet = made("vnets", name=vnet, zone=zone, description="chosen by hand")["id"]
    subnet = made("subnets", vnet=vnet, prefix=prefix, adopted=adopted, **fields)["id"]
    kept = entry.range(*RANGES[0])["id"]
    made("dhcp-ranges", subnet=subnet, ip_address_range=kept, adopted=True)
    gateway = entry.address("10.0.0.1/24")["id"]
    made("allocations", ip_address=gateway, subnet=subnet, is_gateway=True, adopted=True)
    return subnet


@pytest.mark.parametrize("fields", [{}, {"gateway": "10.0.0.1"}, {"zone": "netbox"}], ids=str)
def test_13_what_an_admin_prepared_is_adopted_and_let_go(pve, fields):
    subnet = prepared(pve.entry, **fields)
    before = pve.entry.held()
    pve.add_subnet(RANGES)
    (record,) = pve.entry.subnets()
    assert (record["id"], record["gateway"]) == (subnet, "10.0.0.1")
    assert pve.start_guest(1) == "10.0.0.10"
    pve.del_ip("10.0.0.10")
    pve.del_subnet(RANGES)
    assert pve.entry.subnets() == []
    after = pve.entry.held()
    assert (after["prefixes"], after["ranges"]) == (before["prefixes"], before["ranges"])
    assert after["addresses"] == {"10.0.0.1/24": "nobody's"}


def test_13_a_range_that_is_refused_leaves_what_was_prepared(pve):
    subnet = prepared(pve.entry)
    before = pve.entry.held()
    pve.entry.range("10.0.0.15", "10.0.0.25")
    with pytest.raises(Died, match=r"409 dhcp_ranges 10.0.0.20-10.0.0.21"):
        pve.add_subnet(RANGES)
    (record,) = pve.entry.subnets()
    assert record["id"] == subnet
    assert pve.entry.held()["addresses"] == before["addresses"]


def test_a_vnet_chosen_by_hand_stays(pve):
    prepared(pve.entry)
    pve.add_subnet([RANGES[0]], gateway=False)
    pve.add_gateway(hostname="vnet1-gw")
    vnets = pve.entry.live.request("GET", f"/api/plugins/pve-ipam/vnets/?namespace={pve.entry.id}").body["results"]
    assert [vnet["name"] for vnet in vnets] == ["web"]


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


@pytest.mark.parametrize("cluster", [None, "alpha"])
def test_the_url_may_end_in_a_slash(entry, cluster):
    pve = PVE(entry, cluster)
    pve.plugin.url += "/"
    pve.plugin.play("on_update_hook")
    pve.add_subnet(RANGES)
    assert pve.start_guest(1) == "10.0.0.10"
    pve.plugin.play("update_ip", ip="10.0.0.10", mask=24, hostname="renamed", description=f"mac:{mac(1)}")
    pve.del_ip("10.0.0.10")
    pve.del_subnet(RANGES)
    assert entry.held() == NOTHING


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


@pytest.fixture
def network_in_process():
    """A namespace in this process's database with a prefix and an address; POSTs to its facade."""
    from nautobot.extras.models import Status  # noqa: PLC0415  (a set-up Nautobot is needed)
    from nautobot.ipam.models import IPAddress, Prefix  # noqa: PLC0415

    from nautobot_pve_ipam.models import SDNSubnet  # noqa: PLC0415

    namespace, active = Namespace.objects.create(name="adopting"), Status.objects.get(name="Active")
    Prefix(prefix="10.0.0.0/24", namespace=namespace, status=active).validated_save()
    IPAddress(address="10.0.0.1/24", namespace=namespace, status=active).validated_save()
    token = Token.objects.create(user=get_user_model().objects.create_superuser("facade"))

    def post(kind, body):
        url = f"/api/plugins/pve-ipam/netbox/adopting/ipam/{kind}/"
        headers = {"Authorization": f"token {token.key}"}
        return Client().post(url, body, content_type="application/json", headers=headers).status_code

    return post, lambda: [record.adopted for record in SDNSubnet.objects.all()]


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
    assert (record["gateway"], addresses(pve.entry)) == (None, [])


def test_a_subnet_that_exists(pve):
    pve.add_subnet(RANGES)
    with pytest.raises(Died, match="already exists"):
        pve.add_subnet(RANGES)
    answer = pve.plugin._call("POST", "/ipam/prefixes/", {"prefix": "10.0.0.0/24"})
    assert (answer.status, answer.reason) == (409, f"subnet 10.0.0.0/24 already exists in namespace {pve.entry.name}")


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
    assert addresses(entry) == ["10.0.0.1/24", "10.0.0.11/24"]
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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ipam/vlans/"),
        ("GET", "/ipam/prefixes/any/"),
        ("GET", "/ipam/prefixes/00000000-0000-0000-0000-000000000000/"),
        ("PUT", "/ipam/ip-addresses/"),
        ("GET", "/status/"),
        ("GET", "/"),
        ("GET", ""),
    ],
)
def test_it_is_not_netbox(pve, method, path):
    answer = pve.plugin._call(method, path, None)
    assert answer.status == 404
    sentence = (
        r"(GET|PUT) /api/plugins/pve-ipam/netbox/.* is not served: this is Nautobot answering PVE's NetBox plugin"
    )
    assert re.match(sentence, answer.reason)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ipam/prefixes/", None),
        ("GET", "/ipam/prefixes/?q=net", None),
        ("GET", "/ipam/ip-addresses/?parent=10.0.0.0", None),
        ("GET", "/ipam/ip-addresses/?description__ic=x", None),
        ("GET", "/ipam/ip-ranges/?start_address=10.0.0.1", None),
        ("POST", "/ipam/prefixes/", {"prefix": "10.0.0.1/24"}),
        ("POST", "/ipam/prefixes/", {}),
        ("POST", "/ipam/prefixes/", []),
        ("POST", "/ipam/ip-ranges/", {"start_address": "10.0.0.9"}),
        ("POST", "/ipam/ip-ranges/", {"start_address": "10.0.0.9", "end_address": "10.0.0.2"}),
        ("POST", "/ipam/ip-ranges/", {"start_address": "10.0.0.9", "end_address": "10.0.1.2"}),
        ("POST", "/ipam/ip-addresses/", {"address": "10.0.0.0/24"}),
        ("POST", "/ipam/ip-addresses/", {"address": None}),
        ("POST", "/ipam/ip-addresses/", {"address": "10.0.0.9/24", "description": "mac:none"}),
        ("POST", "/ipam/ip-addresses/", {"address": "10.0.0.9/24", "description": 7}),
    ],
)
def test_bad_input(pve, method, path, body):
    pve.add_subnet()
    before = pve.entry.held()
    answer = pve.plugin._call(method, path, body)
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert pve.entry.held() == before


def test_a_token_without_permissions(pve, limited):
    """PVE's check when the entry is saved lists the missing permissions."""
    pve.plugin.play("on_update_hook")
    lacking = replace(pve.plugin, token=limited.without("ipam.add_ipaddress"))
    lacking.url = f"{limited.live.api}netbox/{limited.name}"
    with pytest.raises(Died, match=r"403 user .* lacks permission ipam.add_ipaddress$"):
        lacking.play("on_update_hook")
    stranger = replace(pve.plugin, token="0" * 40)
    with pytest.raises(Died, match=r"40[13] Invalid token"):
        stranger.play("on_update_hook")
    with pytest.raises(Died, match=r"404 namespace none does not exist"):
        replace(pve.plugin, url=f"{pve.entry.live.api}netbox/none").play("on_update_hook")
