"""The facade and what PVE did not create: adopted only if an admin allows or has prepared it, and let go whole."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from nautobot.ipam.models import Namespace
from nautobot.users.models import Token

from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import RANGES


def test_a_prefix_not_created_by_pve_is_not_adopted(pve):
    pve.entry.prefix("10.0.0.0/24")
    with pytest.raises(Died, match=r"409 prefix 10.0.0.0/24 already exists in namespace .* not created by PVE"):
        pve.add_subnet()
    assert pve.plugin.log[0] == ("GET", "/ipam/prefixes/?q=10.0.0.0", 200)
    assert pve.entry.subnets() == []


@pytest.mark.django_db
@pytest.mark.parametrize("adopts", [False, True])
def test_it_is_if_the_admin_allows_it(settings, adopts, network_in_process):
    configured = {**settings.PLUGINS_CONFIG}
    configured["nautobot_pve_ipam"] = {**configured["nautobot_pve_ipam"], "facade_adopts": adopts}
    post, held = network_in_process
    with override_settings(PLUGINS_CONFIG=configured):
        assert post("prefixes", {"prefix": "10.0.0.0/24"}) == (201 if adopts else 409)
        address = {"address": "10.0.0.1/24", "dns_name": "vnet0-gw", "description": "gateway"}
        assert post("ip-addresses", address) == (201 if adopts else 404)
    assert held() == ([True] if adopts else [])


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
def test_what_an_admin_prepared_is_adopted_and_let_go(pve, fields):
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


def test_a_range_that_is_refused_leaves_what_was_prepared(pve):
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
