"""A naive Nautobot in memory, which does what a plan says and refuses what the real one would refuse."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from nautobot_pve_ipam.sync.changes import (
    Change,
    Kind,
    Known,
    KnownAddress,
    KnownSubnet,
    KnownVNet,
    KnownZone,
    Options,
    Plan,
    steps,
)
from nautobot_pve_ipam.sync.plan import plan
from nautobot_pve_ipam.sync.snapshot import Network, Snapshot, is_usable, parse

NOW = datetime(2026, 11, 26, 20, 5, tzinfo=timezone.utc)
NAMESPACE = "pve"


@dataclass
class Nautobot:
    """One namespace. `released`: as in Known."""

    zones: dict[Any, KnownZone] = field(default_factory=dict)
    vnets: dict[Any, KnownVNet] = field(default_factory=dict)
    subnets: dict[Any, KnownSubnet] = field(default_factory=dict)
    addresses: dict[Any, KnownAddress] = field(default_factory=dict)
    prefixes: set[Network] = field(default_factory=set)
    released: frozenset[Any] = frozenset()

    def known(self, cluster: str | None, snapshot: Snapshot) -> Known:
        mentioned = snapshot.addresses()
        return Known(
            NAMESPACE,
            cluster,
            [zone for zone in self.zones.values() if zone.cluster == cluster],
            [vnet for vnet in self.vnets.values() if vnet.cluster == cluster],
            list(self.subnets.values()),
            [
                one
                for one in self.addresses.values()
                if one.ip in mentioned or (one.allocated and one.cluster == cluster)
            ],
            frozenset(self.prefixes & {subnet.network for subnet in snapshot.subnets}),
            self.released,
        )

    def plan(self, document: object, cluster: str | None = "dc1", **options: Any) -> Plan:
        snapshot = parse(document)
        return plan(snapshot, self.known(cluster, snapshot), Options(**{"now": NOW, **options}))

    def sync(self, document: object, cluster: str | None = "dc1", **options: Any) -> Plan:
        """Plan and apply; the same again finds nothing to do, and the same differences."""
        planned = self.plan(document, cluster, **options)
        for step in steps(planned.changes, size=3):
            self.apply(step.changes, cluster)
        again = self.plan(document, cluster, **options)
        assert again.to_do == ()
        assert identities(again.differences) == identities(planned.differences)
        return planned

    def apply(self, changes: Iterable[Change], cluster: str | None) -> None:
        for change in changes:
            assert change.is_due
            before, after = change.before, change.after
            assert after is None or after.cluster == cluster
            match change.kind:
                case Kind.ZONE:
                    self._put(self.zones, after.name, before, after)
                case Kind.VNET:
                    assert (cluster, after.zone) in self.zones
                    self._put(self.vnets, (after.zone, after.name), before, after)
                case Kind.SUBNET | Kind.RANGES:
                    self._subnet(before, after)
                case Kind.ADDRESS | Kind.ALLOCATION | Kind.MOVED:
                    self._address(change.kind, before, after)
                case Kind.GONE:
                    self._gone(before, cluster)
                case _:
                    raise AssertionError(f"{change.kind} is not for a sync to do")

    @staticmethod
    def _put(store: dict[Any, Any], name: Any, before: Any, after: Any) -> None:
        assert store.get((after.cluster, name)) == before
        store[after.cluster, name] = after

    def _subnet(self, before: KnownSubnet | None, after: KnownSubnet) -> None:
        assert (after.cluster, (after.zone, after.vnet)) in self.vnets
        if before:
            assert before.cluster == after.cluster
            assert before.network == after.network
            assert self.subnets.pop(_key(before)) == before
            for address in self._inside(before):
                self.addresses[address.ip] = replace(address, zone=after.zone, vnet=after.vnet)
        else:
            for other in self.subnets.values():
                shared = other.network == after.network and other.cluster != after.cluster
                assert shared or not other.network.overlaps(after.network)
        holder = self.addresses.get(after.gateway)
        assert holder is None or holder.is_gateway or not holder.allocated
        self.subnets[_key(after)] = after
        self.prefixes.add(after.network)

    def _address(self, kind: Kind, before: KnownAddress | None, after: KnownAddress) -> None:
        there = self.addresses.get(after.ip)
        assert after.ip in after.network
        assert _key(after) in self.subnets
        if kind is Kind.MOVED and before.ip != after.ip:
            assert there is None
            assert before.ip in self.addresses
        else:
            assert there == before
        if there is None:
            assert is_usable(after.ip, after.network)
            gateways = {one.gateway for one in self.subnets.values() if one.network == after.network}
            assert after.is_gateway or after.ip not in gateways
        if after.mac and not after.is_gateway:
            twins = [one for one in self._inside(after) if one.mac == after.mac and one.ip != after.ip]
            same = there and (there.mac, there.network) == (after.mac, after.network)
            assert same or all(one.is_gateway for one in twins)
        self.addresses[after.ip] = after

    def _gone(self, gone: Any, cluster: str | None) -> None:
        assert gone.cluster == cluster
        match gone:
            case KnownAddress():
                assert not gone.adopted
                assert self.addresses.pop(gone.ip) == gone
            case KnownSubnet():
                assert all(address.is_gateway for address in self._inside(gone))
                for address in self._inside(gone):
                    del self.addresses[address.ip]
                del self.subnets[_key(gone)]
                if not gone.adopted and not any(one.network == gone.network for one in self.subnets.values()):
                    self.prefixes.discard(gone.network)
            case KnownVNet():
                assert not any(
                    (one.cluster, one.zone, one.vnet) == (cluster, gone.zone, gone.name)
                    for one in self.subnets.values()
                )
                del self.vnets[cluster, (gone.zone, gone.name)]
            case KnownZone():
                assert not any((one.cluster, one.zone) == (cluster, gone.name) for one in self.vnets.values())
                del self.zones[cluster, gone.name]

    def _inside(self, subnet: KnownSubnet | KnownAddress) -> list[KnownAddress]:
        """The allocations of a subnet's record."""
        return [one for one in self.addresses.values() if one.allocated and one.network and _key(one) == _key(subnet)]

    # What tests do to it

    def hold(self, ip: str, **fields: Any) -> KnownAddress:
        """Change an address, or have one more."""
        from ipaddress import ip_address  # noqa: PLC0415

        key = ip_address(ip)
        self.addresses[key] = replace(self.addresses.get(key) or KnownAddress(key), **fields)
        return self.addresses[key]

    def release(self, ip: str) -> None:
        from ipaddress import ip_address  # noqa: PLC0415

        del self.addresses[ip_address(ip)]

    def remember(self, planned: Plan, seen: datetime) -> None:
        """Keep since when something has been gone, as the table of differences does."""
        gone = {change.before: seen for change in planned.changes if change.kind is Kind.GONE}
        for store in (self.zones, self.vnets, self.subnets, self.addresses):
            for key, record in store.items():
                since = (record.gone_since or seen) if record in gone else None
                store[key] = replace(record, gone_since=since)


def _key(one: KnownSubnet | KnownAddress) -> tuple[Any, ...]:
    return one.cluster, one.zone, one.vnet, one.network


def identities(differences: Iterable[Change]) -> set[Any]:
    return {(change.kind, change.subject) for change in differences}


def only(planned: Plan, kind: Kind) -> Change:
    """The only change of that kind."""
    (found,) = [change for change in planned.changes if change.kind is kind]
    return found
