"""What a document means; and whatever one zone or guest says wrong is named, and stops nothing else."""

from ipaddress import ip_address, ip_network

import pytest

from nautobot_pve_ipam.sync.snapshot import Cached, Device, SnapshotError, parse
from tests.pure.sync.pve import cluster, element, guest

MAC = "BC:24:11:00:01:00"


def problems(document):
    return {problem.subject: problem.why for problem in parse(document).problems}


def test_a_cluster_is_understood():
    snapshot = parse(cluster())
    assert (snapshot.cluster, snapshot.incomplete, snapshot.problems) == ("dc1", "", ())
    assert snapshot.taken.isoformat() == "2026-11-26T20:00:00+00:00"
    assert {name: (zone.type, zone.dhcp, zone.ipam_type, zone.namespace) for name, zone in snapshot.zones.items()} == {
        "lab": ("simple", "dnsmasq", "pve", None),
        "office": ("simple", "dnsmasq", "nautobot", "pve"),
        "prod": ("vlan", "", "nautobot", "pve"),
    }
    assert (snapshot.vnets["prod2"].alias, snapshot.vnets["prod2"].tag) == ("Databases", 200)
    subnet = next(one for one in snapshot.subnets if one.network == ip_network("10.1.0.0/24"))
    assert (subnet.zone, subnet.vnet, subnet.gateway, subnet.snat) == ("office", "off1", ip_address("10.1.0.1"), True)
    assert [f"{first}-{last}" for first, last in subnet.ranges] == ["10.1.0.100-10.1.0.149", "10.1.0.200-10.1.0.249"]
    assert snapshot.cache["BC:24:11:00:01:08"] == Cached("BC:24:11:00:01:08", ip_address("10.2.1.11"))
    assert [(str(lease.ip), lease.mac, lease.vmid) for lease in snapshot.leases][:2] == [
        ("10.2.0.30", "00:11:22:33:44:55", None),
        ("10.2.0.100", "BC:24:11:00:01:05", 105),
    ]


def test_guests_and_their_devices():
    guests = parse(cluster()).guests
    assert list(guests) == list(range(100, 110))
    assert guests[100].devices == (Device("net0", MAC, "off1"),)
    assert (guests[100].name, guests[100].tags, guests[101].status) == ("web1", ("shop", "web"), "stopped")
    assert list(map(str, guests[102].devices[0].fixed)) == ["10.3.0.53", "2001:db8:3::53"]
    assert guests[103].template
    assert [(one.mac, list(map(str, one.fixed))) for one in guests[104].devices] == [
        ("BC:24:11:00:01:04", ["10.3.1.20"]),
        ("BC:24:11:00:01:14", []),
    ]
    assert guests[108].devices[0].mac == "BC:24:11:00:01:08"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "the snapshot is not a JSON object"),
        ({}, "snapshot version None is unknown: this App understands version 1"),
        ({"version": 7}, "snapshot version 7 is unknown: this App understands version 1"),
        ({"version": True, "taken": "2026-11-26T20:00:00Z"}, "snapshot version True is unknown"),
        ({"version": 1}, "taken None is not a time with a time zone"),
        ({"version": 1, "taken": "2026-11-26T20:00:00"}, "taken '2026-11-26T20:00:00' is not a time with a time zone"),
    ],
)
def test_a_document_that_cannot_be_used_at_all(document, why):
    with pytest.raises(SnapshotError, match=f"^{why}"):
        parse(document)


def test_an_almost_empty_document_is_evidence_of_nothing():
    snapshot = parse({"version": 1, "taken": "2026-11-26T20:00:00Z"})
    assert snapshot.incomplete == "cluster could not be read"
    assert {problem.subject for problem in snapshot.problems} >= {"cluster", "vmlist", "zones", "guests", "mac-cache"}


DEVICES = {
    "virtio=BC:24:11:00:01,bridge=off1": "net0 MAC 'BC:24:11:00:01' is not of the form BC:24:11:00:00:01",
    "virtio,bridge=off1": "net0 has no MAC",
    "bridge=off1": "net0 has no MAC",
    "model=virtio,macaddr=nonsense,bridge=off1": "net0 MAC 'nonsense' is not of the form BC:24:11:00:00:01",
    7.5: "net0 7.5 is not text",
}


@pytest.mark.parametrize("net", DEVICES)
def test_a_device_that_is_wrong_is_named_and_leaves_its_guest_unclear(net):
    document = cluster()
    guest(document, 100)["net0"] = net
    snapshot = parse(document)
    assert snapshot.guests[100].unclear == DEVICES[net]
    assert problems(document) == {"guest 100": DEVICES[net]}
    assert snapshot.guests[101] == parse(cluster()).guests[101]


def wrong(part, keys, change, subject, why):
    return pytest.param(part, keys, change, subject, why, id=f"{subject}: {why}")


WRONG = [
    wrong("zones", {"zone": "lab"}, {"zone": "laboratory"}, "zone laboratory", "zone 'laboratory' is not an ID"),
    wrong("vnets", {"vnet": "off1"}, {"zone": "attic"}, "vnet off1", "zone 'attic' does not exist"),
    wrong("vnets", {"vnet": "off1"}, {"tag": 16777216}, "vnet off1", "tag '16777216' is not a whole number"),
    wrong("vnets", {"vnet": "off1"}, {"alias": "a\nb"}, "vnet off1", "alias 'a\\nb' is not one line"),
    wrong(
        "subnets",
        {"vnet": "off2"},
        {"vnet": "prod1"},
        "subnet office-10.1.1.0-24",
        "is of vnet 'prod1', which zone 'office' does not have",
    ),
    wrong(
        "subnets", {"vnet": "off2"}, {"subnet": "office-10.1.1.5-24"}, "subnet office-10.1.1.5-24", "ID '10.1.1.5/24'"
    ),
    wrong(
        "subnets",
        {"vnet": "off2"},
        {"gateway": "10.9.9.9"},
        "subnet office-10.1.1.0-24",
        "gateway 10.9.9.9 is not a usable address of 10.1.1.0/24",
    ),
    wrong(
        "subnets",
        {"vnet": "off2"},
        {"dhcp-range": ["start-address=10.1.1.9,end-address=10.1.1.3"]},
        "subnet office-10.1.1.0-24",
        "dhcp-range 10.1.1.9-10.1.1.3 is not a range of 10.1.1.0/24",
    ),
    wrong(
        "subnets",
        {"vnet": "off2"},
        {"dhcp-range": [{"start-address": f"10.1.1.{n}", "end-address": "10.1.1.20"} for n in (5, 6)]},
        "subnet office-10.1.1.0-24",
        "dhcp-range 10.1.1.6-10.1.1.20 overlaps the one before it",
    ),
    wrong("guests", {"vmid": 101}, {"vmid": 100}, "guest 100", "is there 2 times"),
    wrong("guests", {"vmid": 101}, {"vmid": 99}, "guest 99", "vmid '99' is not a whole number from 100 to 999999999"),
    wrong("guests", {"vmid": 101}, {"type": "openvz"}, "guest 101", "type 'openvz' is neither qemu nor lxc"),
    wrong("guests", {"vmid": 101}, {"config": None}, "guest 101", "its configuration could not be read"),
    wrong("pve-ipam-state", {"vmid": "105"}, {"vmid": "x"}, "pve-ipam-state lab 10.2.0.0/24 10.2.0.100", "vmid 'x'"),
    wrong(
        "pve-ipam-state",
        {"vmid": "105"},
        {"ip": "10.2.0.300"},
        "pve-ipam-state lab 10.2.0.0/24 10.2.0.300",
        "ip '10.2.0.300' is not an IP address",
    ),
    wrong(
        "pve-ipam-state",
        {"vmid": "105"},
        {"ip": "fd00::1"},
        "pve-ipam-state lab 10.2.0.0/24 fd00::1",
        "ip fd00::1 is not in subnet 10.2.0.0/24",
    ),
]


def test_one_subnet_written_in_two_ways_is_none():
    document = cluster()
    entry = element(document, "subnets", vnet="off2")
    entry["subnet"] = "office-fd00:1::-64"
    document["subnets"].append({**entry, "subnet": "office-fd00:1:0::-64"})
    for one in document["subnets"][-1], entry:
        one.pop("gateway", None)
        one.pop("dhcp-range", None)
    assert problems(document)["subnet office-fd00:1::-64"] == "is there 2 times, written in different ways"
    snapshot = parse(document)
    assert "fd00:1::/64" not in {str(one.network) for one in snapshot.subnets}
    assert snapshot.sdn_incomplete


@pytest.mark.parametrize(("part", "keys", "change", "subject", "why"), WRONG)
def test_an_element_that_is_wrong_is_named_and_stops_nothing_else(part, keys, change, subject, why):
    document = cluster()
    element(document, part, **keys).update(change)
    assert problems(document)[subject].startswith(why)
    snapshot, before = parse(document), parse(cluster())
    assert len(snapshot.guests) == len(before.guests)
    assert snapshot.guests[104] == before.guests[104]
    assert snapshot.zones["prod"] == before.zones["prod"]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("ipconfig0", "ip=10.3.1.300/24", "ipconfig0 ip '10.3.1.300' is not an IP address"),
        ("ipconfig0", "ip6=10.3.1.20/24", "ipconfig0 ip6 '10.3.1.20/24' is not of IPv6"),
        ("name", "db\x00", "name 'db\\x00' is not one line of at most 255 characters"),
    ],
)
def test_a_wrong_address_or_name_leaves_the_guest_its_devices(key, value, why):
    document = cluster()
    guest(document, 104)[key] = value
    assert problems(document) == {"guest 104": why}
    found = parse(document).guests[104]
    assert (found.unclear, len(found.devices)) == ("", 2)


def test_a_bridge_that_is_no_vnet_is_named_once_unless_it_is_a_nodes_own():
    document = cluster()
    for vmid in (100, 101):
        guest(document, vmid)["net0"] = guest(document, vmid)["net0"].replace("off1", "attic")
    assert problems(document) == {"bridge attic": "is no vnet of this cluster, but guest 100 and 1 more devices use it"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda status: status[0].update(quorate=0), "the cluster has no quorum"),
        (lambda status: status[2].update(online=0), "node pve2 is offline"),
        (lambda status: status.pop(3), "the cluster has 3 nodes, of which its status lists 2"),
        (lambda status: status.pop(0), "the cluster's status has neither a cluster nor a single node"),
        (
            lambda status: status[3].update(name="pve9"),
            "vmlist has guests on node pve3, which the cluster's status does not list",
        ),
    ],
)
def test_what_makes_a_snapshot_incomplete(change, why):
    document = cluster()
    change(document["cluster"])
    assert parse(document).incomplete == why


def test_a_single_node_is_complete_and_names_no_cluster():
    document = cluster()
    document["cluster"] = [{"type": "node", "name": "pve1", "nodeid": 0, "online": 1}]
    for home in document["vmlist"].values():
        home["node"] = "pve1"
    assert (parse(document).cluster, parse(document).incomplete) == (None, "")


def test_a_guest_in_the_list_is_there_even_if_nothing_else_is_said_of_it():
    document = cluster()
    document["guests"] = [one for one in document["guests"] if one["vmid"] != 105]
    assert parse(document).guests[105].unclear
    assert problems(document) == {"guest 105": "is in vmlist, but not among the guests"}


@pytest.mark.parametrize(
    ("entry", "namespace"),
    [
        ({"type": "nautobot", "namespace": "pve"}, "pve"),
        ({"type": "netbox", "url": "https://n/api/plugins/pve-ipam/netbox/branch%20office/dc1"}, "branch office"),
        ({"type": "netbox", "url": "https://netbox.example.com/api"}, None),
        ({"type": "phpipam", "url": "https://n/plugins/pve-ipam/netbox/pve"}, None),
    ],
)
def test_the_namespace_that_an_ipam_entry_names(entry, namespace):
    document = cluster()
    document["ipams"] = [{"ipam": "nautobot", **entry}]
    assert parse(document).zones["office"].namespace == namespace
