"""The verb migrate: takes a zone of this PVE cluster to Nautobot, or back, without an address lost or given twice.

First the new IPAM gets all that the old one holds. Then the zone's `ipam` is changed: PVE asks the new one from then
on. What the old one has given meanwhile follows, and the SDN configuration is applied. Until then, PVE's running
configuration has the old one: that says that a migration is under way, so the next run goes on with it.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import ipams, programs, snapshot, sync
from .answers import Change, one_line
from .client import Client
from .errors import ConfigurationError, MigrationFailed, PveNautobotError
from .held import Held, lacking
from .ipams import Entry, Ipam, OwnIpam
from .netbox import NetBox
from .terminal import Output, say

APPLY: Sequence[str] = ("/usr/bin/pvesh", "set", "/cluster/sdn")
_APPLY_SECONDS = 600
_NAMED = 5
"""How many addresses a message names."""


@dataclass(frozen=True)
class _Plan:
    """`source`, `target`: the zone's IPAM before and after. `is_switched`: PVE asks the new one already."""

    zone: str
    source: Entry
    target: Entry
    is_switched: bool
    cluster: str | None
    adopt: bool

    @property
    def sentence(self) -> str:
        return f"zone {self.zone}: IPAM {self.target.name} instead of {self.source.name}"


def run(client: Client, args: argparse.Namespace) -> Output:
    sync.warn_of_full_files()
    document = sync.read()
    entries = ipams.entries()
    target = _target(client, entries, args.to)
    if args.zone not in [one["zone"] for one in document.get("zones", ())]:
        raise ConfigurationError(f"zone {args.zone!r} does not exist in PVE")
    state = ipams.ask({"do": "look", "zone": args.zone})
    if target.name == state["ipam"] == state["running"]:
        data = {"zone": args.zone, "from": target.name, "to": target.name, "migrated": True}
        return Output(f"nothing to do: zone {args.zone} has IPAM {target.name}", data)
    source = _source(entries, args.zone, state["running"] if state["ipam"] == target.name else state["ipam"])
    ours = [entry for entry in (source, target) if entry.talks_to == client.url]
    other = [entry for entry in (source, target) if entry.is_other]
    if len(ours) != 1 or len(other) != 1:
        raise ConfigurationError(
            f"from IPAM {source.name} to {target.name}: one must be PVE's own or a NetBox, one must use {client.url}"
        )
    cluster = sync.cluster_of(args, document)
    theirs = ours[0].cluster(snapshot.cluster_name(document))
    if cluster != theirs:
        its, named = (f"cluster {name}" if name else "no cluster" for name in (theirs, cluster))
        raise ConfigurationError(f"IPAM {ours[0].name} speaks for {its}, not for {named}: see --cluster")
    _check_pve(document, state["pending"])
    plan = _Plan(args.zone, source, target, state["ipam"] == target.name, cluster, args.adopt)
    way = _ToNautobot if target is ours[0] else _FromNautobot
    return _migrate(plan, way(client, plan, other[0], document), apply=args.apply)


def _migrate(plan: _Plan, way: _Way, *, apply: bool) -> Output:
    is_switched = plan.is_switched
    names = {"zone": plan.zone, "from": plan.source.name, "to": plan.target.name}
    try:
        text, to_do = way.preview()
        if not apply:
            return Output(f"{text}\n\nthen {plan.sentence}", {**names, "migrated": False, **to_do}, 8)
        if not is_switched:
            way.transfer(live=False)
            way.check(live=False)
            ipams.ask({"do": "switch", **names, "held": way.expected()})
            is_switched = True
            say(f"{plan.sentence}, to be applied")
        way.transfer(live=True)
        count, left = way.check(live=True)
        programs.run(APPLY, _APPLY_SECONDS, MigrationFailed)
        if ipams.ask({"do": "look", "zone": plan.zone})["running"] != plan.target.name:
            raise MigrationFailed("PVE has not applied the SDN configuration")
    except PveNautobotError as error:
        if not is_switched:
            raise
        raise MigrationFailed(
            f"{str(error).rstrip('.')}. PVE asks IPAM {plan.target.name} for zone {plan.zone} by now. To go on, run the"
            f" same again; to go back: pve-nautobot migrate {plan.zone} --to {plan.source.name} --apply"
        ) from error
    parts = (f"{plan.sentence}, addresses: {count}", sync.table("differences", left))
    data = {**names, "migrated": True, "addresses": count, "differences": [one.raw for one in left]}
    return Output("\n\n".join(part for part in parts if part), data, 8 if left else 0)


def _target(client: Client, entries: dict[str, Entry], named: str | None) -> Entry:
    if named is None:
        ours = [entry for entry in entries.values() if entry.talks_to == client.url]
        if len(ours) != 1:
            names = ", ".join(entry.name for entry in ours) or "none"
            raise ConfigurationError(f"IPAM entries of PVE that use {client.url}: {names}. Name one with --to")
        return ours[0]
    if named not in entries:
        raise ConfigurationError(f"--to {named!r} is no IPAM entry of PVE: it has {', '.join(sorted(entries))}")
    return entries[named]


def _source(entries: dict[str, Entry], zone: str, name: str) -> Entry:
    if name not in entries:
        raise ConfigurationError(
            f"zone {zone} has " + (f"IPAM {name!r}, which is no entry of PVE" if name else "no IPAM")
        )
    return entries[name]


def _check_pve(document: snapshot.Element, pending: Sequence[str]) -> None:
    for part in document["unread"]:
        raise MigrationFailed(f"{part['what']} could not be read: {part['why']}")
    if any(one["type"] == "cluster" and not int(one.get("quorate", 0)) for one in document["cluster"]):
        raise MigrationFailed("the cluster has no quorum")
    if pending:
        raise MigrationFailed(f"{pending[0]}, but not applied: apply the SDN configuration first, or take that back")


class _Way(ABC):
    """From the old IPAM to the new one: the zone as PVE and the other IPAM say it, and as Nautobot has it.

    `live`: PVE asks the new one already. All methods raise PveNautobotError.
    """

    def __init__(self, client: Client, plan: _Plan, other: Entry, document: snapshot.Element) -> None:
        self._client = client
        self._plan = plan
        subnets = [one for one in document["subnets"] if one["subnet"].startswith(f"{plan.zone}-")]
        self._networks = [snapshot.network(one) for one in subnets]
        self._macs = ipams.as_configured(document)
        self._ipam: Ipam
        if other.type == "pve":
            self._ipam, self._name = OwnIpam(plan.zone, subnets, self._macs), "PVE's own IPAM"
        else:
            self._ipam, self._name = NetBox(other, plan.zone, subnets), f"IPAM {other.name}"
        self._first: snapshot.Element | None = document
        self._entries: list[snapshot.Element] = []

    @abstractmethod
    def preview(self) -> tuple[str, dict[str, Any]]:
        """What is to do, as text and for --json. Raises MigrationFailed if something is in the way."""

    @abstractmethod
    def transfer(self, *, live: bool) -> None:
        """Have the new IPAM hold what the old one holds."""

    @abstractmethod
    def check(self, *, live: bool) -> tuple[int, Sequence[Change]]:
        """How many addresses that are, and what else is left to people. Raises MigrationFailed unless all are there."""

    @abstractmethod
    def expected(self) -> list[dict[str, Any]] | None:
        """What PVE's own IPAM must still hold when PVE is to ask the other one; None if PVE does not ask it now."""

    def _compare(self, *, apply: bool = False) -> sync.Compared:
        """A sync that takes the zone for one that still has the old IPAM, so that what that holds counts."""
        document, self._first = self._first or sync.read(), None
        plan = self._plan
        self._entries = self._ipam.held()
        zones = [{**one, "ipam": plan.source.name} if one["zone"] == plan.zone else one for one in document["zones"]]
        state = [one for one in document["pve-ipam-state"] if one["zone"] != plan.zone]
        said = {**document, "zones": zones, "pve-ipam-state": [*state, *self._entries]}
        return sync.compare(self._client, said, plan.cluster, apply=apply, zones=[plan.zone], adopt=plan.adopt)

    def _held(self) -> list[Held]:
        return [Held.from_entry(one) for one in self._entries]

    def _allocated(self) -> list[Held]:
        held, plan = self._client.held, self._plan
        return [one for net in self._networks for one in held(str(net), zone=plan.zone, cluster=plan.cluster)]


class _ToNautobot(_Way):
    def preview(self) -> tuple[str, dict[str, Any]]:
        status = self._client.verify()
        if not status.ready:
            raise MigrationFailed(f"Nautobot is not ready: {status.detail}")
        done = self._compare()
        self._refuse(done, [*self._allocated(), *(_planned(change) for change in done.to_do if change.fact.get("ip"))])
        return sync.show(done, done.report.differences), {"sync": done.raw}

    def transfer(self, *, live: bool) -> None:
        done = self._compare(apply=True)
        if done.failed:
            raise MigrationFailed(f"Nautobot has not done all, {len(done.failed)} changes are left")

    def check(self, *, live: bool) -> tuple[int, Sequence[Change]]:
        done = self._compare()
        self._refuse(done, self._allocated())
        return len(self._guests()), done.report.differences

    def expected(self) -> list[dict[str, Any]] | None:
        if self._plan.source.type != "pve":
            return None
        guests = (one for one in self._entries if not Held.from_entry(one).is_gateway)
        return [{"ip": one["ip"], "mac": one.get("mac")} for one in guests]

    def _guests(self) -> list[Held]:
        """Gateways are those of the subnets, for Nautobot: no matter whether the IPAM holds others."""
        return [one for one in self._held() if not one.is_gateway]

    def _refuse(self, done: sync.Compared, have: Sequence[Held]) -> None:
        """Raise MigrationFailed if Nautobot does not have all, but for addresses of guests that do not exist."""
        differences = done.report.differences
        guests = self._guests()
        held = {word for one in guests for word in (one.ip, one.mac) if word}
        conflicts = [one for one in differences if one.kind == "conflict" and self._concerns(one, held)]
        for one in conflicts:
            say(one_line(f"in the way: {one.subject}: {one.evidence}"))
        if conflicts:
            raise MigrationFailed(f"conflicts in zone {self._plan.zone}: {len(conflicts)}")
        stale = {change.fact.get("ip") for change in differences if change.kind == "stale"}
        missing = [one for one in lacking(guests, have) if one.ip not in stale]
        if missing:
            raise MigrationFailed(f"not in Nautobot: {_named(missing)}")

    def _concerns(self, conflict: Change, held: set[str]) -> bool:
        """Whether it is about a subnet of the zone or its gateway, or about an address or MAC that the old IPAM has."""
        fact = conflict.fact
        is_subnet = fact.get("zone") == self._plan.zone and (not fact.get("ip") or fact.get("is_gateway"))
        return bool(is_subnet or held & set(conflict.subject.split()))


class _FromNautobot(_Way):
    def preview(self) -> tuple[str, dict[str, Any]]:
        differences = self._compare().report.differences
        add, remove = self._changes(live=self._plan.is_switched)
        rows = [f"  add     {one}" for one in add] + [f"  remove  {one}" for one in remove]
        changes = "\n".join([f"to do in {self._name}: {len(rows)}", *rows]) if rows else "nothing to do"
        text = "\n\n".join(part for part in (changes, sync.table("differences", differences)) if part)
        return text, {"add": [str(one) for one in add], "remove": [str(one) for one in remove]}

    def transfer(self, *, live: bool) -> None:
        self._entries = self._ipam.held()
        self._ipam.write(*self._changes(live=live))

    def check(self, *, live: bool) -> tuple[int, Sequence[Change]]:
        self._entries = self._ipam.held()
        add, remove = self._changes(live=live)
        if add or remove:
            raise MigrationFailed(f"not as in Nautobot in {self._name}: {_named([*add, *remove])}")
        return sum(not one.is_gateway for one in self._held()), ()

    def expected(self) -> None:
        return None

    def _changes(self, *, live: bool) -> tuple[list[Held], list[Held]]:
        """What is to be added to the other IPAM, and to be removed from it.

        What it holds for nobody may be somebody else's, and stays. Once it is live, what PVE does there counts: it only
        gets what Nautobot gave to guests at the very last.
        """
        wanted, have = self._allocated(), self._held()
        if not live:
            return lacking(wanted, have), [one for one in lacking(have, wanted) if one.is_named]
        taken = {one.ip for one in have}
        return [one for one in wanted if one.ip not in taken and one.mac in self._macs], []


def _planned(change: Change) -> Held:
    fact = change.fact
    return Held(
        subnet=fact.get("network") or "",
        ip=fact["ip"],
        mac=fact.get("mac") or "",
        vmid=fact.get("vmid"),
        is_gateway=bool(fact.get("is_gateway")),
    )


def _named(addresses: Sequence[Held]) -> str:
    more = f" and {len(addresses) - _NAMED} more" if len(addresses) > _NAMED else ""
    return ", ".join(map(str, addresses[:_NAMED])) + more
