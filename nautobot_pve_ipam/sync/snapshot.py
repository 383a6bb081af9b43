"""What a PVE cluster says of itself: one JSON document in PVE's own words, understood as frozen dataclasses.

Pure: no Django. docs/sync.md describes the document, docs/snapshot.schema.json is its JSON Schema. Whatever one zone or
guest says wrong becomes a `Problem` of that zone or guest: it neither hides nor stops the rest, and is no evidence of
anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import unquote

#: Of the document. What only adds a key that older Apps may ignore keeps it.
VERSION = 1

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Range = tuple[IPAddress, IPAddress]

ZONE_TYPES = ("simple", "vlan", "qinq", "vxlan", "evpn")
VNET_TAG_MAX = 16_777_215
VMID_MIN, VMID_MAX = 100, 999_999_999
NAME_MAX_LENGTH = 255

_SDN_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,7}")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DEVICE = re.compile(r"net(\d+)")
_PLAIN_BRIDGE = re.compile(r"vmbr\d+")
#: The options of a VM's network device: any other key is its model, whose value is the MAC.
_VM_DEVICE_OPTIONS = {"bridge", "firewall", "link_down", "macaddr", "model", "mtu", "queues", "rate", "tag", "trunks"}
#: What a container or cloud-init may say instead of an address.
_NO_ADDRESS = {"", "dhcp", "auto", "manual"}
#: The path of the facade for PVE's own NetBox plugin: it has the namespace.
_FACADE = re.compile(r"/plugins/pve-ipam/netbox/([^/]+)")

T = TypeVar("T")
Element = Mapping[str, Any]


class SnapshotError(ValueError):
    """The document as a whole cannot be used: not an object, of an unknown version, or without the time."""


@dataclass(frozen=True, order=True)
class Problem:
    """Something that PVE says wrong or did not say: about what, and what is wrong with it."""

    subject: str
    why: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.why}"


@dataclass(frozen=True)
class Zone:
    """`ipam`: its IPAM entry, `ipam_type` the type of that, `namespace` the Nautobot namespace that it names."""

    name: str
    type: str
    dhcp: str = ""
    ipam: str = ""
    ipam_type: str = ""
    namespace: str | None = None


@dataclass(frozen=True)
class VNet:
    name: str
    zone: str
    alias: str = ""
    tag: int | None = None


@dataclass(frozen=True)
class Subnet:
    """`unclear` says why nothing but its network may be relied on."""

    zone: str
    vnet: str
    network: Network
    gateway: IPAddress | None = None
    snat: bool = False
    dns_zone_prefix: str = ""
    ranges: tuple[Range, ...] = ()
    unclear: str = ""


@dataclass(frozen=True)
class Device:
    """A network device of a guest. `fixed`: its addresses in the guest's own configuration."""

    key: str
    mac: str
    bridge: str
    fixed: tuple[IPAddress, ...] = ()


@dataclass(frozen=True)
class Guest:
    """`unclear` says why it may have other devices than these."""

    vmid: int
    type: str = ""
    node: str = ""
    name: str = ""
    status: str = ""
    template: bool = False
    tags: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    unclear: str = ""

    def __str__(self) -> str:
        return f"guest {self.vmid} ({self.name})" if self.name else f"guest {self.vmid}"

    @property
    def says_fixed(self) -> str:
        """Where its fixed addresses stand."""
        return "Cloud-init" if self.type == "qemu" else "The container's configuration"


@dataclass(frozen=True)
class Lease:
    """An address in PVE's own IPAM or, when a zone is migrated, in the one that is its IPAM entry `ipam`.

    Without a vmid, it is a reservation, and only another IPAM than PVE's own has one without a MAC.
    """

    zone: str
    network: Network
    ip: IPAddress
    mac: str
    vmid: int | None = None
    hostname: str = ""
    ipam: str = ""


@dataclass(frozen=True)
class Cached:
    """An entry of PVE's MAC cache: the addresses that PVE gives a MAC without asking the IPAM."""

    mac: str
    ip4: IPAddress | None = None
    ip6: IPAddress | None = None

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        return tuple(ip for ip in (self.ip4, self.ip6) if ip)


@dataclass(frozen=True)
class Snapshot:
    """`taken`: when its reading began. `cluster` is None for a single node.

    `incomplete` says why a guest that is not in it may exist nevertheless, `sdn_incomplete` the same of zones, vnets
    and subnets; "" if it cannot. `unread`: the parts that could not be read at all.
    """

    taken: datetime
    cluster: str | None
    incomplete: str
    sdn_incomplete: str
    zones: Mapping[str, Zone]
    vnets: Mapping[str, VNet]
    subnets: tuple[Subnet, ...]
    guests: Mapping[int, Guest]
    leases: tuple[Lease, ...]
    cache: Mapping[str, Cached]
    unread: frozenset[str]
    problems: tuple[Problem, ...]

    def addresses(self) -> frozenset[IPAddress]:
        """Every address that it mentions: whose these are in Nautobot is all that a plan has to know of addresses,
        besides the cluster's own allocations.
        """
        fixed = (ip for guest in self.guests.values() for device in guest.devices for ip in device.fixed)
        cached = (ip for entry in self.cache.values() for ip in entry.addresses)
        gateways = (subnet.gateway for subnet in self.subnets if subnet.gateway)
        return frozenset((*fixed, *cached, *gateways, *(lease.ip for lease in self.leases)))


def parse(document: object) -> Snapshot:
    """Understand a document. Raises SnapshotError."""
    if not isinstance(document, dict):
        raise SnapshotError("the snapshot is not a JSON object")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise SnapshotError(f"snapshot version {version!r} is unknown: this App understands version {VERSION}")
    return _Reading(document).snapshot()


_Named = TypeVar("_Named", Zone, VNet)


class _Wrong(Exception):
    """What is wrong with one thing that PVE says."""


class _Reading:
    """Reads one document, and collects what is wrong with it."""

    def __init__(self, document: Element) -> None:
        self._document = document
        self._problems: set[Problem] = set()
        self._unread: set[str] = set()
        for entry in _objects(self._part("unread", list)):
            self._not_read(str(entry.get("what")), str(entry.get("why")))

    def snapshot(self) -> Snapshot:
        taken = _time(self._document.get("taken"))
        ipams = dict(self._each("ipam", self._part("ipams", list), ("ipam",), _ipam))
        zones = _by_name(self._each("zone", self._part("zones", list), ("zone",), lambda entry: _zone(entry, ipams)))
        vnets = _by_name(self._each("vnet", self._part("vnets", list), ("vnet",), lambda entry: _vnet(entry, zones)))
        subnets = self._each_once(
            self._each("subnet", self._part("subnets", list), ("subnet",), lambda entry: self._subnet(entry, vnets))
        )
        sdn_incomplete = self._sdn_incomplete()
        homes = self._homes()
        guests = self._guests(homes)
        self._check_bridges(guests, vnets)
        leases = self._each("pve-ipam-state", self._part("pve-ipam-state", list), ("zone", "subnet", "ip"), _lease)
        macs = [{**_object(entry), "mac": mac.upper()} for mac, entry in self._part("mac-cache", dict).items()]
        status = list(_objects(self._part("cluster", list)))
        return Snapshot(
            taken=taken,
            cluster=next((str(entry.get("name")) for entry in status if entry.get("type") == "cluster"), None),
            incomplete=next(self._doubts(status, homes.values()), ""),
            sdn_incomplete=sdn_incomplete,
            zones=zones,
            vnets=vnets,
            subnets=tuple(sorted(subnets, key=lambda one: (one.vnet, one.network.version, one.network))),
            guests={guest.vmid: guest for guest in guests},
            leases=tuple(sorted(leases, key=lambda one: (one.zone, one.network.version, one.network, one.ip))),
            cache={entry.mac: entry for entry in self._each("mac-cache", macs, ("mac",), _cached)},
            unread=frozenset(self._unread),
            problems=tuple(sorted(self._problems)),
        )

    def _part(self, name: str, kind: type[T]) -> T:
        """A part of the document; empty if it could not be read."""
        value = self._document.get(name)
        if isinstance(value, kind):
            return value
        if name not in self._unread:
            self._not_read(name, "the snapshot does not have it, or not as it should be")
        return kind()

    def _not_read(self, what: str, why: str) -> None:
        self._unread.add(what)
        self._problems.add(Problem(what, f"could not be read: {why}"))

    def _each(
        self, what: str, elements: Sequence[object], keys: tuple[str, ...], read: Callable[[Element], T | None]
    ) -> list[T]:
        """What `read` makes of the elements in which nothing is wrong. `keys` tell one element from another."""
        names = [" ".join(str(_object(element).get(key)) for key in keys) for element in elements]
        times, made = Counter(names), []
        for name, element in zip(names, elements, strict=True):
            try:
                if times[name] > 1:
                    raise _Wrong(f"is there {times[name]} times")
                if (one := read(_object(element))) is not None:
                    made.append(one)
            except _Wrong as wrong:
                self._problems.add(Problem(f"{what} {name}", str(wrong)))
        return made

    def _subnet(self, entry: Element, vnets: Mapping[str, VNet]) -> Subnet:
        name, vnet = _text(entry, "subnet"), _text(entry, "vnet")
        zone, network = _zone_and_network(name)
        if vnet not in vnets or vnets[vnet].zone != zone:
            raise _Wrong(f"is of vnet {vnet!r}, which zone {zone!r} does not have")
        try:
            return Subnet(
                zone=zone,
                vnet=vnet,
                network=network,
                gateway=_gateway(entry, network),
                snat=_flag(entry, "snat"),
                dns_zone_prefix=_line(entry, "dnszoneprefix"),
                ranges=_ranges(entry, network),
            )
        except _Wrong as wrong:
            self._problems.add(Problem(f"subnet {name}", str(wrong)))
            return Subnet(zone, vnet, network, unclear=str(wrong))

    def _each_once(self, subnets: Sequence[Subnet]) -> list[Subnet]:
        """Those that a zone has once: PVE takes the ID as it is written, and IPv6 can be written in many ways."""
        times = Counter((one.zone, one.network) for one in subnets)
        for (zone, network), count in times.items():
            if count > 1:
                name = f"subnet {zone}-{network.network_address}-{network.prefixlen}"
                self._problems.add(Problem(name, f"is there {count} times, written in different ways"))
        return [one for one in subnets if times[one.zone, one.network] == 1]

    def _sdn_incomplete(self) -> str:
        sentences = map(str, sorted(self._problems))
        return next((sentence for sentence in sentences if sentence.startswith(("zone", "vnet", "subnet"))), "")

    def _guests(self, homes: Mapping[int, str]) -> list[Guest]:
        """All guests that the document mentions. `homes`: their vmids and nodes in `vmlist`."""
        elements = self._part("guests", list)
        guests = self._each("guest", elements, ("vmid",), self._guest)
        mentioned = {vmid for entry in _objects(elements) if (vmid := _vmid(entry.get("vmid")))}
        if "guests" not in self._unread:
            for vmid in homes.keys() - mentioned:
                self._problems.add(Problem(f"guest {vmid}", "is in vmlist, but not among the guests"))
        for vmid in (homes.keys() | mentioned) - {guest.vmid for guest in guests}:
            guests.append(Guest(vmid, node=homes.get(vmid, ""), unclear="what PVE says of it was not understood"))
        return sorted(guests, key=lambda guest: guest.vmid)

    def _guest(self, entry: Element) -> Guest:
        vmid, kind = _number(entry, "vmid", VMID_MIN, VMID_MAX), _text(entry, "type")
        if kind not in ("qemu", "lxc"):
            raise _Wrong(f"type {kind!r} is neither qemu nor lxc")
        config, unclear = entry.get("config"), ""
        if not isinstance(config, dict):
            config, unclear = {}, "its configuration could not be read"
            if f"guest {vmid}" not in self._unread:
                self._problems.add(Problem(f"guest {vmid}", unclear))
        name = ""
        devices: list[Device] = []
        try:
            name = _line(config, "name" if kind == "qemu" else "hostname")
        except _Wrong as wrong:
            self._problems.add(Problem(f"guest {vmid}", str(wrong)))
        for key in sorted(config):
            if _DEVICE.fullmatch(key):
                try:
                    devices += self._device(vmid, kind, key, config)
                except _Wrong as wrong:
                    unclear = f"{key} {wrong}"
                    self._problems.add(Problem(f"guest {vmid}", unclear))
        return Guest(
            vmid=vmid,
            type=kind,
            node=str(entry.get("node") or ""),
            name=name,
            status=str(entry.get("status") or ""),
            template=str(config.get("template")) == "1",
            tags=tuple(re.findall(r"[^\s;,]+", str(config.get("tags") or ""))),
            devices=tuple(devices),
            unclear=unclear,
        )

    def _device(self, vmid: int, kind: str, key: str, config: Element) -> Iterator[Device]:
        options = _options(config[key])
        models = [value for option, value in options.items() if option not in _VM_DEVICE_OPTIONS]
        mac = options.get("hwaddr") if kind == "lxc" else options.get("macaddr") or next(iter(models), None)
        bridge = options.get("bridge", "")
        if mac or bridge:
            where, fixed = key if kind == "lxc" else f"ipconfig{key[3:]}", []
            try:
                fixed = list(_fixed(_options(config.get(where, ""))))
            except _Wrong as wrong:
                self._problems.add(Problem(f"guest {vmid}", f"{where} {wrong}"))
            yield Device(key, _mac(mac), bridge, tuple(fixed))

    def _check_bridges(self, guests: Iterable[Guest], vnets: Mapping[str, VNet]) -> None:
        """Name the bridges that are neither vnets nor look like a node's own."""
        users: dict[str, list[int]] = {}
        for guest in guests:
            for device in guest.devices:
                if device.bridge and device.bridge not in vnets and not _PLAIN_BRIDGE.fullmatch(device.bridge):
                    users.setdefault(device.bridge, []).append(guest.vmid)
        if "vnets" not in self._unread:
            for bridge, vmids in users.items():
                whose = f"guest {vmids[0]}" + (f" and {len(vmids) - 1} more devices" if vmids[1:] else "")
                self._problems.add(Problem(f"bridge {bridge}", f"is no vnet of this cluster, but {whose} use it"))

    def _homes(self) -> dict[int, str]:
        """The node of each vmid in `vmlist`."""
        homes = {}
        for key, home in self._part("vmlist", dict).items():
            if vmid := _vmid(key):
                homes[vmid] = str(_object(home).get("node"))
            else:
                self._not_read("vmlist", f"{key!r} is not a vmid")
        return homes

    def _doubts(self, status: Sequence[Element], homes: Iterable[str]) -> Iterator[str]:
        """Why there may be guests that are in no list."""
        for unread in sorted(self._unread & {"cluster", "vmlist"}):
            yield f"{unread} could not be read"
        clusters = [entry for entry in status if entry.get("type") == "cluster"]
        nodes = {str(entry.get("name")): entry for entry in status if entry.get("type") == "node"}
        if not clusters and [entry.get("nodeid") for entry in nodes.values()] != [0]:
            yield "the cluster's status has neither a cluster nor a single node"
        for cluster in clusters:
            if not cluster.get("quorate"):
                yield "the cluster has no quorum"
            if cluster.get("nodes") != len(nodes):
                yield f"the cluster has {cluster.get('nodes')} nodes, of which its status lists {len(nodes)}"
        yield from (f"node {name} is offline" for name in sorted(nodes) if not nodes[name].get("online"))
        unknown = sorted(set(homes) - nodes.keys())
        yield from (f"vmlist has guests on node {name}, which the cluster's status does not list" for name in unknown)


def _by_name(things: Iterable[_Named]) -> dict[str, _Named]:
    return {thing.name: thing for thing in sorted(things, key=lambda thing: thing.name)}


def _objects(elements: Iterable[object]) -> Iterator[Element]:
    return (element for element in elements if isinstance(element, dict))


def _object(element: object) -> Element:
    return element if isinstance(element, dict) else {}


def _text(entry: Element, key: str) -> str:
    """Text, or a number as text; empty if it is not there."""
    value = entry.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _Wrong(f"{key} {_quoted(value)} is not text")
    return str(value).strip()


def _line(entry: Element, key: str) -> str:
    text = _text(entry, key)
    if _CONTROL.search(text) or len(text) > NAME_MAX_LENGTH:
        raise _Wrong(f"{key} {_quoted(text)} is not one line of at most {NAME_MAX_LENGTH} characters")
    return text


def _flag(entry: Element, key: str) -> bool:
    return _text(entry, key) not in ("", "0")


def _number(entry: Element, key: str, low: int, high: int) -> int:
    text = _text(entry, key)
    if not re.fullmatch(r"[0-9]{1,20}", text) or not low <= int(text) <= high:
        raise _Wrong(f"{key} {_quoted(text)} is not a whole number from {low} to {high}")
    return int(text)


def _vmid(value: object) -> int | None:
    try:
        return _number({"vmid": value}, "vmid", VMID_MIN, VMID_MAX)
    except _Wrong:
        return None


def _time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise SnapshotError(f"taken {_quoted(value)} is not a time with a time zone, such as 2026-11-26T20:00:00Z")
    return time


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _sdn_id(entry: Element, key: str) -> str:
    text = _text(entry, key)
    if not _SDN_ID.fullmatch(text):
        raise _Wrong(f"{key} {_quoted(text)} is not an ID of 1 to 8 letters and digits")
    return text


def _mac(text: str | None) -> str:
    if not _MAC.fullmatch(text or ""):
        raise _Wrong(f"MAC {_quoted(text)} is not of the form BC:24:11:00:00:01" if text else "has no MAC")
    return str(text).upper()


def _ip(text: str, what: str) -> IPAddress:
    try:
        if "%" in text:
            raise ValueError
        return ipaddress.ip_address(text)
    except ValueError:
        raise _Wrong(f"{what} {_quoted(text)} is not an IP address") from None


def _network(text: str, what: str) -> Network:
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        return ipaddress.ip_network(text)
    except ValueError:
        raise _Wrong(f"{what} {_quoted(text)} is not a network such as 10.0.0.0/24") from None


def _options(text: object) -> dict[str, str]:
    """PVE's property strings, `virtio=BC:24:11:00:00:01,bridge=vnet1`."""
    if not isinstance(text, str):
        raise _Wrong(f"{_quoted(text)} is not text")
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _fixed(options: Mapping[str, str]) -> Iterator[IPAddress]:
    for key, version in (("ip", 4), ("ip6", 6)):
        text = options.get(key, "")
        if text not in _NO_ADDRESS:
            ip = _ip(text.partition("/")[0], key)
            if ip.version != version:
                raise _Wrong(f"{key} {_quoted(text)} is not of IPv{version}")
            yield ip


def _ipam(entry: Element) -> tuple[str, tuple[str, str | None]]:
    """The entry's ID, its type and the Nautobot namespace that it names."""
    kind, namespace = _text(entry, "type"), None
    if kind == "nautobot":
        namespace = _text(entry, "namespace") or None
    elif kind == "netbox" and (found := _FACADE.search(_text(entry, "url"))):
        namespace = unquote(found[1])
    return _text(entry, "ipam"), (kind, namespace)


def _zone(entry: Element, ipams: Mapping[str, tuple[str, str | None]]) -> Zone:
    ipam = _text(entry, "ipam")
    ipam_type, namespace = ipams.get(ipam, ("", None))
    return Zone(_sdn_id(entry, "zone"), _text(entry, "type"), _line(entry, "dhcp"), ipam, ipam_type, namespace)


def _vnet(entry: Element, zones: Mapping[str, Zone]) -> VNet:
    zone = _text(entry, "zone")
    if zone not in zones:
        raise _Wrong(f"zone {_quoted(zone)} does not exist")
    tag = _number(entry, "tag", 1, VNET_TAG_MAX) if entry.get("tag") else None
    return VNet(_sdn_id(entry, "vnet"), zone, _line(entry, "alias"), tag)


def _zone_and_network(subnet: str) -> tuple[str, Network]:
    """From PVE's ID of a subnet, `zone-10.0.0.0-24`."""
    zone, _, rest = subnet.partition("-")
    return zone, _network("/".join(rest.rsplit("-", 1)), "ID")


def _gateway(entry: Element, network: Network) -> IPAddress | None:
    text = _text(entry, "gateway")
    if not text:
        return None
    gateway = _ip(text, "gateway")
    if gateway.version != network.version or not (network.num_addresses == 1 or is_usable(gateway, network)):
        raise _Wrong(f"gateway {gateway} is not a usable address of {network}")
    return gateway


def is_usable(ip: IPAddress, network: Network) -> bool:
    """Whether a host may have the address: inside, not IPv4's network or broadcast address, not IPv6's anycast one."""
    if ip not in network:
        return False
    if network.prefixlen >= network.max_prefixlen - 1:
        return True
    return ip != network.network_address and not (ip.version == 4 and ip == network.broadcast_address)


def _ranges(entry: Element, network: Network) -> tuple[Range, ...]:
    """Its DHCP ranges in ascending order; PVE has them as objects or as property strings."""
    stated, ranges = entry.get("dhcp-range") or [], []
    if not isinstance(stated, list):
        raise _Wrong(f"dhcp-range {_quoted(stated)} is not a list")
    for one in stated:
        options = _options(one) if isinstance(one, str) else _object(one)
        first, last = (_ip(_text(options, key), f"dhcp-range {key}") for key in ("start-address", "end-address"))
        if first not in network or last not in network or int(first) > int(last):
            raise _Wrong(f"dhcp-range {first}-{last} is not a range of {network}")
        ranges.append((first, last))
    ranges.sort(key=lambda pair: [*map(int, pair)])
    for (_, before), (first, last) in pairwise(ranges):
        if int(first) <= int(before):
            raise _Wrong(f"dhcp-range {first}-{last} overlaps the one before it")
    return tuple(ranges)


def _lease(entry: Element) -> Lease | None:
    if _flag(entry, "gateway"):
        return None
    mac, vmid, hostname = _text(entry, "mac"), _text(entry, "vmid"), _line(entry, "hostname")
    network, ip = _network(_text(entry, "subnet"), "subnet"), _ip(_text(entry, "ip"), "ip")
    if ip not in network:
        raise _Wrong(f"ip {ip} is not in subnet {network}")
    return Lease(
        zone=_text(entry, "zone"),
        network=network,
        ip=ip,
        mac=_mac(mac) if mac else "",
        vmid=_number(entry, "vmid", VMID_MIN, VMID_MAX) if vmid else None,
        hostname="" if hostname.startswith(".") else hostname,
        ipam=_line(entry, "ipam"),
    )


def _cached(entry: Element) -> Cached:
    found = {key: _ip(text, key) if (text := _text(entry, key)) else None for key in ("ip4", "ip6")}
    return Cached(_mac(_text(entry, "mac")), **found)
