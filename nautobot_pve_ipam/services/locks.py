"""Advisory database locks: one small interface for PostgreSQL and MySQL/MariaDB.

A lock is held until the end of the transaction it was taken in. Locks never replace the database's unique
constraints: two names may share a lock, and other writers do not use our locks. Imports no other file of the App.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from django.db import connection, transaction

LockName = tuple[object, ...]


class Locks(Protocol):
    """The locks of one transaction."""

    def wait(self, *parts: object) -> None:
        """Take the lock named by `parts`, waiting for whoever holds it."""

    def first_free(self, names: Sequence[LockName], count: int) -> list[int]:
        """Take the locks of the first `count` of `names` that nobody holds, without waiting; returns their indexes."""


def lock_key(*parts: object) -> int:
    """A stable signed 64-bit key for a lock name."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8, person=b"pve-ipam").digest()
    return int.from_bytes(digest, "big", signed=True)


@contextmanager
def locked_transaction() -> Iterator[Locks]:
    """A transaction and the locks taken in it: `with locked_transaction() as locks: locks.wait("mac", ..)`."""
    backend = MySQLLocks if connection.vendor == "mysql" else PostgreSQLLocks
    # Release the locks as soon as possible after the transaction has ended, but never before.
    with ExitStack() as held, transaction.atomic():
        yield backend(held)


class PostgreSQLLocks:
    """Transaction-scoped advisory locks; the server itself releases them at commit and rollback."""

    def __init__(self, held: ExitStack) -> None:
        del held

    def wait(self, *parts: object) -> None:
        """Take the lock named by `parts`, waiting for whoever holds it."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(*parts)])

    def first_free(self, names: Sequence[LockName], count: int) -> list[int]:
        """Take the locks of the first `count` of `names` (tuples) that nobody holds, without waiting.

        Returns the indexes of those taken, ascending. One query: the server tries the keys in order and stops.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT position FROM unnest(%s::bigint[]) WITH ORDINALITY AS candidate (key, position)"
                " WHERE pg_try_advisory_xact_lock(key) LIMIT %s",
                [[lock_key(*name) for name in names], count],
            )
            return [position - 1 for (position,) in cursor.fetchall()]


class MySQLLocks:
    """`GET_LOCK` of MySQL and MariaDB: session-scoped and server-wide, so we must release each lock by name."""

    #: Seconds to wait for another request with the same MAC or key; PVE itself gives up after 30.
    WAIT = 20

    def __init__(self, held: ExitStack) -> None:
        self._held = held

    def wait(self, *parts: object) -> None:
        """Take the lock named by `parts`, waiting for whoever holds it."""
        if not self._get(parts, self.WAIT):
            raise TimeoutError(f"lock {parts[0]} was not free within {self.WAIT} s")

    def first_free(self, names: Sequence[LockName], count: int) -> list[int]:
        """Take the locks of the first `count` of `names` (tuples) that nobody holds; returns their indexes."""
        taken: list[int] = []
        for index, name in enumerate(names):
            if len(taken) == count:
                break
            if self._get(name, 0):
                taken.append(index)
        return taken

    def _get(self, parts: LockName, seconds: int) -> bool:
        name = f"pve-ipam:{lock_key(connection.settings_dict['NAME'], *parts):x}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, %s)", [name, seconds])
            if cursor.fetchone()[0] != 1:
                return False
        self._held.callback(self._release, name)
        return True

    @staticmethod
    def _release(name: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT RELEASE_LOCK(%s)", [name])
