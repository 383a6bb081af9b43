"""What a plan says is done in a real Nautobot, step by step; what no longer holds is left out."""

from datetime import timedelta
from ipaddress import ip_network

import netaddr
import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from nautobot.apps.change_logging import web_request_context
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix

from nautobot_pve_ipam.models import Allocation, Difference, PVECluster, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.addresses import delete_address, put_address
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.connect import connect_pve
from nautobot_pve_ipam.services.differences import plain
from nautobot_pve_ipam.sync import apply as applying
from nautobot_pve_ipam.sync.changes import Kind, steps
from nautobot_pve_ipam.sync.run import Sync
from tests.models.data import active, saved
from tests.pure.sync.nautobot import NOW, Nautobot, only
from tests.pure.sync.pve import cluster, element, guest, on_netbox, without_guest
from tests.sync.real import Real, everything

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


def test_a_zone_that_leaves_netbox_brings_along_what_that_holds_for_nobody(real):
    document = on_netbox(cluster(), {"ip": "10.2.0.120", "hostname": "printer"})
    real.sync(document, zones=LAB)
    held = allocation("10.2.0.120")
    assert (held.hostname, held.vmid, held.mac or "", str(held.subnet.vnet)) == ("printer", None, "", "dc1/lab/lab1")
    element(document, "zones", zone="lab")["ipam"] = "nautobot"
    assert "10.2.0.120" not in [one.subject.ip for one in real.plan(document).changes], "it stays"


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
    address = saved(IPAddress(address="10.3.1.20/24", status=active(IPAddress), type="host", **core))
    real.sync(cluster(), zones=LAB)
    assert not prefix.sdn_subnets.exists()
    real.sync(cluster(), zones=LAB, adopt=True)
    assert prefix.sdn_subnets.get().adopted
    assert allocation("10.3.1.20").adopted
    address.refresh_from_db()
    assert address.type == "host"


# What does not hold any more


def test_what_a_hook_has_taken_meanwhile_is_left_out_and_reported(synced):
    document = cluster()
    guest(document, 104)["ipconfig0"] = "ip=10.3.1.21/24"
    guest(document, 100)["name"] = "front"
    Allocation.objects.filter(ip_address__host="10.3.1.20").get().ip_address.delete()
    run = synced.run(document, zones=LAB)
    planned = run.plan()
    put_address(synced.caller(), netaddr.IPAddress("10.3.1.21"), Guest(mac="BC:24:11:0F:0F:0F", vmid=999))
    outcome = run.apply(planned)
    assert details(outcome) == {
        "10.3.1.0/24 guest 104 BC:24:11:00:01:04 10.3.1.21": "10.3.1.0/24 guest 104 BC:24:11:00:01:04 10.3.1.21 has "
        "changed in Nautobot since this was planned, so nothing was done"
    }
    assert allocation("10.3.1.21").vmid == 999
    assert allocation("10.1.0.100").hostname == "front"


def test_what_a_hook_has_confirmed_meanwhile_is_not_released(synced):
    document = without_guest(cluster(), 104)
    synced.sync(document, zones=LAB)
    run = synced.run(later(document, DAY), now=NOW + DAY, zones=LAB, prune=True)
    planned = run.plan()
    assert [str(one.before.ip) for one in planned.to_do] == ["10.3.1.20"]
    put_address(synced.caller(), netaddr.IPAddress("10.3.1.20"), Guest(mac="BC:24:11:00:01:04", vmid=104))
    (failed,) = run.apply(planned).failed
    assert failed.change.kind is Kind.GONE
    assert allocation("10.3.1.20").vmid == 104


# What fails


def test_what_core_refuses_fails_alone(synced):
    core = {"namespace": synced.namespace, "status": active(IPAddressRange)}
    IPAddress.objects.filter(host__in=["10.3.1.20", "10.3.0.53"]).delete()
    saved(IPAddressRange(start_address="10.3.1.20", end_address="10.3.1.29", is_exclusive=True, **core))
    run = synced.run(cluster(), zones=LAB)
    outcome = run.apply(run.plan())
    (failed,) = outcome.failed
    assert str(failed.change.after.ip) == "10.3.1.20"
    assert "exclusive" in failed.detail
    assert [str(one.after.ip) for one in outcome.applied] == ["10.3.0.53"]


def test_a_step_does_what_can_be_done_without_what_fails(real):
    document = cluster()
    for number in range(9):
        net0 = f"name=eth0,bridge=prod2,hwaddr=BC:24:11:07:03:{number:02X},ip=10.3.1.{100 + number}/24"
        document["guests"].append({"vmid": 500 + number, "type": "lxc", "node": "pve1", "config": {"net0": net0}})
        document["vmlist"][str(500 + number)] = {"node": "pve1", "type": "lxc"}
    run = real.run(document, zones=LAB)
    planned = run.plan()
    core = {"namespace": real.namespace, "status": active(Prefix)}
    saved(Prefix(prefix="10.3.1.0/24", **core))  # somebody was quicker: PVE has not made it
    outcome = run.apply(planned)
    assert {one.change.after.network for one in outcome.failed} == {ip_network("10.3.1.0/24")}
    assert set(details(outcome).values()) == {
        "prefix 10.3.1.0/24 already exists in namespace pve and was not created by PVE: adopt it to use it",
        "subnet 10.3.1.0/24 of vnet prod2 does not exist in Nautobot",
    }
    assert Allocation.objects.count() == len([one for one in outcome.applied if one.kind is Kind.ADDRESS])


def test_what_waits_too_long_is_reported_and_stops_nothing_else(real, monkeypatch):
    def waits(*given, **options):
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(applying, "put_zone", waits)
    run = real.run(cluster(), zones=LAB)
    outcome = run.apply(run.plan())
    assert set(details(outcome).values()) == {"somebody else was busy with it for too long"}
    assert {one.change.kind for one in outcome.failed} == {Kind.ZONE, Kind.VNET}
    assert IPAddress.objects.filter(host="10.1.0.100").exists()
    monkeypatch.undo()
    real.sync(cluster(), zones=LAB)


def test_a_pve_changes_nothing_in_another_namespace(synced):
    connect_pve("elsewhere", "elsewhere")
    user = get_user_model().objects.get(username="elsewhere")
    before = everything()
    for cluster_name in ("dc1", None):
        caller = Caller(user, synced.namespace, cluster_name)
        run = Sync.of(caller, without_guest(cluster(), 104), now=NOW)
        planned = run.plan()
        assert {str(plain(one.before)) for one in planned.changes if one.kind is not Kind.RANGES} == {"None"}
        outcome = run.apply(planned)
        assert outcome.applied == []
        assert len(outcome.failed) == len(planned.to_do)
    assert everything() == before
    assert not Difference.objects.exists()


def test_a_pve_syncs_with_what_connecting_it_grants(db):
    connect_pve("pve", "pve", cluster="dc1")
    real = Real.__new__(Real)
    real.user, real.namespace = get_user_model().objects.get(username="pve"), Namespace.objects.get(name="pve")
    real.sync(cluster(), zones=LAB)
    assert real.plan(cluster(), zones=LAB).changes == ()


def test_what_the_user_may_not_view_is_in_the_way_and_says_nothing(synced):
    put_address(synced.caller(), netaddr.IPAddress("10.3.1.66"), Guest(mac="BC:24:11:0F:0F:0F", vmid=999, hostname="x"))
    document = cluster()
    document["guests"].append({"vmid": 600, "type": "lxc", "config": {"net0": "bridge=prod2,hwaddr=BC:24:11:06:00:00"}})
    guest(document, 600)["net0"] += ",ip=10.3.1.66/24"
    connect_pve("pve", "pve")
    user = get_user_model().objects.get(username="pve")
    for permission in user.groups.get().object_permissions.filter(name__contains="ipaddress"):
        permission.constraints = {**permission.constraints, "host": "10.3.1.20"}
        permission.save()
    planned = Sync.of(Caller(user, synced.namespace, "dc1"), document, now=NOW).plan()
    (found,) = [one for one in planned.differences if one.kind is Kind.CONFLICT and "10.3.1.66" in str(one.subject)]
    assert "somebody else has it" in found.evidence
    assert "999" not in repr(planned)


# What is gone


def later(document, by):
    """The same, read later."""
    return {**document, "taken": (NOW + by).isoformat()}


DAY = timedelta(hours=24)


def test_what_is_gone_for_a_day_is_released_if_asked(synced):
    document = without_guest(cluster(), 104)
    element(document, "subnets", vnet="lab2")["vnet"] = "lab1"
    for prune in (False, True):
        synced.sync(document, zones=LAB, prune=prune)
        synced.sync(later(document, DAY / 2), now=NOW + DAY / 2, zones=LAB, prune=prune)
    assert IPAddress.objects.filter(host="10.3.1.20").exists()
    synced.sync(later(document, DAY), now=NOW + DAY, zones=LAB, prune=True)
    assert not IPAddress.objects.filter(host="10.3.1.20").exists()
    assert not Difference.objects.filter(state="open", ip="10.3.1.20").exists()


def test_subnets_vnets_and_zones_go_when_they_are_empty(synced):
    document = cluster()
    document["guests"] = [one for one in document["guests"] if one["vmid"] not in (105, 106, 108)]
    for vmid in (105, 106, 108):
        del document["vmlist"][str(vmid)]
    document["pve-ipam-state"] = []
    for part, key in (("zones", "zone"), ("vnets", "zone")):
        document[part] = [one for one in document[part] if one[key] != "lab"]
    document["subnets"] = [one for one in document["subnets"] if not one["subnet"].startswith("lab")]
    Allocation.objects.get(vmid=None, is_gateway=False).ip_address.delete()
    synced.sync(document)
    for day in (1, 2, 3, 4):  # an address that has moved is found gone only when the other has been taken
        synced.sync(later(document, day * DAY), now=NOW + day * DAY, prune=True)
    assert set(SDNZone.objects.values_list("name", flat=True)) == {"office", "prod"}
    assert not SDNVNet.objects.filter(name__startswith="lab").exists()
    assert not Prefix.objects.filter(prefix="10.2.0.0/24").exists()


def test_a_guest_of_another_cluster_takes_its_address_along(synced):
    left = without_guest(cluster(), 104)
    synced.sync(left, zones=LAB)
    other = cluster()
    element(other, "cluster", type="cluster")["name"] = "dc2"
    other["guests"] = [one for one in other["guests"] if one["vmid"] == 104]
    other["vmlist"] = {"104": other["vmlist"]["104"]}
    other["mac-cache"], other["pve-ipam-state"] = {}, []
    before = allocation("10.3.1.20")
    moved = only(synced.sync(other, "dc2", zones=LAB), Kind.MOVED)
    assert str(moved.after.ip) == "10.3.1.20"
    after = allocation("10.3.1.20")
    assert (after.pk, after.subnet.vnet.zone.cluster.name) == (before.pk, "dc2")
    assert synced.plan(left, zones=LAB).to_do == ()


def test_an_address_released_in_nautobot_is_not_taken_again_because_of_pves_cache(synced):
    with web_request_context(synced.user):
        delete_address(synced.caller(), netaddr.IPAddress("10.1.0.100"))
    planned = synced.sync(cluster(), zones=LAB)
    assert [one.kind for one in planned.changes] == [Kind.CACHE]
    IPAddress.objects.filter(host="10.1.0.101").delete()  # by somebody who leaves no entry in the change log
    assert [one.kind for one in synced.sync(cluster(), zones=LAB).to_do] == [Kind.ADDRESS]


# Breaking off


def test_a_run_that_breaks_off_at_any_step_goes_on_where_it_stopped(real):
    run = real.run(cluster(), zones=LAB)
    planned = run.plan()
    whole = list(steps(planned.changes))
    for number in range(len(whole)):

        def stop(through, count):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.apply(run.plan(), stop)  # after one step more
        left = run.plan().to_do
        assert left == tuple(change for step in whole[number + 1 :] for change in step.changes)
    assert run.plan().changes == ()


@pytest.mark.parametrize("place", ["put_subnet", "put_addresses", "put_zone"])
def test_a_step_that_breaks_off_leaves_nothing(real, monkeypatch, place):
    run = real.run(cluster(), zones=LAB)
    planned = run.plan()
    service = getattr(applying, place)

    def dies(*given, **options):
        service(*given, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(applying, place, dies)
    states = []
    with pytest.raises(KeyboardInterrupt):
        run.apply(planned, lambda through, count: states.append(through))
    monkeypatch.undo()
    done = states[-1] if states else 0
    assert run.plan().to_do == planned.to_do[done:]
    real.sync(cluster(), zones=LAB)


# What it costs


def test_reading_takes_the_same_number_of_queries_however_much_there_is(synced):
    def queries(document):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            synced.plan(document, zones=LAB)
        return len(captured)

    few, document = queries(cluster()), many(40)
    synced.sync(document, zones=LAB)
    assert queries(document) == few


def test_a_step_takes_the_same_number_of_queries_besides_those_that_write(real):
    def reading(count):
        with CaptureQueriesContext(connection) as captured:
            run = real.run(many(count), zones=LAB)
            run.apply(run.plan())
        return count, len(captured)

    real.sync(cluster(), zones=LAB)
    (few, with_few), (much, with_many) = reading(5), reading(45)
    each = (with_many - with_few) / (much - few - 5)
    assert each < EACH, f"{each} queries for a guest"


EACH = 20


def many(count):
    document = cluster()
    for number in range(count):
        net0 = f"name=eth0,bridge=prod2,hwaddr=BC:24:11:07:03:{number:02X},ip=10.3.1.{100 + number}/24"
        document["guests"].append({"vmid": 500 + number, "type": "lxc", "node": "pve1", "config": {"net0": net0}})
        document["vmlist"][str(500 + number)] = {"node": "pve1", "type": "lxc"}
    return document


def test_what_it_does_is_in_the_change_log(real):
    with web_request_context(real.user):
        real.sync(cluster(), zones=LAB)
    entries = ObjectChange.objects.filter(action="create")
    assert entries.filter(changed_object_type__model="allocation").count() == Allocation.objects.count()
    assert entries.filter(changed_object_type__model="ipaddress").count() == IPAddress.objects.count()
