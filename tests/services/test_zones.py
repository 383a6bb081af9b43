"""Zones and vnets written by themselves, subnets moved between vnets, and many addresses at once."""

import netaddr
import pytest
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam.errors import AddressTaken, Conflict, Forbidden, InvalidRequest
from nautobot_pve_ipam.models import Allocation, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.addresses import Holding, locked_addresses, put_addresses
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.services.subnets import move_subnet
from nautobot_pve_ipam.services.zones import (
    VNetFacts,
    ZoneFacts,
    delete_vnet,
    delete_zone,
    put_vnet,
    put_zone,
)
from tests.models import data
from tests.ui.users import permit

pytestmark = pytest.mark.django_db


@pytest.fixture
def space(db):
    return data.namespace()


def test_a_zone_and_a_vnet_are_made_changed_and_kept(space, admin):
    zone = put_zone(space, ZoneFacts(zone="z1", cluster="new", zone_type="vlan"), user=admin)
    assert (zone.cluster.name, zone.type, zone.dhcp) == ("new", "vlan", "")
    vnet = put_vnet(space, VNetFacts(zone="z1", cluster="new", vnet="v1", vnet_tag=7), user=admin)
    assert (vnet.zone, vnet.tag, vnet.zone.type) == (zone, 7, "vlan")
    again = put_zone(space, ZoneFacts(zone="z1", cluster="new", zone_dhcp="dnsmasq"), user=admin)
    assert (again.pk, again.type, again.dhcp) == (zone.pk, "vlan", "dnsmasq")
    assert put_vnet(space, VNetFacts(zone="z1", cluster="new", vnet="v1", vnet_tag=None), user=admin).tag is None


def test_only_what_is_empty_is_deleted(space, admin):
    vnet = put_vnet(space, VNetFacts(zone="z1", vnet="v1"), user=admin)
    with pytest.raises(Conflict, match=r"^zone z1 is not empty: it has z1/v1$"):
        delete_zone(vnet.zone, user=admin)
    record = SDNSubnet.objects.create(vnet=vnet, prefix=data.prefix(1))
    with pytest.raises(Conflict, match=r"^vnet z1/v1 is not empty: it has 10\.1\.0\.0/24 \(z1/v1\)$"):
        delete_vnet(vnet, user=admin)
    record.delete()
    delete_vnet(vnet, user=admin)
    known_twice = SDNZone.objects.get()
    delete_zone(vnet.zone, user=admin)
    assert not SDNZone.objects.exists()
    delete_zone(known_twice, user=admin)  # it is gone already


def test_object_permissions_hold_for_each(space, django_user_model, admin):
    user = django_user_model.objects.create_user("limited")
    permit(user, SDNZone, "add", "change", name="z1")
    put_zone(space, ZoneFacts(zone="z1"), user=user)
    with pytest.raises(Forbidden, match=r"lacks permission nautobot_pve_ipam\.add_sdnzone for z2"):
        put_zone(space, ZoneFacts(zone="z2"), user=user)
    with pytest.raises(Forbidden, match="add_sdnvnet"):
        put_vnet(space, VNetFacts(zone="z1", vnet="v1"), user=user)
    with pytest.raises(Forbidden, match="delete_sdnzone"):
        delete_zone(SDNZone.objects.get(), user=user)
    vnet = put_vnet(space, VNetFacts(zone="z1", vnet="v1"), user=admin)
    record = SDNSubnet.objects.create(vnet=vnet, prefix=data.prefix(1))
    with pytest.raises(Forbidden, match="change_sdnsubnet"):
        move_subnet(record, vnet, user=user)
    assert SDNVNet.objects.count() == 1


@pytest.fixture
def subnet(space, admin):
    vnet = put_vnet(space, VNetFacts(zone="z1", vnet="v1"), user=admin)
    made = SDNSubnet.objects.create(vnet=vnet, prefix=data.prefix(1), gateway="10.1.0.1")
    return SDNSubnet.objects.select_related("vnet__zone__cluster", "prefix__namespace").get(pk=made.pk)


def holding(last, mac="", **guest):
    return Holding(netaddr.IPAddress(f"10.1.0.{last}"), Guest(mac or f"BC:24:11:00:00:{last:02X}", **guest))


def put(subnet, user, *holdings, **options):
    ips, macs = [one.ip for one in holdings], [one.guest.mac for one in holdings if one.guest.mac]
    with locked_addresses(subnet.prefix, ips, macs) as locks:
        put_addresses(subnet, holdings, locks, user=user, **options)


def test_many_addresses_are_taken_changed_and_adopted_at_once(subnet, admin):
    put(subnet, admin, holding(5, hostname="old"))
    data.address(1, 6)
    put(subnet, admin, holding(9), holding(5, hostname="new"), holding(6, hostname="six"), adopt=True)
    held = {one.ip_address.host: (one.hostname, one.adopted) for one in Allocation.objects.all()}
    assert held == {"10.1.0.5": ("new", False), "10.1.0.6": ("six", True), "10.1.0.9": ("", False)}


def test_those_in_a_child_prefix_get_it_as_their_parent(subnet, admin):
    child = data.saved(Prefix(prefix="10.1.0.64/28", namespace=subnet.prefix.namespace, status=data.active(Prefix)))
    put(subnet, admin, holding(9), holding(70), holding(100))
    parents = dict(IPAddress.objects.values_list("host", "parent__prefix_length"))
    assert parents == {"10.1.0.9": 24, "10.1.0.70": child.prefix_length, "10.1.0.100": 24}
    assert Allocation.objects.filter(subnet=subnet).count() == 3


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (
            holding(1),
            AddressTaken,
            r"^address 10\.1\.0\.1 is the gateway of subnet 10\.1\.0\.0/24 in namespace models$",
        ),
        (holding(255), InvalidRequest, r"^address 10\.1\.0\.255 is the broadcast address of 10\.1\.0\.0/24$"),
        (holding(8, "BC:24:11:00:00:05"), Conflict, r"^mac BC:24:11:00:00:05 already holds 10\.1\.0\.5/24 in 10\.1"),
        (holding(8, "BC:24:11:00:00:07"), Conflict, r"^mac BC:24:11:00:00:07 appears twice in the list$"),
        (holding(6), AddressTaken, r"^address 10\.1\.0\.6/24 was not created by PVE: adopt it to use it$"),
    ],
)
def test_all_or_none(subnet, admin, wrong, error, sentence):
    put(subnet, admin, holding(5))
    data.address(1, 6)
    with pytest.raises(error, match=sentence):
        put(subnet, admin, holding(7), wrong)
    assert Allocation.objects.count() == 1
    assert not IPAddress.objects.filter(host="10.1.0.7").exists()
