"""One sync of a cluster, as the REST API and the Job do it: understand, plan, apply. May import services and search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.defaults import prune_grace
from nautobot_pve_ipam.sync import known
from nautobot_pve_ipam.sync.apply import Outcome, Progress, apply
from nautobot_pve_ipam.sync.changes import Change, Options, Plan
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
        """Do what is to do. Raises only what says that the database or Redis is out of reach."""
        return apply(
            planned.changes,
            self.caller,
            last_seen=min(self.snapshot.taken, self.options.now),
            adopt=self.options.adopt,
            on_progress=on_progress,
        )


def report(sync: Sync, planned: Plan, outcome: Outcome | None = None) -> dict[str, Any]:
    """What is to do, or what was done, as JSON."""
    said: dict[str, Any] = {
        "cluster": sync.caller.cluster,
        "dry_run": outcome is None,
        "to_do": [described(change) for change in planned.to_do],
        "differences": [described(change) for change in planned.differences],
        "problems": [{"subject": problem.subject, "why": problem.why} for problem in planned.problems],
        "failed": [{"change": described(one.change), "detail": one.detail} for one in (outcome or Outcome()).failed],
    }
    return said | {"applied": [described(change) for change in outcome.applied]} if outcome else said


def described(change: Change) -> dict[str, Any]:
    """A change as JSON."""
    return {
        "kind": change.kind.value,
        "subject": str(change.subject),
        "before": plain(change.before),
        "after": plain(change.after),
        "evidence": change.evidence,
        "settlements": [settlement.value for settlement in change.settlements],
    }


def plain(fact: Any) -> dict[str, Any] | None:
    """What is known of something, as JSON; None if the caller may not view it."""
    if fact is None or not getattr(fact, "is_visible", True):
        return None
    return {one.name: _plain(getattr(fact, one.name)) for one in fields(fact) if one.compare}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
