"""Does what a plan says, step by step. May import services, search and models.

Each step is one transaction. Under its locks it looks again whether what the plan says of Nautobot still holds: if a
live hook was quicker, that change is left out, and nothing is undone. Of a step that fails, everything is done that can
be done without what fails. So a run may break off anywhere, and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import netaddr
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, connection
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.core_internals import atomic, log_afresh
from nautobot_pve_ipam.errors import Missing, PVEIPAMError, Unavailable, rejection
from nautobot_pve_ipam.models import SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services import differences
from nautobot_pve_ipam.services.addresses import Holding, locked_addresses, put_addresses, release_addresses
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.locks import SUBNETS, Locks, locked_transaction
from nautobot_pve_ipam.services.subnets import SubnetFacts, delete_subnet, move_subnet, put_subnet
from nautobot_pve_ipam.services.zones import VNetFacts, ZoneFacts, delete_vnet, delete_zone, put_vnet, put_zone
from nautobot_pve_ipam.sync import known
from nautobot_pve_ipam.sync.changes import (
    Change,
    Fact,
    Kind,
    KnownAddress,
    KnownSubnet,
    KnownVNet,
    KnownZone,
    Step,
    steps,
)
from nautobot_pve_ipam.sync.snapshot import IPAddress, Network

#: Of how many changes, how many are through.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """A change that was not done, and why in a sentence."""

    change: Change
    detail: str


@dataclass
class Outcome:
    """Which changes were done, and which were not."""

    applied: list[Change] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


def apply(
    changes: Iterable[Change],
    caller: Caller,
    *,
    last_seen: datetime,
    adopt: bool = False,
    on_progress: Progress | None = None,
) -> Outcome:
    """Do those changes of a plan that are due, in their order. `last_seen`: when PVE said what they follow from.

    Raises only what says that the database or Redis is out of reach: what was done until then stays.
    """
    applying = _Applying(caller, last_seen, adopt)
    due = [change for change in changes if change.is_due]
    through = 0
    for step in steps(due):
        applying.do(step)
        log_afresh()
        through += len(step.changes)
        if on_progress:
            on_progress(through, len(due))
    return applying.outcome


class _Applying:
    def __init__(self, caller: Caller, last_seen: datetime, adopt: bool) -> None:
        self._caller = caller
        self._user = caller.user
        self._namespace = caller.namespace
        self._last_seen = last_seen
        self._adopt = adopt
        self.outcome = Outcome()

    def do(self, step: Step) -> None:
        """Do a step; if it fails, each half of it by itself."""
        try:
            with atomic():
                done = self._done(step)
        except Unavailable:
            raise
        except (PVEIPAMError, ValidationError, IntegrityError) as error:
            if len(step.changes) == 1:
                self.outcome.failed.append(Failure(step.changes[0], _sentence(error)))
                return
            middle = len(step.changes) // 2
            for part in (step.changes[:middle], step.changes[middle:]):
                self.do(step._replace(changes=part))
            return
        except (OperationalError, TimeoutError):
            if not connection.is_usable():
                raise
            why = "somebody else was busy with it for too long"
            self.outcome.failed += [Failure(change, why) for change in step.changes]
            return
        for change in step.changes:
            if change in done:
                self.outcome.applied.append(change)
            else:
                why = f"{change.subject} has changed in Nautobot since this was planned, so nothing was done"
                self.outcome.failed.append(Failure(change, why))

    def _done(self, step: Step) -> set[Change]:
        """Do those changes of a step that still hold. Raises what the services do."""
        held = [one for one in step.changes if isinstance(one.after or one.before, KnownAddress)]
        others = [one for one in step.changes if not isinstance(one.after or one.before, KnownAddress)]
        prefix = self._prefix(step.network) if step.network else None
        if prefix is None:  # then nobody has anything in it
            with locked_transaction() as locks:
                locks.wait(SUBNETS, self._namespace.pk)
                return self._done_under(locks, step.network, others, held)
        facts = [fact for one in held for fact in (one.before, one.after) if isinstance(fact, KnownAddress)]
        ips, macs = [_ip(fact.ip) for fact in facts], [fact.mac for fact in facts if fact.mac]
        with locked_addresses(prefix, ips, macs, with_subnets=bool(others)) as locks:
            return self._done_under(locks, step.network, others, held)

    def _done_under(
        self, locks: Locks, network: Network | None, others: Sequence[Change], held: Sequence[Change]
    ) -> set[Change]:
        done = {change for change in others if self._did(change)}
        if network and held:
            done |= self._did_addresses(network, held, locks)
        return done

    # Zones, vnets, subnets

    def _did(self, change: Change) -> bool:
        """Do the change if it still holds."""
        if self._now(change.before or change.after) != change.before:
            return False
        cluster, user = self._caller.cluster, self._user
        match change.before, change.after:
            case _, KnownZone() as zone:
                facts = ZoneFacts(zone=zone.name, cluster=cluster, zone_type=zone.type, zone_dhcp=zone.dhcp)
                put_zone(self._namespace, facts, user=user)
            case _, KnownVNet() as vnet:
                said: dict[str, Any] = {"vnet": vnet.name, "vnet_alias": vnet.alias, "vnet_tag": vnet.tag}
                put_vnet(self._namespace, VNetFacts(zone=vnet.zone, cluster=cluster, **said), user=user)
            case before, KnownSubnet() as subnet:
                if isinstance(before, KnownSubnet) and (before.zone, before.vnet) != (subnet.zone, subnet.vnet):
                    move_subnet(self._subnet(before), self._vnet(subnet.zone, subnet.vnet), user=user)
                put_subnet(self._namespace, _network(subnet), self._facts(change.kind, subnet), user=user)
            case KnownZone() as zone, _:
                delete_zone(self._zone(zone.name), user=user)
            case KnownVNet() as vnet, _:
                delete_vnet(self._vnet(vnet.zone, vnet.name), user=user)
            case KnownSubnet() as subnet, _:
                delete_subnet(self._subnet(subnet), user=user)
        return True

    def _now(self, fact: Fact | None) -> Fact | None:
        """What Nautobot has of it."""
        found: Iterable[Fact] = ()
        match fact:
            case KnownZone():
                found = known.zones(self._caller, {}, name=fact.name)
            case KnownVNet():
                found = known.vnets(self._caller, {}, zone__name=fact.zone, name=fact.name)
            case KnownSubnet():
                own = {f"vnet__zone__{name}": value for name, value in self._own(fact.zone).items()}
                found = known.subnets(self._caller, {}, **own, vnet__name=fact.vnet, **_prefix_at(fact.network))
        return next(iter(found), None)

    def _facts(self, kind: Kind, subnet: KnownSubnet) -> SubnetFacts:
        place = {"zone": subnet.zone, "vnet": subnet.vnet, "cluster": self._caller.cluster}
        where: dict[str, Any] = {**place, "adopt": self._adopt}
        if kind is Kind.RANGES:
            return SubnetFacts(**where, dhcp_ranges=[(int(first), int(last)) for first, last in subnet.ranges])
        return SubnetFacts(
            **where,
            gateway=_ip(subnet.gateway) if subnet.gateway else None,
            snat=subnet.snat,
            dns_zone_prefix=subnet.dns_zone_prefix,
        )

    def _own(self, zone: str) -> dict[str, Any]:
        return {"namespace": self._namespace, "cluster__name": self._caller.cluster, "name": zone}

    def _zone(self, name: str) -> SDNZone:
        return _the_one(SDNZone.objects.filter(**self._own(name)), f"zone {name}")

    def _vnet(self, zone: str, name: str) -> SDNVNet:
        own = {f"zone__{key}": value for key, value in self._own(zone).items()}
        found = SDNVNet.objects.filter(**own, name=name).select_related("zone__cluster")
        return _the_one(found, f"vnet {name} of zone {zone}")

    def _subnet(self, place: KnownSubnet | KnownAddress) -> SDNSubnet:
        own = self._caller.visible_subnets().filter(vnet__zone__name=place.zone, vnet__name=place.vnet)
        return _the_one(own.filter(**_prefix_at(place.network)), f"subnet {place.network} of vnet {place.vnet}")

    def _prefix(self, network: Network) -> Prefix | None:
        at = {name.removeprefix("prefix__"): value for name, value in _prefix_at(network).items()}
        return Prefix.objects.filter(namespace=self._namespace, **at).first()

    # Addresses

    def _did_addresses(self, network: Network, changes: Sequence[Change], locks: Locks) -> set[Change]:
        """Do those of the changes that still hold."""
        gone = differences.gone_since(self._namespace) if any(map(_hands_over, changes)) else {}
        ips = {fact.ip for one in changes if isinstance(fact := one.after or one.before, KnownAddress)}
        now = {address.ip: address for address in known.addresses_at(self._caller, gone, ips)}
        valid = {change for change in changes if _still_holds(change, now)}
        released: list[netaddr.IPAddress] = []
        wanted: dict[tuple[str, str], list[KnownAddress]] = {}
        for change in changes:
            match change.before, change.after:
                case _ if change not in valid:
                    pass
                case _, KnownAddress() as after:
                    wanted.setdefault((after.zone, after.vnet), []).append(after)
                case KnownAddress() as before, None:
                    released.append(_ip(before.ip))
        release_addresses(self._caller, released)
        for those in wanted.values():
            put_addresses(
                self._subnet(those[0]),
                [Holding(_ip(one.ip), _guest(one)) for one in those],
                locks,
                user=self._user,
                adopt=self._adopt,
                last_seen=self._last_seen,
            )
        return valid


def _still_holds(change: Change, now: Mapping[IPAddress, KnownAddress]) -> bool:
    """Whether Nautobot has what the plan said, and PVE has not spoken of it since."""
    match change.before, change.after:
        # A guest that has one on another vnet takes this one. The other one is left to the next run.
        case (None, KnownAddress() as after) | (KnownAddress(), KnownAddress() as after) if not _is_there(change):
            return after.ip not in now
        case KnownAddress() as before, _:
            there = now.get(before.ip)
            spoke = there is None or there.last_seen != before.last_seen
            returned = there is not None and there.gone_since is None and _hands_over(change)
            return there == before and not (spoke or returned)
    return False


def _is_there(change: Change) -> bool:
    """Whether Nautobot has the very address that is to be changed."""
    before, after = change.before, change.after
    return isinstance(before, KnownAddress) and not (isinstance(after, KnownAddress) and after.ip != before.ip)


def _hands_over(change: Change) -> bool:
    """Whether it takes an address from another cluster, which by its own word has left it."""
    return change.kind is Kind.MOVED and _is_there(change)


def _guest(address: KnownAddress) -> Guest:
    return Guest(address.mac or None, address.vmid, address.hostname, address.is_gateway)


def _ip(ip: IPAddress) -> netaddr.IPAddress:
    return netaddr.IPAddress(str(ip))


def _network(subnet: KnownSubnet) -> netaddr.IPNetwork:
    return netaddr.IPNetwork(str(subnet.network))


def _prefix_at(network: Network | None) -> dict[str, Any]:
    """Which prefix a subnet is on, as a filter."""
    address, _, length = str(network).partition("/")
    return {"prefix__network": address, "prefix__prefix_length": length}


def _the_one(found: Any, what: str) -> Any:
    if thing := found.first():
        return thing
    raise Missing(f"{what} does not exist in Nautobot")


def _sentence(error: Exception) -> str:
    if isinstance(error, PVEIPAMError):
        return error.sentence
    if isinstance(error, ValidationError):
        return rejection(error)
    return "something that it depends on was changed or deleted at the same time"
