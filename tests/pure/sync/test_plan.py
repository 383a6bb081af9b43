"""What follows from a snapshot: one example of every kind of change and of difference, with its evidence."""

from datetime import timedelta
from ipaddress import ip_address, ip_network

import pytest

from nautobot_pve_ipam.sync.changes import Kind, KnownSubnet, Settlement, steps
from tests.pure.sync.nautobot import NOW, Nautobot, only
from tests.pure.sync.pve import cluster, element, guest, on_netbox, without_guest

LAB = frozenset({"lab"})
DAY = timedelta(hours=24)
WEB1, WEB2 = "BC:24:11:00:01:00", "BC:24:11:00:01:01"


@pytest.fixture
def nautobot():
    """Nautobot after a sync of the whole cluster."""
    nautobot = Nautobot()
    nautobot.sync(cluster(), zones=LAB)
    return nautobot


def said(planned):
    return [(change.kind.value, str(change.subject)) for change in planned.changes]


def evidence(planned, kind):
    return only(planned, kind).evidence


def later(document, by):
    """The same, read later."""
    return {**document, "taken": (NOW + by).isoformat()}


# All at once


def test_an_empty_nautobot_gets_everything_and_a_second_run_finds_nothing(nautobot):
    held = {str(one.ip): one.vmid for one in nautobot.addresses.values() if not one.is_gateway}
    assert held == {
        "10.1.0.100": 100,  # PVE's cache, IPv4 and IPv6
        "fd01::100": 100,
        "10.1.0.101": 101,  # stopped
        "fd01::101": 101,
        "10.1.1.10": 109,
        "10.2.0.30": None,  # a reservation in PVE's own IPAM
        "10.2.0.100": 105,
        "10.2.0.101": 106,
        "10.2.1.10": 106,
        "10.2.1.11": 108,
        "10.3.0.53": 102,  # a container's own
        "2001:db8:3::53": 102,
        "10.3.1.20": 104,  # cloud-init
    }
    assert nautobot.plan(cluster(), zones=LAB).changes == ()


def test_zones_whose_ipam_entry_names_another_namespace_or_none_take_no_part_by_themselves():
    planned = Nautobot().plan(cluster())
    assert {step.zone for step in steps(planned.changes)} == {"office", "prod"}


def test_a_zone_of_another_namespace_takes_no_part_even_if_named():
    document = cluster()
    element(document, "zones", zone="office")["ipam"] = "old"
    planned = Nautobot().plan(document, zones=frozenset({"office", "attic"}))
    assert {step.zone for step in steps(planned.changes)} == {"prod"}
    assert list(map(str, planned.problems)) == [
        "zone attic: does not exist in PVE, or could not be read",
        "zone office: its IPAM entry names namespace branch office, not pve",
    ]


def test_a_zone_whose_ipam_entry_is_not_known_takes_no_part_even_if_named():
    document = cluster()
    document["ipams"] = [one for one in document["ipams"] if one["ipam"] != "nautobot"]
    planned = Nautobot().plan(document, zones=frozenset({"office"}))
    assert planned.changes == ()
    assert list(map(str, planned.problems)) == ["zone office: its IPAM entry nautobot could not be read"]


def test_a_snapshot_of_another_cluster_is_refused(nautobot):
    with pytest.raises(ValueError, match=r"^the snapshot is of cluster dc1, not of cluster dc2$"):
        nautobot.plan(cluster(), "dc2")


def test_steps_are_a_zone_or_a_subnet_with_some_addresses():
    planned = Nautobot().plan(cluster(), zones=LAB)
    made = list(steps(planned.changes, size=2))
    assert [change for step in made for change in step.changes] == list(planned.to_do)
    assert [(step.zone, str(step.network or ""), len(step.changes)) for step in made[:6]] == [
        ("lab", "", 3),
        ("office", "", 3),
        ("prod", "", 3),
        ("lab", "10.2.0.0/24", 4),  # the subnet, its ranges, two addresses
        ("lab", "10.2.0.0/24", 2),
        ("lab", "10.2.1.0/25", 4),
    ]


# Zones, vnets, subnets, ranges


@pytest.mark.parametrize(
    ("part", "keys", "change", "kind", "why"),
    [
        ("zones", {"zone": "prod"}, {"type": "qinq"}, Kind.ZONE, "zone prod: type qinq instead of vlan"),
        ("zones", {"zone": "office"}, {"dhcp": None}, Kind.ZONE, "zone office: dhcp nothing instead of dnsmasq"),
        ("vnets", {"vnet": "prod2"}, {"tag": "201"}, Kind.VNET, "vnet prod2: tag 201 instead of 200"),
        ("vnets", {"vnet": "prod2"}, {"alias": "DB"}, Kind.VNET, "vnet prod2: alias DB instead of Databases"),
        (
            "subnets",
            {"vnet": "lab2"},
            {"snat": 1, "dnszoneprefix": "x"},
            Kind.SUBNET,
            "subnet 10.2.1.0/25 of vnet lab2: snat on instead of off and dns zone prefix x instead of nothing",
        ),
        (
            "subnets",
            {"vnet": "lab2"},
            {"dhcp-range": []},
            Kind.RANGES,
            "subnet 10.2.1.0/25 of vnet lab2: ranges nothing instead of 10.2.1.10-10.2.1.99",
        ),
    ],
)
def test_what_pve_has_changed_is_changed(nautobot, part, keys, change, kind, why):
    document = cluster()
    element(document, part, **keys).update(change)
    planned = nautobot.sync(document, zones=LAB)
    assert evidence(planned, kind) == f"PVE says of {why}."


def test_a_new_gateway_is_registered_and_the_old_one_is_gone(nautobot):
    document = cluster()
    element(document, "subnets", vnet="off2")["gateway"] = "10.1.1.2"
    planned = nautobot.sync(document, zones=LAB)
    assert said(planned) == [
        ("subnet", "office/off2 10.1.1.0/24"),
        ("address", "10.1.1.0/24 10.1.1.2"),
        ("gone", "10.1.1.0/24 10.1.1.1"),
    ]
    assert evidence(planned, Kind.GONE) == "PVE names 10.1.1.2 as the gateway of 10.1.1.0/24."
    assert nautobot.addresses[ip_address("10.1.1.2")].hostname == "off2-gw.guest"


def test_a_gateway_that_a_guest_holds_is_a_conflict_and_the_rest_of_the_subnet_is_changed(nautobot):
    document = cluster()
    element(document, "subnets", vnet="off1", gateway="10.1.0.1").update(gateway="10.1.0.101", snat=0)
    planned = nautobot.sync(document, zones=LAB)
    subnet = only(planned, Kind.SUBNET).after
    assert (str(subnet.gateway), subnet.snat) == ("10.1.0.1", False)
    assert [change.evidence for change in planned.differences if change.kind is Kind.CONFLICT] == [
        "PVE names 10.1.0.101 as the gateway of 10.1.0.0/24, but guest 101 (web2) with MAC BC:24:11:00:01:01"
        " of cluster dc1 has it."
    ]


def test_a_subnet_that_moved_to_another_vnet_keeps_its_addresses(nautobot):
    document = cluster()
    element(document, "subnets", vnet="prod2")["vnet"] = "prod1"
    net = guest(document, 104)
    net["net0"] = net["net0"].replace("prod2", "prod1")
    planned = nautobot.sync(document, zones=LAB)
    assert said(planned) == [("subnet", "prod/prod1 10.3.1.0/24")]
    assert nautobot.addresses[ip_address("10.3.1.20")].vnet == "prod1"


def test_a_subnet_that_overlaps_is_a_conflict_and_its_guests_wait():
    nautobot = Nautobot()
    network = ip_network("10.3.0.0/16")
    nautobot.subnets["x"] = KnownSubnet("dc2", "z", "other", network)
    planned = nautobot.sync(cluster())
    conflicts = [change for change in planned.differences if change.kind is Kind.CONFLICT]
    assert [change.evidence for change in conflicts] == [
        "PVE has subnet 10.3.0.0/24 on vnet prod1, which overlaps 10.3.0.0/16 of vnet other of cluster dc2.",
        "PVE has subnet 10.3.1.0/24 on vnet prod2, which overlaps 10.3.0.0/16 of vnet other of cluster dc2.",
    ]
    assert ip_address("10.3.0.53") not in nautobot.addresses
    assert ip_address("10.1.0.100") in nautobot.addresses


def test_a_prefix_that_pve_did_not_make_is_adopted_only_when_asked():
    nautobot = Nautobot(prefixes={ip_network("10.3.1.0/24")})
    change = only(nautobot.sync(cluster()), Kind.CONFLICT)
    assert change.evidence == "PVE has subnet 10.3.1.0/24 on vnet prod2, a prefix that PVE did not make."
    assert change.settlements == (Settlement.ADOPT,)
    nautobot.sync(cluster(), adopt=True)
    assert nautobot.subnets["dc1", "prod", "prod2", ip_network("10.3.1.0/24")].adopted


def test_two_clusters_share_a_prefix_and_its_gateway(nautobot):
    document = cluster()
    document["cluster"][0]["name"] = "dc2"
    for config in (one["config"] for one in document["guests"]):
        for key in config:
            if key.startswith("net"):
                config[key] = config[key].upper().replace("BC:24:11:00:01", "BC:24:11:00:02").lower()
    document["mac-cache"], document["pve-ipam-state"] = {}, []
    planned = nautobot.sync(document, "dc2")
    made = {(cluster, network) for cluster, _, _, network in nautobot.subnets}
    assert {("dc1", ip_network("10.1.0.0/24")), ("dc2", ip_network("10.1.0.0/24"))} <= made
    assert {change.kind for change in planned.to_do} == {Kind.ZONE, Kind.VNET, Kind.SUBNET, Kind.RANGES}
    assert all("has it in Nautobot" in change.evidence for change in planned.differences)


# Guests


def test_a_new_name_reaches_the_allocation(nautobot):
    document = cluster()
    guest(document, 100)["name"] = "shop"
    planned = nautobot.sync(document, zones=LAB)
    assert said(planned) == [
        ("allocation", f"10.1.0.0/24 guest 100 {WEB1} 10.1.0.100"),
        ("allocation", f"fd01::/64 guest 100 {WEB1} fd01::100"),
    ]
    assert planned.changes[0].evidence == (
        f"PVE's MAC cache has 10.1.0.100 for guest 100 (shop), net0 with MAC {WEB1}: hostname shop instead of web1."
    )


def test_a_name_has_the_subnets_dns_zone_prefix_as_pve_tells_it_to_an_ipam(nautobot):
    assert nautobot.addresses[ip_address("10.1.1.10")].hostname == "kiosk.guest"


def test_a_name_that_pve_does_not_tell_stays(nautobot):
    document = cluster()
    del guest(document, 100)["name"]
    assert nautobot.plan(document, zones=LAB).changes == ()


def test_a_guest_with_another_vmid_keeps_its_address(nautobot):
    """Restored under another number after the old one was destroyed: what PVE says of the MAC counts."""
    document = cluster()
    moved = element(document, "guests", vmid=101)
    without_guest(document, 101)
    document["guests"].append({**moved, "vmid": 201})
    document["vmlist"]["201"] = {"node": "pve1", "type": "qemu"}
    planned = nautobot.sync(document, zones=LAB, prune=True)
    assert [change.kind for change in planned.changes] == [Kind.ALLOCATION, Kind.ALLOCATION]
    assert planned.changes[0].evidence.endswith("vmid 201 instead of 101.")


def test_a_guest_with_another_mac_keeps_the_address_that_pve_has_for_it(nautobot):
    document = cluster()
    config = guest(document, 102)
    config["net0"] = config["net0"].replace("BC:24:11:00:01:02", "BC:24:11:00:99:99")
    planned = nautobot.sync(document, zones=LAB)
    assert [change.kind for change in planned.changes] == [Kind.ALLOCATION, Kind.ALLOCATION]
    assert planned.changes[0].evidence.endswith("mac BC:24:11:00:99:99 instead of BC:24:11:00:01:02.")


def test_a_device_on_another_vnet_is_moved_and_its_old_address_is_gone(nautobot):
    document = cluster()
    config = guest(document, 104)
    config.update(net0=config["net0"].replace("prod2", "prod1"), ipconfig0="ip=10.3.0.20/24")
    planned = nautobot.sync(document, zones=LAB)
    moved = only(planned, Kind.MOVED)
    assert (str(moved.before.ip), str(moved.after.ip)) == ("10.3.1.20", "10.3.0.20")
    gone = only(planned, Kind.GONE)
    assert gone.before == moved.before
    assert gone.evidence == "PVE has net0 of guest 104 (db1) with MAC BC:24:11:00:01:04 on prod1, not on prod2."


def test_a_guest_that_left_one_cluster_for_another_is_moved_not_made_anew(nautobot):
    """By the word of both: the one has it no more, the other has it."""
    elsewhere = cluster()
    elsewhere["cluster"][0]["name"] = "dc2"
    elsewhere["guests"] = [{**one, "vmid": 902} for one in elsewhere["guests"] if one["vmid"] == 102]
    elsewhere["vmlist"] = {"902": {"node": "pve1", "type": "lxc"}}
    elsewhere["mac-cache"], elsewhere["pve-ipam-state"] = {}, []
    planned = nautobot.sync(elsewhere, "dc2")
    assert next(change.evidence for change in planned.differences if change.kind is Kind.CONFLICT) == (
        "The container's configuration has 10.3.0.53 for guest 902 (dns), net0 with MAC BC:24:11:00:01:02, but"
        " guest 102 (dns) with MAC BC:24:11:00:01:02 of cluster dc1 has it in Nautobot."
    )
    left = without_guest(cluster(), 102)
    nautobot.remember(nautobot.sync(left, zones=LAB, prune=True), NOW)
    planned = nautobot.sync(elsewhere, "dc2")
    assert [(change.kind, change.after.cluster, change.after.vmid) for change in planned.changes] == [
        (Kind.MOVED, "dc2", 902),
        (Kind.MOVED, "dc2", 902),
    ]
    assert nautobot.plan(left, zones=LAB).changes == ()


def test_a_stopped_guest_and_a_template_keep_their_addresses(nautobot):
    document = cluster()
    for entry in document["guests"]:
        entry["status"] = "stopped"
    guest(document, 104)["template"] = 1
    assert nautobot.plan(document, zones=LAB, prune=True).changes == ()


def test_a_templates_fixed_address_is_its_clones(nautobot):
    assert ip_address("10.3.0.99") not in nautobot.addresses


# What is gone, and what is merely not seen


def test_a_guest_is_gone_in_two_snapshots_a_day_apart_before_anything_is_released(nautobot):
    document = without_guest(cluster(), 104)
    first = nautobot.sync(document, zones=LAB, prune=True)
    assert [(change.kind, change.is_due, change.evidence) for change in first.changes] == [
        (Kind.GONE, False, "PVE has no guest 104.")
    ]
    nautobot.remember(first, NOW)
    for age, document_age in ((DAY, timedelta()), (timedelta(hours=23), DAY * 2), (DAY * 2, timedelta(hours=23))):
        planned = nautobot.plan(later(document, document_age), zones=LAB, prune=True, now=NOW + age)
        assert planned.to_do == ()
    assert nautobot.plan(later(document, DAY), zones=LAB, prune=False, now=NOW + DAY).to_do == ()
    planned = nautobot.sync(later(document, DAY), zones=LAB, prune=True, now=NOW + DAY)
    assert [change.kind for change in planned.to_do] == [Kind.GONE]
    assert ip_address("10.3.1.20") not in nautobot.addresses


def test_a_guest_that_comes_back_begins_anew(nautobot):
    nautobot.remember(nautobot.sync(without_guest(cluster(), 104), zones=LAB), NOW)
    nautobot.remember(nautobot.sync(cluster(), zones=LAB), NOW + timedelta(hours=1))
    planned = nautobot.plan(later(without_guest(cluster(), 104), DAY), zones=LAB, prune=True, now=NOW + DAY)
    assert not only(planned, Kind.GONE).is_due


def test_an_address_that_pve_did_not_make_is_never_released(nautobot):
    nautobot.hold("10.3.1.20", adopted=True, gone_since=NOW - DAY)
    planned = nautobot.plan(without_guest(cluster(), 104), zones=LAB, prune=True)
    assert not only(planned, Kind.GONE).is_due


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda document: document["cluster"][0].update(quorate=0), "the cluster has no quorum"),
        (lambda document: document["cluster"][3].update(online=0), "node pve3 is offline"),
        (lambda document: document.pop("vmlist"), "vmlist could not be read"),
        (
            lambda document: element(document, "guests", vmid=105).pop("config"),
            "guest 105 may have it: its configuration could not be read",
        ),
    ],
)
def test_what_is_not_seen_is_stale_not_gone(nautobot, change, why):
    document = without_guest(cluster(), 104)
    change(document)
    nautobot.hold("10.3.1.20", gone_since=NOW - DAY * 2)
    planned = nautobot.sync(document, zones=LAB, prune=True)
    stale = only(planned, Kind.STALE)
    assert stale.evidence == f"PVE has no guest 104, but {why}."
    assert stale.settlements == (Settlement.RELEASE,)
    assert Kind.GONE not in [one.kind for one in planned.changes]


def test_a_device_that_was_removed_is_gone(nautobot):
    document = cluster()
    del guest(document, 106)["net1"]
    document["pve-ipam-state"].remove(element(document, "pve-ipam-state", ip="10.2.1.10"))
    assert evidence(nautobot.plan(document, zones=LAB), Kind.GONE) == (
        "PVE has no device with MAC BC:24:11:00:01:16 on guest 106 (build)."
    )


def test_a_device_that_cannot_be_understood_is_no_evidence(nautobot):
    document = cluster()
    guest(document, 104)["net0"] = "virtio=nonsense,bridge=prod2"
    assert nautobot.plan(document, zones=LAB).changes == ()


def test_what_pves_own_ipam_holds_for_a_guest_that_does_not_exist_is_stale(nautobot):
    document = cluster()
    lease = {"zone": "lab", "subnet": "10.2.0.0/24", "ip": "10.2.0.120", "mac": "BC:24:11:00:77:77", "vmid": "999"}
    document["pve-ipam-state"].append(lease)
    planned = nautobot.sync(document, zones=LAB)
    assert evidence(planned, Kind.STALE) == (
        "PVE's own IPAM has 10.2.0.120 for guest 999 with MAC BC:24:11:00:77:77, but lab1 has no such device."
    )


def test_what_another_ipam_holds_counts_for_a_zone_that_uses_that(nautobot):
    document = on_netbox(cluster(), {"ip": "10.2.0.120", "hostname": "printer"})
    planned = nautobot.sync(document, zones=LAB)
    assert {str(ip) for ip in nautobot.addresses} & {f"10.2.0.{n}" for n in (120, 121, 122)} == {"10.2.0.120"}
    (taken,) = [one for one in planned.to_do if one.subject.ip == "10.2.0.120"]
    assert taken.evidence == "IPAM nb has 10.2.0.120 for nobody that it names."


def test_a_guest_of_a_subnet_that_has_moved_is_judged_where_the_subnet_is_now(nautobot):
    """That zone is understood, whatever is wrong elsewhere, so the second run says the same as the first."""
    document = without_guest(cluster(), 104)
    element(document, "zones", zone="prod")["zone"] = "plant"
    for vnet in ("prod1", "prod2"):
        element(document, "vnets", vnet=vnet)["zone"] = "plant"
    for subnet in document["subnets"]:
        subnet["subnet"] = subnet["subnet"].replace("prod-", "plant-")
    document["subnets"].append({"subnet": "nonsense"})
    planned = nautobot.sync(document, zones=LAB, prune=True)
    assert evidence(planned, Kind.GONE) == "PVE has no guest 104."


def test_an_allocation_without_a_vmid_is_at_most_stale(nautobot):
    place = nautobot.addresses[ip_address("10.1.0.100")]
    nautobot.hold(
        "10.1.0.150", cluster="dc1", zone="office", vnet="off1", network=place.network, mac="BC:24:11:00:55:55"
    )
    planned = nautobot.sync(cluster(), zones=LAB, prune=True)
    assert evidence(planned, Kind.STALE) == "PVE has no guest with MAC BC:24:11:00:55:55."


def test_subnets_vnets_and_zones_that_are_gone_go_when_they_are_empty(nautobot):
    document = without_guest(without_guest(cluster(), 104), 102)
    for part, key in (("zones", "zone"), ("vnets", "zone")):
        document[part] = [one for one in document[part] if one[key] != "prod"]
    document["subnets"] = [one for one in document["subnets"] if not one["subnet"].startswith("prod-")]
    nautobot.remember(nautobot.sync(document, zones=LAB), NOW)
    planned = nautobot.sync(later(document, DAY), zones=LAB, prune=True, now=NOW + DAY)
    assert said(planned) == [
        ("gone", "10.3.0.0/24 guest 102 BC:24:11:00:01:02 10.3.0.53"),
        ("gone", "2001:db8:3::/64 guest 102 BC:24:11:00:01:02 2001:db8:3::53"),
        ("gone", "10.3.1.0/24 guest 104 BC:24:11:00:01:04 10.3.1.20"),
        ("gone", "prod/prod1 10.3.0.0/24"),
        ("gone", "prod/prod1 2001:db8:3::/64"),
        ("gone", "prod/prod2 10.3.1.0/24"),
        ("gone", "prod/prod1"),
        ("gone", "prod/prod2"),
        ("gone", "prod"),
    ]
    assert {zone for _, zone in nautobot.zones} == {"lab", "office"}


def test_what_a_hook_did_after_the_snapshot_was_taken_is_not_undone(nautobot):
    document = without_guest(cluster(), 104)
    guest(document, 100)["name"] = "old-name"
    nautobot.hold("10.3.1.20", last_seen=NOW)
    nautobot.hold("10.1.0.100", last_seen=NOW)
    nautobot.hold("fd01::100", last_seen=NOW)
    assert nautobot.plan(document, zones=LAB, prune=True).changes == ()


def test_what_was_not_read_at_all_is_one_problem_not_a_difference_for_each(nautobot):
    document = cluster()
    for part in ("zones", "vnets", "subnets", "guests", "vmlist", "mac-cache", "pve-ipam-state", "cluster"):
        del document[part]
    planned = nautobot.plan(document, prune=True)
    assert planned.changes == ()
    assert len(planned.problems) == 8


def test_a_vnet_that_moved_to_another_zone_takes_its_subnets_along(nautobot):
    document = cluster()
    element(document, "vnets", vnet="off2")["zone"] = "prod"
    subnet = element(document, "subnets", vnet="off2")
    subnet["subnet"] = subnet["subnet"].replace("office", "prod")
    planned = nautobot.sync(document, zones=LAB)
    assert said(planned) == [
        ("vnet", "prod/off2"),
        ("subnet", "prod/off2 10.1.1.0/24"),
        ("gone", "office/off2"),
    ]


# Conflicts


def test_an_address_that_another_guest_holds_is_a_conflict(nautobot):
    """Not taken over by a mere look-up of the address."""
    document = cluster()
    guest(document, 104)["ipconfig0"] = "ip=10.3.1.53/24"
    holder = nautobot.addresses[ip_address("10.3.1.20")]
    nautobot.release("10.3.1.20")
    nautobot.hold("10.3.1.53", cluster="dc1", zone="prod", vnet="prod2", network=holder.network, mac=WEB2, vmid=333)
    planned = nautobot.sync(document, zones=LAB)
    assert evidence(planned, Kind.CONFLICT) == (
        "Cloud-init has 10.3.1.53 for guest 104 (db1), net0 with MAC BC:24:11:00:01:04, but guest 333 with MAC"
        f" {WEB2} of cluster dc1 has it in Nautobot."
    )


def test_an_address_that_another_cluster_has_let_go_of_is_taken_in_the_next_run(nautobot):
    nautobot.hold("10.3.1.20", cluster="dc2", mac=WEB2, vmid=333)
    conflict = only(nautobot.sync(cluster(), zones=LAB), Kind.CONFLICT)
    nautobot.release("10.3.1.20")
    taken = only(nautobot.sync(cluster(), zones=LAB), Kind.ADDRESS)
    assert (taken.after, taken.subject) == (conflict.after, conflict.subject)


def test_who_holds_it_is_not_told_to_those_who_may_not_view_it(nautobot):
    nautobot.hold("10.3.1.20", allocated=True, mac=WEB2, vmid=333, is_visible=False)
    change = only(nautobot.plan(cluster(), zones=LAB), Kind.CONFLICT)
    assert change.evidence.endswith("but somebody else has it in Nautobot.")


def test_an_address_that_pve_did_not_make_is_adopted_only_when_asked(nautobot):
    nautobot.release("10.3.1.20")
    nautobot.hold("10.3.1.20", allocated=False)
    change = only(nautobot.sync(cluster(), zones=LAB), Kind.CONFLICT)
    assert change.evidence.endswith("but something that PVE did not make has it in Nautobot.")
    assert change.settlements == (Settlement.ADOPT,)
    nautobot.sync(cluster(), zones=LAB, adopt=True)
    assert nautobot.addresses[ip_address("10.3.1.20")].adopted


def test_a_mac_that_is_there_twice_is_named_and_nothing_is_changed_for_it(nautobot):
    document = cluster()
    guest(document, 101)["net0"] = f"virtio={WEB1},bridge=off1"
    guest(document, 100)["name"] = "renamed"
    planned = nautobot.sync(document, zones=LAB)
    assert evidence(planned, Kind.CONFLICT) == (
        f"PVE has MAC {WEB1} on net0 of guest 100 (renamed) and on net0 of guest 101 (web2): nothing is changed for any"
        " of them."
    )
    assert {change.kind for change in planned.changes} == {Kind.CONFLICT, Kind.GONE}
    assert {change.subject.mac for change in planned.changes if change.kind is Kind.GONE} == {WEB2}


@pytest.mark.parametrize(
    ("ip", "why"),
    [
        ("10.9.9.9", "vnet prod2 has no subnet with that address"),
        ("10.3.1.255", "no host of 10.3.1.0/24 can have it"),
        ("10.3.1.254", "it is the gateway of 10.3.1.0/24"),
    ],
)
def test_an_address_that_the_subnet_cannot_give_is_a_conflict(nautobot, ip, why):
    document = cluster()
    guest(document, 104)["ipconfig0"] = f"ip={ip}/24"
    nautobot.release("10.3.1.20")
    planned = nautobot.sync(document, zones=LAB)
    assert evidence(planned, Kind.CONFLICT).endswith(f", but {why}.")


def test_another_address_in_pves_cache_than_in_nautobot_is_a_conflict(nautobot):
    document = cluster()
    document["mac-cache"][WEB1]["ip4"] = "10.1.0.142"
    change = only(nautobot.sync(document, zones=LAB), Kind.CONFLICT)
    assert change.evidence == (
        f"PVE's MAC cache has 10.1.0.142 for guest 100 (web1), net0 with MAC {WEB1}, but Nautobot has 10.1.0.100 for"
        " that MAC in 10.1.0.0/24."
    )
    assert (str(change.before.ip), str(change.after.ip)) == ("10.1.0.100", "10.1.0.142")
    assert change.settlements == (Settlement.TAKE_PVE, Settlement.TAKE_NAUTOBOT)


def test_two_addresses_of_a_device_in_one_subnet(nautobot):
    """PVE's own IPAM comes before the container's configuration."""
    document = cluster()
    config = guest(document, 105)
    config["net0"] = config["net0"].replace("ip=dhcp", "ip=10.2.0.50/24")
    fresh = Nautobot()
    fresh.sync(document, zones=LAB)
    assert ip_address("10.2.0.100") in fresh.addresses
    change = only(nautobot.plan(document, zones=LAB), Kind.CONFLICT)
    assert change.evidence.startswith("The container's configuration has 10.2.0.50 for guest 105 (app)")


# PVE's cache


def test_an_address_released_in_nautobot_that_pve_goes_on_handing_out(nautobot):
    nautobot.release("10.1.0.100")
    nautobot.released = frozenset({(WEB1, ip_address("10.1.0.100"))})
    change = only(nautobot.sync(cluster(), zones=LAB), Kind.CACHE)
    assert change.evidence == ("PVE's MAC cache has 10.1.0.100, fd01::100 for guest 100 (web1), Nautobot fd01::100.")
    assert (change.before.ip4, change.after.ip4) == (ip_address("10.1.0.100"), None)
    assert ip_address("10.1.0.100") not in nautobot.addresses


def test_an_address_released_in_nautobot_otherwise_is_taken_again(nautobot):
    """Nobody else may get it while PVE hands it out."""
    nautobot.release("10.1.0.100")
    assert only(nautobot.sync(cluster(), zones=LAB), Kind.ADDRESS).after.ip == ip_address("10.1.0.100")


def test_an_entry_of_a_mac_that_no_guest_has(nautobot):
    document = cluster()
    document["mac-cache"]["BC:24:11:00:88:88"] = {"ip4": "10.1.0.140"}
    change = only(nautobot.sync(document, zones=LAB), Kind.CACHE)
    assert change.evidence == "PVE's MAC cache has 10.1.0.140 for a guest that PVE does not have, Nautobot nothing."
    element(document, "guests", vmid=105).pop("config")
    assert nautobot.plan(document, zones=LAB).changes == ()


def test_an_entry_with_an_address_of_the_vnet_that_the_device_left(nautobot):
    document = cluster()
    guest(document, 109)["net0"] = "virtio=BC:24:11:00:01:09,bridge=off1"
    planned = nautobot.sync(document, zones=LAB)
    assert evidence(planned, Kind.CACHE) == "PVE's MAC cache has 10.1.1.10 for guest 109 (kiosk), Nautobot nothing."
    assert evidence(planned, Kind.GONE) == (
        "PVE has net0 of guest 109 (kiosk) with MAC BC:24:11:00:01:09 on off1, not on off2."
    )


def test_an_entry_that_hides_an_address_of_nautobots(nautobot):
    document = cluster()
    document["mac-cache"][WEB2] = {}
    change = only(nautobot.sync(document, zones=LAB), Kind.CACHE)
    assert (change.after.ip4, change.after.ip6) == (ip_address("10.1.0.101"), ip_address("fd01::101"))


def test_the_cache_of_a_zone_that_does_not_ask_nautobot_is_left_alone(nautobot):
    document = cluster()
    document["mac-cache"]["BC:24:11:00:01:05"] = {}
    assert nautobot.plan(document, zones=LAB).changes == ()
