"""Database locks by name, and on prefixes: one small interface for PostgreSQL and MySQL/MariaDB.

A lock is held until the end of the outermost transaction around it. Locks never replace the database's unique
constraints: two names may share a lock, and other writers do not use our locks. May import core_internals.

All connections of a PostgreSQL server share one table with room for some thousand locks. So whoever wants more than
MANY locks takes their gates instead: a gate stands for all MACs of a prefix, or for BLOCK addresses in sequence. Who
takes fewer locks also holds their gates, but shares them with others who do the same.

The lock `("prefix", id)` is always shared, and conflicts with `change_prefixes` only. It comes after those on
MACs and before those on addresses. Of several, everybody takes that of the outermost prefix first: whoever holds it may
find out only then that an address is in a child network. The IDs of prefixes are as stored by the database.
"""

import hashlib
import weakref
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from typing import Protocol

from django.db import Error, connection, transaction

from nautobot_pve_ipam.core_internals import atomic

LockName = tuple[object, ...]
PREFIX = "prefix"
SUBNETS = "subnets"

#: Whoever wants more locks than this takes their gates.
MANY = 64
#: Addresses behind one gate.
BLOCK = 256
#: Seconds to wait for another request, for example one with the same MAC; PVE itself gives up after 30.
WAIT = 20


class Locks(Protocol):
    """The locks of one transaction."""

    def wait(self, *parts: object) -> None:
        """Take the lock named by `parts`, waiting for whoever holds it."""

    def wait_all(self, names: Sequence[LockName]) -> None:
        """Take the locks named by `names`, waiting for whoever holds them: prefixes last and in this order, the others
        in one of their own.
        """

    def first_free(self, names: Sequence[LockName], count: int) -> list[int]:
        """Take the locks of the first `count` of `names` that nobody holds, without waiting; returns their indexes."""

    def wait_at_gates(self, names: Sequence[LockName], count: int) -> None:
        """Wait until nobody keeps us from taking `count` of these locks just because of a gate."""


def gate(name: LockName) -> LockName | None:
    """The gate that a lock is behind; None for a kind of which nobody takes many."""
    match name:
        case ("address", namespace, int(host)):
            return "addresses", namespace, host // BLOCK
        case ("mac", prefix, _):
            return "macs", prefix
    return None


def lock_key(*parts: object) -> int:
    """A stable signed 64-bit key for a lock name."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8, person=b"pve-ipam").digest()
    return int.from_bytes(digest, "big", signed=True)


def _gates(names: Sequence[LockName]) -> set[int]:
    return {lock_key(*found) for name in names if (found := gate(name))}


@contextmanager
def locked_transaction() -> Iterator[Locks]:
    """A transaction and the locks taken in it: `with locked_transaction() as locks: locks.wait("mac", ..)`."""
    with atomic():
        yield MySQLLocks() if connection.vendor == "mysql" else PostgreSQLLocks()


def change_prefixes(prefix_ids: Sequence[object]) -> None:
    """Wait until nobody has the lock of these prefixes, and let nobody take it until the current transaction ends.

    `prefix_ids`: the outermost first.

    For whoever changes what decides about their addresses: children, type, exclusive ranges, gateways, the prefixes
    themselves. On PostgreSQL this is an advisory lock, because its row locks let those who share starve those who wait
    to change.
    """
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            for id_ in prefix_ids:
                cursor.execute("SELECT id FROM ipam_prefix WHERE id = %s FOR UPDATE", [id_])
    elif prefix_ids:
        _wait_patiently([(PREFIX, id_) for id_ in prefix_ids])


def change_namespaces(namespace_ids: Iterable[object]) -> None:
    """Wait until nobody writes subnets of these namespaces, and let nobody do so until the current transaction ends.

    For whoever moves or resizes their prefixes. It comes before the locks on prefixes.
    """
    names = [(SUBNETS, id_) for id_ in sorted(namespace_ids, key=str)]
    if connection.vendor == "mysql":
        MySQLLocks().wait_all(names)
    else:
        _wait_patiently(names)


def _wait_patiently(names: Iterable[LockName]) -> None:
    """Take locks in this order, however long others hold them."""
    with connection.cursor() as cursor:
        keys = [lock_key(*name) for name in names]
        cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", [keys])


class PostgreSQLLocks:
    """Transaction-scoped advisory locks; the server itself releases them at commit and rollback."""

    def wait(self, *parts: object) -> None:
        """Take the lock named by `parts`, waiting for whoever holds it."""
        self.wait_all([parts])

    def wait_all(self, names: Sequence[LockName]) -> None:
        """Take the locks named by `names`, or their gates, waiting up to WAIT for whoever holds them; one query."""
        prefixes = [lock_key(*name) for name in names if name[0] == PREFIX]
        alone = [name for name in names if name[0] != PREFIX]
        if len(alone) > MANY:
            self._wait(_gates(alone), prefixes=prefixes)
        elif names:
            self._wait({lock_key(*name) for name in alone}, _gates(alone), prefixes)

    def first_free(self, names: Sequence[LockName], count: int) -> list[int]:
        """Take the locks, or gates, of the first `count` of `names` (tuples) that nobody holds, without waiting.

        Returns the indexes of those taken, ascending. One query: the server tries them in order and stops.
        """
        gates = [lock_key(*(gate(name) or name)) for name in names]
        keys = gates if count > MANY else [lock_key(*name) for name in names]
        # CASE guarantees the order: no lock is tried behind a gate that somebody else has.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT position FROM"
                " unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS candidate (gate, key, position)"
                " WHERE CASE WHEN gate = key OR pg_try_advisory_xact_lock_shared(gate)"
                " THEN pg_try_advisory_xact_lock(key) END LIMIT %s",
                [gates, keys, count],
            )
            return [position - 1 for (position,) in cursor.fetchall()]

    def wait_at_gates(self, names: Sequence[LockName], count: int) -> None:
        """Wait until nobody keeps us from taking `count` of these locks just because of a gate; one query."""
        if count > MANY:
            self._wait(_gates(names))
        else:
            self._wait(set(), shared=_gates(names))

    @staticmethod
    def _wait(keys: set[int], shared: Set[int] = frozenset(), prefixes: Sequence[int] = ()) -> None:
        """Take locks, `shared` with others or alone, each in ascending order, so that nobody waits in a circle; then
        share `prefixes`, in their order.

        From then on, nothing in the transaction waits longer than WAIT, not even for another writer's rows.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true),"
                " (SELECT count(pg_advisory_xact_lock_shared(key)) FROM unnest(%s::bigint[]) AS gates (key)),"
                " (SELECT count(pg_advisory_xact_lock(key)) FROM unnest(%s::bigint[]) AS locks (key)),"
                " (SELECT count(pg_advisory_xact_lock_shared(key)) FROM unnest(%s::bigint[]) AS prefixes (key))",
                [f"{WAIT}s", sorted(shared), sorted(keys), list(prefixes)],
            )


class MySQLLocks:
    """`GET_LOCK` of MySQL and MariaDB: session-scoped and server-wide, so we must release each lock by name.

    That must not happen before the outermost transaction has ended, which need not be ours, and Django calls nobody
    after a rollback. But it drops what was registered for the commit, after a commit and after a rollback.
    """

    def wait(self, *parts: object) -> None:
        """Take the lock named by `parts`, waiting for whoever holds it."""
        if parts[0] == PREFIX:  # GET_LOCK cannot be shared
            with connection.cursor() as cursor:
                cursor.execute("SELECT id FROM ipam_prefix WHERE id = %s LOCK IN SHARE MODE", [parts[1]])
        elif not self._get(parts, WAIT):
            raise TimeoutError(f"lock {parts[0]} was not free within {WAIT} s")

    def wait_all(self, names: Sequence[LockName]) -> None:
        """Take the locks named by `names`, waiting for whoever holds them."""
        for name in sorted(names, key=lambda name: (1, "") if name[0] == PREFIX else (0, str(name))):
            self.wait(*name)

    def first_free(self, names: Sequence[LockName], count: int) -> list[int]:
        """Take the locks of the first `count` of `names` (tuples) that nobody holds; returns their indexes."""
        taken: list[int] = []
        for index, name in enumerate(names):
            if len(taken) == count:
                break
            if self._get(name, 0):
                taken.append(index)
        return taken

    def wait_at_gates(self, names: Sequence[LockName], count: int) -> None:
        """There are no gates: the server does not limit the number of locks."""

    def _get(self, parts: LockName, seconds: int) -> bool:
        name = f"pve-ipam:{lock_key(connection.settings_dict['NAME'], *parts):x}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, %s)", [name, seconds])
            if cursor.fetchone()[0] != 1:
                return False
        at_end = _AtEnd()
        weakref.finalize(at_end, _release, name).atexit = False
        transaction.on_commit(at_end)
        return True


class _AtEnd:
    """Registered for a transaction's commit, it lives as long as the transaction."""

    def __call__(self) -> None:
        pass


def _release(name: str) -> None:
    with suppress(Error), connection.cursor() as cursor:  # a broken connection holds no locks
        cursor.execute("SELECT RELEASE_LOCK(%s)", [name])
