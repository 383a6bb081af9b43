"""One sync of a cluster, as the REST API and the Job do it: understand, plan, apply, keep what is left to people.

May import services, search and models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.models import PVECluster, SDNZone
from nautobot_pve_ipam.services import differences
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.defaults import prune_grace
from nautobot_pve_ipam.sync import known
from nautobot_pve_ipam.sync.apply import Outcome, Progress, apply
from nautobot_pve_ipam.sync.changes import Change, Kind, Options, Plan
from nautobot_pve_ipam.sync.plan import plan
from nautobot_pve_ipam.sync.snapshot import Problem, Snapshot, SnapshotError, parse


@dataclass(frozen=True)
class Sync:
    """What is to be compared, on whose behalf, and what may be done. `now`: when the snapshot arrived."""

    caller: Caller
    snapshot: Snapshot
    options: Options

    @classmethod
    def of(
        cls,
        caller: Caller,
        document: object,
        *,
        now: datetime,
        zones: Iterable[str] = (),
        adopt: bool = False,
        prune: bool = False,
    ) -> Sync:
        """A sync of what the document says. Raises InvalidRequest if it cannot be used as a whole."""
        try:
            snapshot = parse(document)
        except SnapshotError as error:
            raise InvalidRequest(str(error), field="snapshot") from error
        return cls(caller, snapshot, Options(now, frozenset(zones), adopt, prune, prune_grace()))

    def plan(self) -> Plan:
        """What is to do. Raises InvalidRequest if the snapshot is of another cluster than the caller names."""
        try:
            planned = plan(self.snapshot, known.read(self.caller, self.snapshot), self.options)
        except ValueError as error:
            raise InvalidRequest(str(error), field="cluster") from error
        if stranger := self.caller.stranger():
            cluster = Problem(f"cluster {self.caller.cluster}" if self.caller.cluster else "cluster", stranger)
            return replace(planned, problems=(cluster, *planned.problems))
        return planned

    def apply(self, planned: Plan, on_progress: Progress | None = None) -> Outcome:
        """Do what is to do, and keep what is left to people.

        Raises only what says that the database or Redis is out of reach.
        """
        outcome = apply(
            planned.changes,
            self.caller,
            last_seen=min(self.snapshot.taken, self.options.now),
            adopt=self.options.adopt,
            on_progress=on_progress,
        )
        self._keep(planned, outcome)
        return outcome

    def not_ignored(self, found: Sequence[Change]) -> list[Change]:
        """Those of the differences that nobody has ignored as they are."""
        return differences.not_ignored(self.caller.namespace, self._cluster(), found)

    def _cluster(self) -> PVECluster | None:
        """The caller's cluster, which the first sync makes."""
        return PVECluster.objects.filter(name=self.caller.cluster).first()

    def _keep(self, planned: Plan, outcome: Outcome) -> None:
        """Keep the differences, and what is gone but could not be released, if the user may change the cluster's zones
        in this namespace.
        """
        caller, options = self.caller, self.options
        cluster = self._cluster()
        own = SDNZone.objects.filter(namespace=caller.namespace, cluster=cluster)
        if (caller.cluster and not cluster) or not own.restrict(caller.user, "change").exists():
            return
        gone = [one.change for one in outcome.failed if one.change.kind is Kind.GONE]
        left = (*planned.differences, *gone)
        at = max(self.snapshot.taken, options.now)
        differences.keep(caller.namespace, cluster, left, at, complete=self._says_everything(own))
        if cluster:
            counts = (len(outcome.applied), "done"), (len(outcome.failed), "not done"), (len(left), "differences")
            result = ", ".join(f"{count} {what}" for count, what in counts)
            differences.note_sync(cluster, user=caller.user, result=result, at=options.now)

    def _says_everything(self, own: QuerySet[SDNZone]) -> bool:
        """Whether the snapshot is complete, and all zones that the cluster has in Nautobot take part."""
        snapshot = self.snapshot
        doubt = snapshot.unread or snapshot.incomplete or snapshot.sdn_incomplete
        if doubt or any(guest.unclear for guest in snapshot.guests.values()):
            return False
        in_pve = (snapshot.zones[name] for name in own.values_list("name", flat=True) if name in snapshot.zones)
        namespace = self.caller.namespace.name
        return all(zone.namespace == namespace or zone.name in self.options.zones for zone in in_pve)


def report(sync: Sync, planned: Plan, outcome: Outcome | None = None) -> dict[str, Any]:
    """What is to do, or what was done, as JSON."""
    left = sync.not_ignored(planned.differences)
    said: dict[str, Any] = {
        "cluster": sync.caller.cluster,
        "dry_run": outcome is None,
        "to_do": [described(change) for change in planned.to_do],
        "differences": [described(change) for change in left],
        "ignored": len(planned.differences) - len(left),
        "problems": [{"subject": problem.subject, "why": problem.why} for problem in planned.problems],
        "failed": [{"change": described(one.change), "detail": one.detail} for one in (outcome or Outcome()).failed],
    }
    return said | {"applied": [described(change) for change in outcome.applied]} if outcome else said


def described(change: Change) -> dict[str, Any]:
    """A change as JSON."""
    return {
        "kind": change.kind.value,
        "subject": str(change.subject),
        "before": differences.plain(change.before),
        "after": differences.plain(change.after),
        "evidence": change.evidence,
        "settlements": [settlement.value for settlement in change.settlements],
    }
