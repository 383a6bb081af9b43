"""What follows from a snapshot: the ordered changes that make Nautobot say what PVE says, each with its evidence.

Pure: no Django. Identity is (cluster, vmid, MAC), never an address or a name alone. PVE's word counts for what exists
in PVE, Nautobot's for which address is whose. What a sync may not decide is planned as a difference for a person. The
changes are planned on a working copy of what Nautobot has, one after the other, so that nothing is left to do when all
are done. Absence of evidence releases nothing: docs/sync.md says what is evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from functools import partialmethod
from typing import NamedTuple

from nautobot_pve_ipam.subject import Subject
from nautobot_pve_ipam.sync.changes import (
    Change,
    Fact,
    Kind,
    Known,
    KnownAddress,
    KnownSubnet,
    KnownVNet,
    KnownZone,
    Options,
    Plan,
    Settlement,
    order,
    subject_of,
)
from nautobot_pve_ipam.sync.snapshot import (
    ZONE_TYPES,
    Cached,
    Device,
    Guest,
    IPAddress,
    Lease,
    Network,
    Problem,
    Snapshot,
    Subnet,
    Zone,
    is_usable,
)


def plan(snapshot: Snapshot, known: Known, options: Options) -> Plan:
    """What to do so that Nautobot says what PVE says. Raises ValueError if the snapshot is of another cluster."""
    if snapshot.cluster and known.cluster and snapshot.cluster != known.cluster:
        raise ValueError(f"the snapshot is of cluster {snapshot.cluster}, not of cluster {known.cluster}")
    return _Planner(snapshot, known, options).plan()


#: What counts first: PVE hands out and takes back what its own IPAM has, and then what its MAC cache has.
_LEASE, _CACHE, _CONTAINER, _CLOUD_INIT, _NAUTOBOT = range(5)


class _Claim(NamedTuple):
    """Somebody in PVE has an address: the device of a guest or, in PVE's own IPAM, a reservation.

    `told` is a name as PVE tells it to an IPAM, with the subnet's DNS zone prefix.
    """

    rank: int
    ip: IPAddress
    vnet: str
    mac: str
    vmid: int | None
    name: str
    told: str
    whose: str
    source: str

    @property
    def sentence(self) -> str:
        return f"{self.source} has {self.ip} for {self.whose}"

    def hostname(self, subnet: KnownSubnet) -> str:
        prefix = subnet.dns_zone_prefix
        return (f"{self.name}.{prefix}" if prefix else self.name) if self.name else self.told


class _Planner:
    """Plans one sync on a working copy: `_zones` to `_held` are what Nautobot has after the changes so far."""

    def __init__(self, snapshot: Snapshot, known: Known, options: Options) -> None:
        self._snapshot = snapshot
        self._options = options
        self._cluster = known.cluster
        self._namespace = known.namespace
        self._prefixes = known.prefixes
        self._released = known.released
        self._time = min(snapshot.taken, options.now)
        self._changes: dict[tuple[Kind, Subject], Change] = {}
        self._problems = set(snapshot.problems)

        self._zones = {zone.name: zone for zone in known.zones}
        self._vnets = {(vnet.zone, vnet.name): vnet for vnet in known.vnets}
        self._subnets = {(one.cluster, one.zone, one.vnet, one.network): one for one in known.subnets}
        self._held = {address.ip: address for address in known.addresses}
        self._ips_of_mac: dict[str, set[IPAddress]] = {}
        for address in self._held.values():
            if self._is_ours(address) and not address.is_gateway:
                self._ips_of_mac.setdefault(address.mac, set()).add(address.ip)

        self._pve_zones = {zone.name: zone for zone in self._taking_part()}
        self._pve_vnets = {vnet.name: vnet for vnet in snapshot.vnets.values() if vnet.zone in self._pve_zones}
        self._pve_subnets = [subnet for subnet in snapshot.subnets if subnet.vnet in self._pve_vnets]
        #: Of each network in PVE: the zones and vnets that have it.
        self._places: dict[Network, list[tuple[str, str]]] = {}
        for subnet in self._pve_subnets:
            self._places.setdefault(subnet.network, []).append((subnet.zone, subnet.vnet))
        self._devices: dict[str, list[tuple[Guest, Device]]] = {}
        for guest in snapshot.guests.values():
            for device in guest.devices:
                self._devices.setdefault(device.mac, []).append((guest, device))
        self._knows_sdn = not snapshot.unread & {"zones", "vnets", "subnets"}
        self._unclear = next((guest for guest in snapshot.guests.values() if guest.unclear), None)
        #: Of each vnet: the subnets in which addresses can be held, and the networks in which they cannot.
        self._open: dict[str, list[KnownSubnet]] = {}
        self._closed: dict[str, list[Network]] = {}
        #: Of all subnets, whosever they are.
        self._gateways: set[tuple[Network, IPAddress | None]] = set()

    def plan(self) -> Plan:
        claims = sorted(self._claims(), key=lambda one: (one.rank, one.vmid or 0, one.mac, one.ip.version, one.ip))
        self._plan_departures(claims)
        self._plan_sdn()
        self._plan_empty()
        for claim in claims:
            self._plan_claim(claim)
        self._plan_facts()
        self._plan_cache()
        self._name_macs_there_twice()
        return Plan(tuple(sorted(self._changes.values(), key=order)), tuple(sorted(self._problems)))

    def _add(
        self,
        kind: Kind,
        subject: Subject,
        before: Fact | None,
        after: Fact | None,
        evidence: str,
        *settlements: Settlement,
        is_due: bool = True,
    ) -> None:
        self._changes.setdefault(
            (kind, subject), Change(kind, subject, before, after, f"{evidence}.", is_due, settlements)
        )

    _differ = partialmethod(_add, is_due=False)

    def _problem(self, subject: str, why: str) -> None:
        self._problems.add(Problem(subject, why))

    # Who takes part

    def _taking_part(self) -> Iterator[Zone]:
        zones = self._snapshot.zones
        for name in self._options.zones - zones.keys():
            self._problem(f"zone {name}", "does not exist in PVE, or could not be read")
        for zone in zones.values():
            if zone.namespace != self._namespace and zone.name not in self._options.zones:
                continue
            if zone.namespace not in (None, self._namespace):
                why = f"its IPAM entry names namespace {zone.namespace}, not {self._namespace}"
                self._problem(f"zone {zone.name}", why)
            elif zone.ipam and not zone.ipam_type:
                self._problem(f"zone {zone.name}", f"its IPAM entry {zone.ipam} could not be read")
            elif zone.type not in ZONE_TYPES:
                self._problem(f"zone {zone.name}", f"type {zone.type!r} is not known to Nautobot")
            else:
                yield zone

    def _is_concerned(self, zone: str) -> bool:
        """Whether a zone in Nautobot takes part, or is one that PVE does not have."""
        return zone in self._pve_zones or zone not in self._snapshot.zones

    def _is_ours(self, address: KnownAddress) -> bool:
        return address.allocated and address.network is not None and address.cluster == self._cluster

    def _is_newer(self, address: KnownAddress) -> bool:
        """Whether PVE has spoken of it since the snapshot was taken, which then says nothing of it."""
        return address.last_seen is not None and address.last_seen > self._time

    def _home(self, address: KnownAddress) -> tuple[str, str]:
        """The zone and the vnet that have an allocation's subnet in PVE: it may have moved to other ones."""
        places = self._places.get(address.network) if address.network else None
        return places[0] if places and (address.zone, address.vnet) not in places else (address.zone, address.vnet)

    def _only_device(self, mac: str) -> tuple[Guest, Device] | None:
        found = self._devices.get(mac, ()) if mac else ()
        return found[0] if len(found) == 1 else None

    def _hold(self, address: KnownAddress) -> None:
        self._drop(address.ip)
        self._held[address.ip] = address
        if not address.is_gateway:
            self._ips_of_mac.setdefault(address.mac, set()).add(address.ip)

    def _drop(self, ip: IPAddress) -> None:
        if before := self._held.pop(ip, None):
            self._ips_of_mac.get(before.mac, set()).discard(ip)

    # What PVE says of addresses

    def _claims(self) -> Iterator[_Claim]:
        for lease in self._snapshot.leases:
            yield from self._lease(lease)
        for mac, entry in self._snapshot.cache.items():
            found = self._only_device(mac)
            if found and self._asks_cache(found[1].bridge):
                for ip in entry.addresses:
                    yield _claim(_CACHE, ip, found, "PVE's MAC cache")
        for found in filter(None, map(self._only_device, self._devices)):
            guest, device = found
            # A template never runs: the addresses in its configuration are its clones'.
            if device.bridge in self._pve_vnets and not guest.template:
                for ip in device.fixed:
                    yield _claim(_CONTAINER if guest.type == "lxc" else _CLOUD_INIT, ip, found, guest.says_fixed)

    def _asks_cache(self, vnet: str) -> bool:
        """Whether PVE looks up the addresses of a vnet's devices in its MAC cache."""
        zone = self._pve_zones[self._pve_vnets[vnet].zone] if vnet in self._pve_vnets else None
        return zone is not None and bool(zone.dhcp and zone.ipam_type)

    def _lease(self, lease: Lease) -> Iterator[_Claim]:
        """The zone's IPAM has it, unless it is left over from a guest that is gone."""
        zone = self._pve_zones.get(lease.zone)
        if zone is None or (zone.ipam != lease.ipam if lease.ipam else zone.ipam_type != "pve"):
            return
        vnets = [vnet for name, vnet in self._places.get(lease.network, ()) if name == zone.name]
        source = f"IPAM {lease.ipam}" if lease.ipam else "PVE's own IPAM"
        whose = f"MAC {lease.mac}" if lease.mac else "nobody that it names"
        whose = f"guest {lease.vmid} with {whose}" if lease.vmid else whose
        if not vnets:
            self._problem(f"{source}, {lease.ip}", f"zone {zone.name} has no subnet {lease.network}")
            return
        found = self._devices.get(lease.mac, [])
        if len(found) > 1:
            return
        if found and found[0][1].bridge == vnets[0] and lease.vmid in (None, found[0][0].vmid):
            yield _claim(_LEASE, lease.ip, found[0], source, lease.hostname)
        elif not found and (lease.vmid is None or self._snapshot.incomplete or self._unclear):
            yield _Claim(_LEASE, lease.ip, vnets[0], lease.mac, lease.vmid, "", lease.hostname, whose, source)
        else:
            after = KnownAddress(
                lease.ip, True, self._cluster, zone.name, vnets[0], lease.network, lease.mac, lease.vmid, lease.hostname
            )
            why = f"{source} has {lease.ip} for {whose}, but {vnets[0]} has no such device"
            self._differ(Kind.STALE, subject_of(after), None, after, why)

    # What is no longer in PVE

    def _plan_departures(self, claims: Iterable[_Claim]) -> None:
        held = [claim for claim in claims if claim.rank != _CACHE or self._has(claim.vnet, claim.ip)]
        claimed = {(claim.ip, who) for claim in held for who in (claim.mac, claim.vmid) if who}
        for address in list(self._held.values()):
            mentioned = {(address.ip, address.mac), (address.ip, address.vmid)} & claimed
            if self._is_ours(address) and self._is_concerned(address.zone) and not mentioned:
                self._judge(address)
        own = {key[1:]: subnet for key, subnet in self._subnets.items() if key[0] == self._cluster}
        for (zone, vnet, network), subnet in own.items():
            places = self._places.get(network, [])
            is_moved = any((*place, network) not in own for place in places)
            if (zone, vnet) not in places and not is_moved and self._is_concerned(zone) and self._knows_sdn:
                self._leave(Subject(zone, vnet, str(network)), subnet, f"PVE has no subnet {network} on vnet {vnet}")

    def _has(self, vnet: str, ip: IPAddress) -> bool:
        """Whether a subnet of the vnet in PVE has the address."""
        return any(subnet.vnet == vnet and ip in subnet.network for subnet in self._pve_subnets)

    def _plan_empty(self) -> None:
        """The vnets and zones that PVE does not have any more: they go last, when their subnets have gone or moved."""
        if not self._knows_sdn:
            return
        pve_vnets = {(vnet.zone, vnet.name) for vnet in self._snapshot.vnets.values()}
        for (zone, name), vnet in list(self._vnets.items()):
            if (zone, name) not in pve_vnets and self._is_concerned(zone):
                self._leave(Subject(zone, name), vnet, f"PVE has no vnet {name} in zone {zone}")
        for known in list(self._zones.values()):
            if known.name not in self._snapshot.zones:
                self._leave(Subject(known.name), known, f"PVE has no zone {known.name}")

    def _judge(self, address: KnownAddress) -> None:
        """Whether an allocation of ours that PVE does not mention is gone, or merely not seen."""
        if self._is_newer(address) or "guests" in self._snapshot.unread:
            return
        why = self._gateway_left(address) if address.is_gateway else self._guest_left(address)
        if why and (address.is_gateway or address.vmid):
            self._leave(subject_of(address), address, why)
        elif why:
            self._differ(Kind.STALE, subject_of(address), address, None, why, Settlement.RELEASE)

    def _gateway_left(self, address: KnownAddress) -> str:
        """What says that it is no gateway any more; "" if nothing does. That of a subnet that is gone goes with it."""
        _, vnet = self._home(address)
        for subnet in self._pve_subnets:
            if (subnet.vnet, subnet.network) == (vnet, address.network):
                if subnet.unclear or subnet.gateway == address.ip:
                    return ""
                return f"PVE names {subnet.gateway or 'no address'} as the gateway of {subnet.network}"
        return ""

    def _guest_left(self, address: KnownAddress) -> str:
        """What says that no device of the guest has this allocation any more; "" if nothing does."""
        (_, vnet), mac, vmid = self._home(address), address.mac, address.vmid
        found = self._devices.get(mac, []) if mac else []
        if len(found) == 1 and found[0][1].bridge != vnet:
            guest, device = found[0]
            return f"PVE has {device.key} of {guest} with MAC {mac} on {device.bridge or 'no bridge'}, not on {vnet}"
        guest_there = self._snapshot.guests.get(vmid or 0)
        if found or (guest_there and (guest_there.unclear or not mac)) or not (vmid or mac):
            return ""
        if vmid is None:
            return "" if self._doubt(address) else f"PVE has no guest with MAC {mac}"
        return f"PVE has no device with MAC {mac} on {guest_there}" if guest_there else f"PVE has no guest {vmid}"

    def _doubt(self, absent: Fact) -> str:
        """Why it may be in PVE although the snapshot does not have it; "" if it cannot."""
        doubt, sdn_doubt = self._snapshot.incomplete, self._snapshot.sdn_incomplete
        if not isinstance(absent, KnownAddress) or absent.is_gateway:
            return doubt or sdn_doubt
        if self._unclear:
            doubt = doubt or f"{self._unclear} may have it: {self._unclear.unclear}"
        if absent.mac in self._devices:  # on another vnet
            is_there = absent.network in self._places
            return doubt or sdn_doubt or ("" if is_there else f"PVE has no subnet {absent.network} to say that of")
        return doubt or ("" if self._home(absent)[0] in self._pve_zones else sdn_doubt)

    def _leave(self, subject: Subject, before: KnownZone | KnownVNet | KnownSubnet | KnownAddress, why: str) -> None:
        """Without doubt, it is gone, and is let go when that has been so for long enough."""
        if doubt := self._doubt(before):
            self._differ(Kind.STALE, subject, before, None, f"{why}, but {doubt}", Settlement.RELEASE)
        elif self._may_go(before):
            self._add(Kind.GONE, subject, before, None, why)
            self._forget(before)
        else:
            self._differ(Kind.GONE, subject, before, None, why, Settlement.RELEASE)

    def _may_go(self, gone: KnownZone | KnownVNet | KnownSubnet | KnownAddress) -> bool:
        long_enough = gone.gone_since is not None and self._time - gone.gone_since >= self._options.grace
        if not (self._options.prune and long_enough):
            return False
        own = [subnet for subnet in self._subnets.values() if subnet.cluster == self._cluster]
        if isinstance(gone, KnownZone):
            return not any(zone == gone.name for zone, _ in self._vnets)
        if isinstance(gone, KnownVNet):
            return not any((subnet.zone, subnet.vnet) == (gone.zone, gone.name) for subnet in own)
        if isinstance(gone, KnownSubnet):
            inside = (one for one in self._held.values() if one.ip in gone.network and not one.is_gateway)
            return not any(self._is_ours(address) for address in inside)
        return not gone.adopted

    def _forget(self, gone: KnownZone | KnownVNet | KnownSubnet | KnownAddress) -> None:
        if isinstance(gone, KnownAddress):
            self._drop(gone.ip)
        elif isinstance(gone, KnownSubnet):
            del self._subnets[gone.cluster, gone.zone, gone.vnet, gone.network]
            for address in [one for one in self._held.values() if one.network == gone.network and self._is_ours(one)]:
                self._drop(address.ip)
        elif isinstance(gone, KnownVNet):
            del self._vnets[gone.zone, gone.name]
        else:
            del self._zones[gone.name]

    # Zones, vnets, subnets

    def _plan_sdn(self) -> None:
        for zone in self._pve_zones.values():
            wanted = KnownZone(self._cluster, zone.name, zone.type, zone.dhcp)
            self._match(Kind.ZONE, Subject(zone.name), f"zone {zone.name}", self._zones.get(zone.name), wanted)
        for vnet in self._pve_vnets.values():
            have = self._vnets.get((vnet.zone, vnet.name))
            made = KnownVNet(self._cluster, vnet.zone, vnet.name, vnet.alias, vnet.tag)
            self._match(Kind.VNET, Subject(vnet.zone, vnet.name), f"vnet {vnet.name}", have, made)
        # Those that Nautobot has come first: none of them gives way to a new one.
        for subnet in sorted(self._pve_subnets, key=lambda one: self._record(one) is None):
            self._plan_subnet(subnet)
        self._gateways = {(one.network, one.gateway) for one in self._subnets.values()}

    def _match(self, kind: Kind, subject: Subject, what: str, have: Fact | None, wanted: Fact) -> None:
        if have is None:
            self._add(kind, subject, None, wanted, f"PVE has {what}, Nautobot does not")
        elif have != wanted:
            self._add(kind, subject, have, wanted, f"PVE says of {what}: {_told(have, wanted)}")

    def _record(self, subnet: Subnet) -> KnownSubnet | None:
        return self._subnets.get((self._cluster, subnet.zone, subnet.vnet, subnet.network))

    def _moved_record(self, subnet: Subnet) -> KnownSubnet | None:
        """Our record of the same network on a vnet that does not have it in PVE any more."""
        ours = (one for one in self._subnets.values() if (one.cluster, one.network) == (self._cluster, subnet.network))
        places = self._places[subnet.network]
        left = (one for one in ours if (one.zone, one.vnet) not in places and self._is_concerned(one.zone))
        return min(left, key=lambda one: (one.zone, one.vnet), default=None)

    def _plan_subnet(self, subnet: Subnet) -> None:
        network, subject = subnet.network, Subject(subnet.zone, subnet.vnet, str(subnet.network))
        have = self._record(subnet) or self._moved_record(subnet)
        if have is None and (subnet.unclear or self._is_blocked(subnet, subject)):
            self._closed.setdefault(subnet.vnet, []).append(network)
            return
        wanted = have or KnownSubnet(self._cluster, subnet.zone, subnet.vnet, network)
        if not subnet.unclear:
            wanted = replace(
                wanted,
                zone=subnet.zone,
                vnet=subnet.vnet,
                snat=subnet.snat,
                dns_zone_prefix=subnet.dns_zone_prefix,
                adopted=have.adopted if have else self._is_foreign(network),
            )
            wanted = replace(wanted, gateway=self._plan_gateway(subnet.gateway, wanted))
            self._match(Kind.SUBNET, subject, f"subnet {network} of vnet {subnet.vnet}", have, wanted)
            if subnet.ranges != wanted.ranges:
                before, wanted = wanted, replace(wanted, ranges=subnet.ranges)
                self._match(Kind.RANGES, subject, f"subnet {network} of vnet {subnet.vnet}", before, wanted)
        if have:
            del self._subnets[have.cluster, have.zone, have.vnet, network]
        self._subnets[self._cluster, wanted.zone, wanted.vnet, network] = wanted
        self._open.setdefault(subnet.vnet, []).append(wanted)
        if have and (have.zone, have.vnet) != (wanted.zone, wanted.vnet):  # its allocations go with it
            for address in [one for one in self._held.values() if one.network == network and self._is_ours(one)]:
                self._hold(replace(address, zone=wanted.zone, vnet=wanted.vnet))

    def _is_blocked(self, subnet: Subnet, subject: Subject) -> bool:
        """Whether Nautobot cannot have a new subnet."""
        network, after = subnet.network, KnownSubnet(self._cluster, subnet.zone, subnet.vnet, subnet.network)
        if self._is_foreign(network) and not self._options.adopt:
            why = f"PVE has subnet {network} on vnet {subnet.vnet}, a prefix that PVE did not make"
            self._differ(Kind.CONFLICT, subject, None, after, why, Settlement.ADOPT)
            return True
        around = (one for one in self._subnets.values() if one.network.overlaps(network))
        others = [one for one in around if one.network != network or one.cluster == self._cluster]
        if others:
            other = min(others, key=lambda one: (str(one.cluster), one.zone, one.vnet, str(one.network)))
            why = f"PVE has subnet {network} on vnet {subnet.vnet}, which overlaps {other}"
            self._differ(Kind.CONFLICT, subject, other, after, why)
            return True
        return False

    def _is_foreign(self, network: Network) -> bool:
        """Whether it is a prefix that no PVE has made."""
        made = any(one.network == network and not one.adopted for one in self._subnets.values())
        return network in self._prefixes and not made

    def _plan_gateway(self, ip: IPAddress | None, subnet: KnownSubnet) -> IPAddress | None:
        """The gateway that the subnet can have: PVE's or, if somebody else has that address, the one it has."""
        if ip is None or ip not in subnet.network:  # that of a point-to-point subnet
            return ip
        holder = self._held.get(ip)
        name = ".".join(filter(None, (f"{subnet.vnet}-gw", subnet.dns_zone_prefix)))
        after = KnownAddress(
            ip, True, self._cluster, subnet.zone, subnet.vnet, subnet.network, hostname=name, is_gateway=True
        )
        why = f"PVE names {ip} as the gateway of {subnet.network}"
        if holder is None:
            self._take(None, after, why)
        elif not holder.allocated and self._options.adopt:
            self._take(holder, replace(after, adopted=True), why)
        elif not (holder.allocated and holder.is_gateway and holder.network in (None, subnet.network)):
            adopt = () if holder.allocated else (Settlement.ADOPT,)
            self._differ(Kind.CONFLICT, subject_of(after), holder, after, f"{why}, but {holder} has it", *adopt)
            return subnet.gateway
        return ip

    def _take(self, before: KnownAddress | None, after: KnownAddress, why: str, kind: Kind = Kind.ADDRESS) -> None:
        self._add(kind, subject_of(after), before, after, why)
        self._hold(after)

    # Addresses of guests

    def _plan_claim(self, claim: _Claim) -> None:
        subnet = next((one for one in self._open.get(claim.vnet, ()) if claim.ip in one.network), None)
        if subnet is None:
            self._plan_outside(claim)
            return
        after = KnownAddress(
            claim.ip,
            True,
            self._cluster,
            subnet.zone,
            subnet.vnet,
            subnet.network,
            claim.mac,
            claim.vmid,
            claim.hostname(subnet),
        )
        holder, other = self._held.get(claim.ip), self._other(claim, subnet)
        if (holder and self._is_newer(holder)) or (other and self._is_newer(other)):
            return
        if holder and self._is_its(holder, claim):
            self._keep(holder, after, claim, other)
        elif not is_usable(claim.ip, subnet.network):
            self._conflict(claim, None, after, f"no host of {subnet.network} can have it")
        elif (subnet.network, claim.ip) in self._gateways:
            self._conflict(claim, holder, after, f"it is the gateway of {subnet.network}")
        elif other:
            word = (Settlement.TAKE_PVE,) if holder is None else ()
            cache = (Settlement.TAKE_NAUTOBOT,) if claim.rank == _CACHE else ()
            self._conflict(
                claim, other, after, f"Nautobot has {other.ip} for that MAC in {subnet.network}", *word, *cache
            )
        elif holder is None:
            if claim.rank == _CACHE and (claim.mac, claim.ip) in self._released:
                return  # the cache is to be repaired
            elsewhere = self._elsewhere(claim, subnet)
            self._take(elsewhere, after, claim.sentence, Kind.MOVED if elsewhere else Kind.ADDRESS)
        elif not holder.allocated and self._options.adopt:
            self._take(holder, replace(after, adopted=True), claim.sentence)
        elif self._has_left_another_cluster(holder, claim):
            after = replace(after, adopted=holder.adopted, hostname=after.hostname or holder.hostname)
            self._take(holder, after, f"{claim.sentence}, and it is gone from cluster {holder.cluster}", Kind.MOVED)
        else:
            adopt = () if holder.allocated else (Settlement.ADOPT,)
            self._conflict(claim, holder, after, f"{holder} has it in Nautobot", *adopt)

    def _conflict(
        self, claim: _Claim, before: KnownAddress | None, after: KnownAddress, why: str, *settlements: Settlement
    ) -> None:
        self._differ(Kind.CONFLICT, subject_of(after), before, after, f"{claim.sentence}, but {why}", *settlements)

    def _plan_outside(self, claim: _Claim) -> None:
        """No subnet of the vnet has the address, as far as is known. The cache is keyed by MAC alone: see there."""
        networks = [one.network for one in self._open.get(claim.vnet, ())]
        is_closed = any(claim.ip in network for network in self._closed.get(claim.vnet, ()))
        if claim.rank == _CACHE or is_closed or not any(network.version == claim.ip.version for network in networks):
            return
        after = KnownAddress(
            claim.ip,
            True,
            self._cluster,
            self._pve_vnets[claim.vnet].zone,
            claim.vnet,
            None,
            claim.mac,
            claim.vmid,
            claim.name or claim.told,
        )
        self._conflict(claim, None, after, f"vnet {claim.vnet} has no subnet with that address")

    def _other(self, claim: _Claim, subnet: KnownSubnet) -> KnownAddress | None:
        """Another address that the MAC has in the subnet, where it can have but one."""
        held = (self._held[ip] for ip in sorted(self._ips_of_mac.get(claim.mac, ()), key=int) if claim.mac)
        return next((one for one in held if one.network == subnet.network and one.ip != claim.ip), None)

    def _elsewhere(self, claim: _Claim, subnet: KnownSubnet) -> KnownAddress | None:
        """An address that the same device has on another vnet."""
        held = [self._held[ip] for ip in self._ips_of_mac.get(claim.mac, ()) if claim.mac and claim.vmid]
        left = (one for one in held if one.vnet != subnet.vnet and one.vmid in (None, claim.vmid))
        same_family = [one for one in left if one.ip.version == claim.ip.version]
        return min(same_family, key=lambda one: int(one.ip), default=None)

    def _is_its(self, holder: KnownAddress, claim: _Claim) -> bool:
        """Whether an allocation is that of the claim's guest, whose MAC or vmid may have changed."""
        loose = holder.allocated and holder.network is None and bool(claim.mac)
        if holder.is_gateway or not (self._is_ours(holder) or loose):
            return False
        if holder.mac == claim.mac:
            return holder.vmid in (None, claim.vmid) or claim.vmid is None or self._has_left(holder.vmid, claim.mac)
        same_guest = claim.vmid is not None and holder.vmid == claim.vmid and not loose
        return same_guest and holder.mac not in self._devices and self._has_left(claim.vmid, holder.mac)

    def _has_left(self, vmid: int | None, mac: str) -> bool:
        """Whether a guest certainly has no such MAC."""
        guest = self._snapshot.guests.get(vmid or 0)
        if guest is None:
            return not self._snapshot.incomplete
        return not guest.unclear and all(device.mac != mac for device in guest.devices)

    def _has_left_another_cluster(self, holder: KnownAddress, claim: _Claim) -> bool:
        """Whether it is another cluster's allocation of the same MAC which is gone by that cluster's own word."""
        elsewhere = holder.allocated and holder.network is not None and holder.cluster != self._cluster
        return elsewhere and bool(claim.mac) and holder.mac == claim.mac and holder.gone_since is not None

    def _keep(
        self, holder: KnownAddress, after: KnownAddress, claim: _Claim, other: KnownAddress | None = None
    ) -> None:
        """The guest has it; what is known of the guest may have changed."""
        after = replace(
            after,
            vmid=after.vmid or holder.vmid,
            hostname=after.hostname or holder.hostname,
            adopted=holder.adopted,
        )
        if other and (holder.mac, holder.network) != (after.mac, after.network):
            self._conflict(claim, other, after, f"Nautobot has {other.ip} for that MAC in {other.network}")
        elif after != holder:
            self._add(Kind.ALLOCATION, subject_of(after), holder, after, f"{claim.sentence}: {_told(holder, after)}")
            self._hold(after)

    def _plan_facts(self) -> None:
        """What has changed of guests whose addresses PVE does not tell, because it asks Nautobot for them."""
        for mac in sorted(self._devices):
            if found := self._only_device(mac):
                for ip in sorted(self._ips_of_mac.get(mac, ()), key=int):
                    holder, claim = self._held[ip], _claim(_NAUTOBOT, ip, found, "Nautobot")
                    if holder.network in [one.network for one in self._open.get(claim.vnet, ())]:
                        self._plan_claim(claim)

    # PVE's cache

    def _plan_cache(self) -> None:
        for mac, entry in self._snapshot.cache.items():
            found = self._devices.get(mac, [])
            if len(found) == 1 and self._is_managed(found[0][1].bridge):
                bridge = found[0][1].bridge
                after = replace(
                    entry, ip4=self._cached(mac, entry.ip4, 4, bridge), ip6=self._cached(mac, entry.ip6, 6, bridge)
                )
                self._repair(entry, after, str(found[0][0]))
            elif not (found or self._snapshot.incomplete or self._unclear):
                ip4, ip6 = (ip if ip and not self._is_left_over(mac, ip) else None for ip in (entry.ip4, entry.ip6))
                self._repair(entry, replace(entry, ip4=ip4, ip6=ip6), "a guest that PVE does not have")

    def _repair(self, entry: Cached, after: Cached, whose: str) -> None:
        if after != entry:
            why = f"PVE's MAC cache has {_shown(entry.addresses)} for {whose}, Nautobot {_shown(after.addresses)}"
            self._differ(Kind.CACHE, Subject(mac=entry.mac), entry, after, why, Settlement.TAKE_NAUTOBOT)

    def _is_managed(self, vnet: str) -> bool:
        """Whether PVE asks Nautobot for the addresses of a vnet's devices that are not in its cache."""
        return self._asks_cache(vnet) and self._pve_zones[self._pve_vnets[vnet].zone].namespace == self._namespace

    def _cached(self, mac: str, cached: IPAddress | None, version: int, vnet: str) -> IPAddress | None:
        """What the cache should have of a family: it is wrong where it hides an address, or has one of another vnet or
        one that was released.
        """
        held = [self._held[ip] for ip in sorted(self._ips_of_mac.get(mac, ()), key=int) if ip.version == version]
        mine = [one for one in held if one.vnet == vnet]
        networks = [*self._closed.get(vnet, ()), *(one.network for one in self._open.get(vnet, ()))]
        right = mine[0].ip if mine else None
        if any(map(self._is_newer, mine)) or cached in [one.ip for one in mine]:
            return cached
        if cached is None:
            return right
        outside = not self._snapshot.sdn_incomplete and not any(cached in network for network in networks)
        return right if outside or (not mine and (mac, cached) in self._released) else cached

    def _is_left_over(self, mac: str, ip: IPAddress) -> bool:
        """Whether an address in the cache is one of ours that Nautobot does not have for that MAC."""
        inside = any(ip in one.network and self._is_managed(vnet) for vnet in self._open for one in self._open[vnet])
        holder = self._held.get(ip)
        return inside and not (holder and (holder.mac == mac or self._is_newer(holder)))

    def _name_macs_there_twice(self) -> None:
        for mac, found in self._devices.items():
            if len(found) > 1 and any(device.bridge in self._pve_vnets for _, device in found):
                holders = " and on ".join(f"{device.key} of {guest}" for guest, device in found)
                why = f"PVE has MAC {mac} on {holders}: nothing is changed for any of them"
                self._differ(Kind.CONFLICT, Subject(mac=mac), None, None, why)


def _claim(rank: int, ip: IPAddress, owner: tuple[Guest, Device], source: str, told: str = "") -> _Claim:
    guest, device = owner
    whose = f"{guest}, {device.key} with MAC {device.mac}"
    return _Claim(rank, ip, device.bridge, device.mac, guest.vmid, guest.name, told, whose, source)


def _told(have: Fact, wanted: Fact) -> str:
    """What differs, as PVE and as Nautobot say it."""
    names = [one.name for one in fields(wanted) if one.compare]
    differing = [name for name in names if getattr(have, name) != getattr(wanted, name)]
    return " and ".join(
        f"{name.replace('_', ' ')} {_shown(getattr(wanted, name))} instead of {_shown(getattr(have, name))}"
        for name in differing
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join("-".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in value) or "nothing"
    return str(value) if value not in (None, "") else "nothing"
