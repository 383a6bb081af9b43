"""What a plan says is done in a real Nautobot, step by step; what no longer holds is left out."""

from datetime import timedelta
from ipaddress import ip_address

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.addresses import delete_address, patch_address, put_address
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.sync.apply import apply
from nautobot_pve_ipam.sync.changes import Kind, KnownAddress, steps
from tests.models.data import active, saved
from tests.pure.sync.nautobot import NOW, Nautobot, only
from tests.pure.sync.pve import cluster, element, guest, without_guest
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

LAB = frozenset({"lab"})
WEB1 = "BC:24:11:00:01:00"


@pytest.fixture
def synced(real):
    """Nautobot after a sync of the whole cluster."""
    real.sync(cluster(), zones=LAB)
    return real


def allocation(ip):
    return Allocation.objects.select_related("ip_address").get(ip_address__host=ip)


def details(outcome):
    return {str(one.change.subject): one.detail for one in outcome.failed}


# All at once


def test_an_empty_nautobot_gets_everything_that_the_naive_one_gets(synced):
    naive = Nautobot()
    naive.sync(cluster(), zones=LAB)
    expected = {*naive.zones.values(), *naive.vnets.values(), *naive.subnets.values(), *naive.addresses.values()}
    assert synced.facts(cluster()) == expected
    assert synced.plan(cluster(), zones=LAB).changes == ()


def test_addresses_are_what_hooks_would_have_made(synced):
    address = IPAddress.objects.get(host="10.1.0.100")
    assert (str(address.address), address.type, address.status.name) == ("10.1.0.100/24", "dhcp", "Active")
    assert address.dns_name == "web1"
    held = address.pve_allocation
    assert (str(held.mac), held.vmid, held.hostname) == (WEB1, 100, "web1")
    assert held.last_seen.isoformat() == "2026-11-26T20:00:00+00:00"
    assert str(held.subnet.vnet) == "dc1/office/off1"


def test_two_clusters_in_turn_share_a_namespace_and_undo_nothing(synced):
    other = cluster()
    element(other, "cluster", type="cluster")["name"] = "dc2"
    for entry in other["subnets"]:
        entry["subnet"] = entry["subnet"].replace("-10.", "-11.").replace("fd01", "fd11").replace("db8:3", "db8:4")
        entry.pop("gateway", None)
        entry.pop("dhcp-range", None)
    first = synced.facts(cluster())
    synced.sync(other, "dc2", zones=LAB)
    assert synced.plan(cluster(), zones=LAB).changes == ()
    assert first <= synced.facts(cluster())
    assert PVECluster.objects.count() == 2


def test_seventy_three_guests_are_one_step(real):
    document = cluster()
    for number in range(73):
        net0 = f"name=eth0,bridge=off2,hwaddr=BC:24:11:07:03:{number:02X},ip=10.1.1.{100 + number}/24"
        document["guests"].append(
            {"vmid": 500 + number, "type": "lxc", "node": "pve1", "config": {"hostname": f"g{number}", "net0": net0}}
        )
        document["vmlist"][str(500 + number)] = {"node": "pve1", "type": "lxc"}
    planned = real.sync(document, zones=LAB)
    assert max(len(step.changes) for step in steps(planned.changes)) > 73
    assert Allocation.objects.filter(vmid__gte=500, subnet__prefix__prefix_length=24).count() == 73


# One change of each kind


@pytest.mark.parametrize(
    ("part", "keys", "change", "kinds"),
    [
        ("zones", {"zone": "prod"}, {"type": "qinq"}, {Kind.ZONE}),
        ("vnets", {"vnet": "prod2"}, {"tag": "201", "alias": "DB"}, {Kind.VNET}),
        ("subnets", {"vnet": "lab2"}, {"snat": 1, "dnszoneprefix": "x"}, {Kind.SUBNET, Kind.ALLOCATION}),
        ("subnets", {"vnet": "lab2"}, {"gateway": "10.2.1.1"}, {Kind.SUBNET, Kind.ADDRESS}),
        ("subnets", {"vnet": "prod2"}, {"dhcp-range": ["start-address=10.3.1.9,end-address=10.3.1.12"]}, {Kind.RANGES}),
        ("subnets", {"vnet": "lab2"}, {"dhcp-range": []}, {Kind.RANGES}),
    ],
)
def test_what_has_changed_in_pve_is_changed_and_nothing_else(synced, part, keys, change, kinds):
    document = cluster()
    element(document, part, **keys).update(change)
    assert {one.kind for one in synced.sync(document, zones=LAB).to_do} == kinds


def test_a_subnet_moves_to_another_vnet_with_its_allocations(synced):
    document = cluster()
    element(document, "subnets", vnet="lab2")["vnet"] = "lab1"
    for vmid in (106, 108):
        config = guest(document, vmid)
        for key in [key for key in config if key.startswith("net")]:
            config[key] = config[key].replace("bridge=lab2", "bridge=lab1")
    before = set(Allocation.objects.values_list("pk", flat=True))
    synced.sync(document, zones=LAB)
    record = SDNSubnet.objects.get(prefix__network="10.2.1.0")
    assert record.vnet.name == "lab1"
    assert record.allocations.count() == 2
    assert set(Allocation.objects.values_list("pk", flat=True)) == before


def test_a_renamed_guest_keeps_its_address_and_its_dns_name_follows(synced):
    document = cluster()
    guest(document, 100)["name"] = "front"
    synced.sync(document, zones=LAB)
    held = allocation("10.1.0.100")
    assert (held.hostname, held.ip_address.dns_name) == ("front", "front")


def test_a_prefix_and_an_address_that_pve_did_not_make_are_taken_over_if_asked(real):
    core = {"namespace": real.namespace}
    prefix = saved(Prefix(prefix="10.3.1.0/24", status=active(Prefix), **core))
    address = saved(IPAddress(address="10.3.1.20/24", status=active(IPAddress), type="slaac", **core))
    real.sync(cluster(), zones=LAB)
    assert not prefix.sdn_subnets.exists()
    real.sync(cluster(), zones=LAB, adopt=True)
    assert prefix.sdn_subnets.get().adopted
    assert allocation("10.3.1.20").adopted
    address.refresh_from_db()
    assert address.type == "slaac"


# What does not hold any more


def test_what_a_hook_has_taken_meanwhile_is_left_out_and_reported(synced):
    document = cluster()
    guest(document, 104)["ipconfig0"] = "ip=10.3.1.21/24"
    guest(document, 100)["name"] = "front"
    Allocation.objects.filter(ip_address__host="10.3.1.20").get().ip_address.delete()
    run = synced.run(document, zones=LAB)
    planned = run.plan()
    put_address(synced.caller(), known_ip("10.3.1.21"), Guest(mac="BC:24:11:0F:0F:0F", vmid=999))
    outcome = run.apply(planned)
    assert details(outcome) == {
        "10.3.1.0/24 guest 104 BC:24:11:00:01:04 10.3.1.21": "10.3.1.0/24 guest 104 BC:24:11:00:01:04 10.3.1.21 has "
        "changed in Nautobot since this was planned, so nothing was done"
    }
    assert allocation("10.3.1.21").vmid == 999
    assert allocation("10.1.0.100").hostname == "front"


def known_ip(text):
    from netaddr import IPAddress as Address  # noqa: PLC0415

    return Address(text)
