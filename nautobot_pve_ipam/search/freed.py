"""Collects what a transaction frees, and lowers the search cursors around all of it when it is committed.

Nobody else sees a freed address before the commit. However much is freed, this takes two queries, one call of Redis
and little memory, as all that is freed in one prefix counts as one interval. So a cursor may be lowered further than
necessary, which costs the next search a little time. May import the other files of search.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.search import cursors
from nautobot_pve_ipam.search.intervals import Interval, to_int
from nautobot_pve_ipam.search.tables import possible_networks, prefixes_at


def in_parent(parent_id: UUID, ip_version: int, first: str, last: str) -> None:
    """The current transaction frees `first`..`last`, whose parent was this prefix."""
    freed = _Freed.by_this_transaction()
    freed.in_parents[parent_id, ip_version] = _hull(
        (to_int(first), to_int(last)), freed.in_parents.get((parent_id, ip_version))
    )
    freed.see_to_it()


def in_namespaces(namespace_ids: Iterable[UUID], ip_version: int, first: str, last: str) -> None:
    """The current transaction frees `first`..`last`, a prefix as a whole, in these namespaces."""
    freed = _Freed.by_this_transaction()
    freed.in_namespaces.update((id_, ip_version, (to_int(first), to_int(last))) for id_ in namespace_ids)
    freed.see_to_it()


class _Freed:
    """What one transaction has freed.

    Only Django's list of what is to be done at commit refers to it. If that drops it, because the savepoint in which it
    was begun is rolled back, then it is gone, and whatever is freed afterwards begins a new one.
    """

    _of_this_thread = threading.local()

    def __init__(self) -> None:
        self.in_parents: dict[tuple[UUID, int], Interval] = {}
        self.in_namespaces: set[tuple[UUID, int, Interval]] = set()
        self._is_seen_to = False

    @classmethod
    def by_this_transaction(cls) -> _Freed:
        reference = getattr(cls._of_this_thread, "freed", None)
        return (reference and reference()) or cls()

    def see_to_it(self) -> None:
        """Lower the cursors at commit; at once if there is no transaction."""
        if not self._is_seen_to:
            self._is_seen_to = True
            self._of_this_thread.freed = weakref.ref(self)
            # Robust: the deletion must stand even if lowering the cursors, mere hints, fails.
            transaction.on_commit(self._lower_cursors, robust=True)

    def _lower_cursors(self) -> None:
        """Lower those of each prefix that contains any of it."""
        self._of_this_thread.freed = None
        places = self._places()
        around: dict[tuple[UUID, int, int], list[tuple[int, UUID]]] = defaultdict(list)
        networks = {
            (id_, version, network)
            for id_, version, (first, _) in places
            for network in possible_networks(first, version)
        }
        for id_, namespace_id, version, (first, last) in prefixes_at(networks):
            around[namespace_id, version, first].append((last, id_))
        lower: dict[UUID, Interval] = {}
        for namespace_id, version, (first, last) in places:
            for network in possible_networks(first, version):
                for broadcast, id_ in around.get((namespace_id, version, network), ()):
                    if broadcast >= last:
                        lower[id_] = _hull((first, last), lower.get(id_))
        cursors.lower(lower)

    def _places(self) -> set[tuple[UUID, int, Interval]]:
        """All of it by namespace. What a parent freed that does not exist any more, was freed along with the parent."""
        parents = Prefix.objects.filter(pk__in={id_ for id_, _ in self.in_parents}).order_by()
        namespaces = dict(parents.values_list("pk", "namespace_id"))
        return self.in_namespaces | {
            (namespaces[id_], version, interval)
            for (id_, version), interval in self.in_parents.items()
            if id_ in namespaces
        }


def _hull(one: Interval, other: Interval | None) -> Interval:
    return one if other is None else (min(one[0], other[0]), max(one[1], other[1]))
