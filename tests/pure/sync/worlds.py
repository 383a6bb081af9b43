"""Random snapshots, and random states of Nautobot: small enough for guests to meet.

Made from a `random.Random` that Hypothesis seeds: to draw each of their hundreds of values by itself takes ten times as
long. To see Hypothesis shrink a failure, set `use_true_random=False` in `randoms`.
"""

from datetime import timedelta
from ipaddress import ip_network
from random import Random

from hypothesis import strategies as st

from nautobot_pve_ipam.sync.changes import KnownAddress, KnownSubnet, KnownVNet, KnownZone
from tests.pure.sync.nautobot import NOW, Nautobot

TAKEN = "2026-11-26T20:00:00+00:00"
ZONES = ("z1", "z2", "z3")
#: What belongs where, mostly, in PVE as well as in Nautobot.
VNETS = {"v1": "z1", "v2": "z1", "v3": "z2", "v4": "z3"}
PLACES = {
    "10.0.0.0/29": "v1",
    "fd00::/126": "v1",
    "10.0.1.0/29": "v2",
    "10.0.1.0/30": "v3",
    "10.0.2.0/29": "v3",
    "10.0.9.1/32": "v4",
}
NETWORKS = tuple(map(ip_network, PLACES))
MACS = tuple(f"BC:24:11:00:00:{number:02X}" for number in range(5))
VMIDS = tuple(range(100, 105))
NODES = ("n1", "n2", "n3")
CLUSTERS = ("dc1", "dc2", None)
IPS = tuple(ip for network in NETWORKS for ip in network)
IPAMS = (
    {"ipam": "pve", "type": "pve"},
    {"ipam": "ours", "type": "nautobot", "url": "https://n.example.com/api", "namespace": "pve"},
    {"ipam": "facade", "type": "netbox", "url": "https://n.example.com/api/plugins/pve-ipam/netbox/pve/dc1"},
    {"ipam": "other", "type": "nautobot", "url": "https://n.example.com/api", "namespace": "other"},
)
AGES = (None, None, NOW - timedelta(days=2), NOW - timedelta(hours=1))

randoms = st.randoms(use_true_random=True)
options = randoms.map(
    lambda rng: {
        "adopt": rng.random() < 0.5,
        "prune": rng.random() < 0.5,
        "zones": frozenset(zone for zone in ZONES if rng.random() < 0.5),
    }
)


def often(rng, value, *others):
    """Mostly the first value: what is wrong should not hide everything else."""
    return value if rng.random() < 0.9 else rng.choice(others)


def some(rng, things):
    return [thing for thing in things if rng.random() < 0.9]


def place(rng, network):
    """The zone and the vnet of a network."""
    vnet = often(rng, PLACES[str(network)], *VNETS)
    return often(rng, VNETS[vnet], *ZONES), vnet


def owner(rng):
    """A MAC and a vmid, mostly of one guest."""
    number = rng.randrange(len(VMIDS))
    return often(rng, MACS[number], *MACS), often(rng, VMIDS[number], *VMIDS)


def usable(network):
    hosts = list(network)
    return hosts if len(hosts) < 3 else hosts[1:-1]


def documents(cluster="dc1"):
    return randoms.map(lambda rng: _document(rng, cluster))


def _document(rng: Random, cluster: str):
    subnets = []
    for network in some(rng, NETWORKS):
        zone, vnet = place(rng, network)
        entry = {"subnet": f"{zone}-{str(network).replace('/', '-')}", "vnet": vnet}
        if rng.random() < 0.5:
            entry["gateway"] = str(often(rng, usable(network)[0], *network))
        if rng.random() < 0.5:
            entry["dhcp-range"] = [f"start-address={network[0]},end-address={network[-1]}"]
        subnets.append(entry)
    # Most vnets are in the zone that their subnets name.
    homes = {entry["vnet"]: entry["subnet"].partition("-")[0] for entry in subnets}
    zones = [
        {
            "zone": zone,
            "type": often(rng, "simple", "vlan", "faucet"),
            "ipam": often(rng, "ours", "facade", "pve", "other"),
        }
        for zone in some(rng, ZONES)
    ]
    for zone in zones:
        if rng.random() < 0.5:
            zone["dhcp"] = "dnsmasq"
    guests = [_guest(rng, vmid) for vmid in VMIDS if rng.random() < 0.6]
    return {
        "version": 1,
        "taken": TAKEN,
        "cluster": [
            {"type": "cluster", "name": cluster, "nodes": 3, "quorate": int(rng.random() < 0.95)},
            *({"type": "node", "name": node, "nodeid": 1, "online": int(rng.random() < 0.98)} for node in NODES),
        ],
        "vmlist": {str(one["vmid"]): {"node": one["node"], "type": one["type"]} for one in some(rng, guests)},
        "zones": zones,
        "vnets": [{"vnet": vnet, "zone": often(rng, homes.get(vnet, "z1"), *ZONES)} for vnet in some(rng, VNETS)],
        "subnets": subnets,
        "ipams": list(IPAMS),
        "guests": guests,
        "mac-cache": {
            mac: {"ip4": rng.choice([None, *map(str, IPS)]), "ip6": rng.choice([None, "fd00::1", "fd00::2"])}
            for mac in MACS
            if rng.random() < 0.5
        },
        "pve-ipam-state": [_lease(rng, network) for network in NETWORKS if rng.random() < 0.5],
        "unread": [],
    }


def _guest(rng: Random, vmid: int):
    kind = rng.choice(["qemu", "lxc"])
    guest = {"vmid": vmid, "type": kind, "node": rng.choice(NODES), "status": rng.choice(["running", "stopped"])}
    if rng.random() < 0.02:
        return guest
    config = {"name" if kind == "qemu" else "hostname": rng.choice(["web", "db"])} if rng.random() < 0.8 else {}
    for number in range(rng.choice([0, 1, 1, 1, 2])):
        mac, bridge, address = often(rng, MACS[vmid - 100], *MACS), rng.choice((*VNETS, "vmbr0")), rng.choice(IPS)
        fixed = f",ip{'' if address.version == 4 else '6'}={address}/24" if rng.random() < 0.5 else ""
        if kind == "lxc":
            config[f"net{number}"] = f"name=eth{number},bridge={bridge},hwaddr={mac}{fixed}"
        else:
            config[f"net{number}"] = f"virtio={mac},bridge={bridge}"
            config |= {f"ipconfig{number}": fixed[1:]} if fixed else {}
    if rng.random() < 0.02:
        config["net0"] = rng.choice(["virtio=nonsense,bridge=v1", "bridge=v2", ""])
    if rng.random() < 0.1:
        config["template"] = 1
    return {**guest, "config": config}


def _lease(rng: Random, network):
    (zone, _), (mac, vmid) = place(rng, network), owner(rng)
    lease = {"zone": zone, "subnet": str(network), "ip": str(rng.choice(list(network))), "mac": mac, "hostname": "web"}
    return lease | ({"vmid": str(vmid)} if rng.random() < 0.8 else {})


def nautobots():
    """What hooks, people and other clusters have left in a namespace."""
    return randoms.map(_nautobot)


def _nautobot(rng: Random):
    nautobot = Nautobot()
    for network in NETWORKS:
        for cluster in CLUSTERS:
            if rng.random() < (0.7 if cluster == "dc1" else 0.2) and _fits(nautobot, cluster, network):
                zone, vnet = place(rng, network)
                nautobot.zones[cluster, zone] = KnownZone(cluster, zone, "simple", gone_since=rng.choice(AGES))
                nautobot.vnets[cluster, (zone, vnet)] = KnownVNet(cluster, zone, vnet, gone_since=rng.choice(AGES))
                nautobot.subnets[cluster, zone, vnet, network] = KnownSubnet(
                    cluster,
                    zone,
                    vnet,
                    network,
                    gateway=often(rng, usable(network)[0], None, *usable(network)),
                    adopted=rng.random() < 0.3,
                    gone_since=rng.choice(AGES),
                )
                nautobot.prefixes.add(network)
        if rng.random() < 0.1:
            nautobot.prefixes.add(network)
    for subnet in nautobot.subnets.values():
        for ip in usable(subnet.network):
            if ip not in nautobot.addresses and (address := _address(rng, nautobot, ip, subnet)):
                nautobot.addresses[ip] = address
    nautobot.released = frozenset((rng.choice(MACS), rng.choice(IPS)) for _ in range(rng.randint(0, 3)))
    return nautobot


def _fits(nautobot, cluster, network):
    others = [one for one in nautobot.subnets.values() if one.network.overlaps(network)]
    return all(one.network == network and one.cluster != cluster for one in others)


def _address(rng: Random, nautobot, ip, subnet):
    kind = rng.choice(["free", "plain", "loose", "guest", "guest", "guest"])
    if ip in [one.gateway for one in nautobot.subnets.values() if one.network == subnet.network]:
        kind = rng.choice(["free", "plain", "gateway"]) if ip == subnet.gateway else "free"
    if kind == "free":
        return None
    if kind == "plain":
        return KnownAddress(ip, allocated=False)
    mac, vmid = owner(rng)
    mac, vmid = often(rng, mac, ""), often(rng, vmid, None)
    if kind == "loose":
        return KnownAddress(ip, mac=mac, vmid=vmid)
    within = {"cluster": subnet.cluster, "zone": subnet.zone, "vnet": subnet.vnet, "network": subnet.network}
    if kind == "gateway":
        return KnownAddress(ip, **within, is_gateway=True)
    if mac and any(one.mac == mac and one.network == subnet.network for one in nautobot.addresses.values()):
        return None
    return KnownAddress(
        ip,
        **within,
        mac=mac,
        vmid=vmid,
        hostname=rng.choice(["", "web", "old"]),
        adopted=rng.random() < 0.1,
        last_seen=rng.choice([None, None, NOW, NOW - timedelta(days=3)]),
        gone_since=rng.choice(AGES),
    )
