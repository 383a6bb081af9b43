"""Keeps what a sync found to be different and left to people, until it is settled. May import models and locks.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from nautobot.ipam.models import Namespace

from nautobot_pve_ipam.choices import DifferenceKindChoices, DifferenceStateChoices
from nautobot_pve_ipam.models import Difference, PVECluster
from nautobot_pve_ipam.services.locks import Locks, locked_transaction
from nautobot_pve_ipam.subject import Subject

#: Rows in one statement, whose length databases limit.
BATCH = 1000
#: How long a difference is kept that was settled, from when it was last seen: as long as Nautobot keeps a change.
SETTLED_KEPT = timedelta(days=90)
#: What a sync changes of a difference.
UPDATED = (
    "before",
    "after",
    "evidence",
    "settlements",
    "first_seen",
    "last_seen",
    "state",
    "reason",
    "last_updated",
)


class Found(Protocol):
    """A sync's `Change`, which this room does not know. `before` and `after` are dataclasses, or None."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> Subject: ...
    @property
    def before(self) -> Any: ...
    @property
    def after(self) -> Any: ...
    @property
    def evidence(self) -> str: ...
    @property
    def settlements(self) -> Sequence[str]: ...


AnyFound = TypeVar("AnyFound", bound=Found)


def keep(
    namespace: Namespace, cluster: PVECluster | None, found: Iterable[Found], at: datetime, *, complete: bool
) -> None:
    """Keep what a sync of a cluster found and left undone: its differences, and of what is gone also what it would have
    released. `cluster` is None for a PVE that names none.

    What is new is open, and what was ignored is so until it changes. `complete`: the snapshot said everything, so what
    it does not have any more is settled; what was gone is settled even otherwise, unless it is missing still. What has
    been settled for SETTLED_KEPT is deleted. `at`: the later of when the snapshot was taken and when it arrived. Up to
    BATCH differences take the same number of queries.
    """
    rows: dict[str, Difference] = {}
    missing: set[Subject] = set()
    for change in found:
        row = _row(namespace, cluster, change, at)
        rows[row.identify()] = row
        if row.kind in (DifferenceKindChoices.GONE, DifferenceKindChoices.STALE):
            missing.add(change.subject)
    with locked_transaction() as locks:
        lock(namespace, cluster, locks)
        own = Difference.objects.filter(namespace=namespace, cluster=cluster).order_by()
        over = []
        for kept in own.filter(~Q(state=DifferenceStateChoices.SETTLED) | Q(identity__in=list(rows))):
            if kept.identity in rows:
                _continue(kept, rows[kept.identity])
            elif complete or (kept.kind == DifferenceKindChoices.GONE and kept.about not in missing):
                over.append(kept.pk)
        Difference.objects.bulk_create(
            rows.values(),
            batch_size=BATCH,
            update_conflicts=True,
            unique_fields=["pk"] if connection.features.supports_update_conflicts_with_target else None,
            update_fields=UPDATED,
        )
        own.filter(pk__in=over).update(state=DifferenceStateChoices.SETTLED, last_updated=timezone.now())
        own.filter(state=DifferenceStateChoices.SETTLED, last_seen__lt=at - SETTLED_KEPT).delete()


def not_ignored(namespace: Namespace, cluster: PVECluster | None, found: Sequence[AnyFound]) -> list[AnyFound]:
    """Those of the differences that nobody has ignored as they are."""
    ignored = Difference.objects.filter(
        namespace=namespace, cluster=cluster, state=DifferenceStateChoices.ACCEPTED
    ).order_by()
    facts = {
        identity: (before, after) for identity, before, after in ignored.values_list("identity", "before", "after")
    }
    rows = ((change, _row(namespace, cluster, change, timezone.now())) for change in found if facts)
    quiet = {id(change) for change, row in rows if facts.get(row.identify()) == (row.before, row.after)}
    return [change for change in found if id(change) not in quiet]


def lock(namespace: Namespace, cluster: PVECluster | None, locks: Locks) -> None:
    """Have nobody else change what is kept of a cluster. It comes before all other locks."""
    locks.wait("differences", namespace.pk, cluster.pk if cluster else None)


def gone_since(namespace: Namespace) -> dict[tuple[str | None, Subject], datetime]:
    """Since when what is gone has been known to be: by the name of its cluster (None: a PVE that names none) and what
    it is.
    """
    gone = Difference.objects.filter(namespace=namespace, kind=DifferenceKindChoices.GONE).order_by()
    known = gone.exclude(state=DifferenceStateChoices.SETTLED).select_related("cluster")
    return {(one.cluster and one.cluster.name, one.about): one.first_seen for one in known}


def note_sync(cluster: PVECluster, *, user: Any, result: str, at: datetime) -> None:
    """Note on a cluster that a sync of it has ended: on whose behalf, and what it did, as a sentence.

    Like the time when an address was last seen, this is no entry in the change log.
    """
    PVECluster.objects.filter(pk=cluster.pk).update(last_synced=at, last_synced_by=user, last_sync_result=result)


def plain(fact: Any) -> dict[str, Any] | None:
    """What a sync knows of something, in values that JSON has; without what two of them may differ in.

    None if the sync's user may not view it.
    """
    if fact is None or not getattr(fact, "is_visible", True):
        return None
    return {field.name: _plain(getattr(fact, field.name)) for field in fields(fact) if field.compare}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value)


def _row(namespace: Namespace, cluster: PVECluster | None, change: Found, at: datetime) -> Difference:
    about = change.subject
    return Difference(
        namespace=namespace,
        cluster=cluster,
        kind=_word(change.kind),
        **about._asdict() | {"vmid": about.vmid or None, "ip": about.ip or None},
        before=plain(change.before),
        after=plain(change.after),
        evidence=change.evidence,
        settlements=[_word(one) for one in change.settlements],
        first_seen=at,
        last_seen=at,
    )


def _word(choice: str) -> str:
    """The value of a sync's enumerations, which are strings, too."""
    return str(getattr(choice, "value", choice))


def _continue(kept: Difference, row: Difference) -> None:
    """Make what was just found the new state of what was kept of it."""
    row.pk, row.created = kept.pk, kept.created
    if kept.state != DifferenceStateChoices.SETTLED:
        row.first_seen = kept.first_seen
    if kept.reason and (row.before, row.after) == (kept.before, kept.after):
        row.reason, row.state = kept.reason, DifferenceStateChoices.ACCEPTED
