"""The advisory locks, observed from two connections: Django's and a separate one."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.db import OperationalError, connection
from nautobot.ipam.models import Prefix

from development.databases import connect
from nautobot_pve_ipam import signals
from nautobot_pve_ipam.services import locks
from nautobot_pve_ipam.services.locks import change_prefixes, lock_key, locked_transaction
from tests.models import data

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql]

NAMES = [("address", "namespace", host) for host in range(4)]
PATIENCE = 30


@pytest.fixture
def others():
    """A function that tries to take a lock for the duration of a statement, on a separate connection."""
    with closing(connect(os.environ["NAUTOBOT_PVE_IPAM_DATABASE"])) as other, other.cursor() as cursor:

        def can_take(name):
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock_key(*name)])
            return cursor.fetchone()[0]

        can_take.execute = cursor.execute
        can_take.fetchone = cursor.fetchone
        yield can_take


def in_a_transaction_of_its_own(function):
    """Run outside the test's transaction: a thread has its own connection, whose commits are real."""

    def run():
        try:
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_a_lock_held_by_somebody_else_is_skipped(others):
    others.execute("SELECT pg_advisory_lock(%s)", [lock_key(*NAMES[1])])

    def work():
        with locked_transaction() as held:
            return held.first_free(NAMES, 2)

    assert in_a_transaction_of_its_own(work) == [0, 2]


def test_no_more_locks_are_taken_than_asked_for(others):
    def work():
        with locked_transaction() as held:
            assert held.first_free(NAMES, 2) == [0, 1]
            return [others(name) for name in NAMES]

    assert in_a_transaction_of_its_own(work) == [False, False, True, True]


def test_when_all_are_held_none_is_taken(others):
    for name in NAMES:
        others.execute("SELECT pg_advisory_lock(%s)", [lock_key(*name)])

    def work():
        with locked_transaction() as held:
            return held.first_free(NAMES, 1)

    assert in_a_transaction_of_its_own(work) == []


def test_a_commit_releases(others):
    def work():
        with locked_transaction() as held:
            held.first_free(NAMES, 1)
            held.wait("mac", "x")
            assert not others(NAMES[0])
            assert not others(("mac", "x"))
        return others(NAMES[0]), others(("mac", "x"))

    assert in_a_transaction_of_its_own(work) == (True, True)


def test_a_rollback_releases(others):
    def fail():
        with locked_transaction() as held:
            held.first_free(NAMES, 1)
            raise ZeroDivisionError

    def work():
        with pytest.raises(ZeroDivisionError):
            fail()
        return others(NAMES[0])

    assert in_a_transaction_of_its_own(work) is True


def test_wait_waits_until_the_other_is_done(others):
    key = lock_key("mac", "y")
    others.execute("SELECT pg_advisory_lock(%s)", [key])

    def work():
        try:
            with locked_transaction() as held:
                held.wait("mac", "y")
                return others(("mac", "y"))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work)
        _until_somebody_waits(others)
        assert not waiting.done()
        others.execute("SELECT pg_advisory_unlock(%s)", [key])
        assert waiting.result(PATIENCE) is False


def advisory_locks(cursor):
    cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
    return cursor.fetchone()[0]


@pytest.fixture
def many(monkeypatch):
    """Two locks are not many, three are."""
    monkeypatch.setattr(locks, "MANY", 2)


def test_many_locks_are_taken_as_one(many):
    macs = [("mac", "prefix", number) for number in range(3)]
    with locked_transaction() as held, connection.cursor() as cursor:
        held.wait_all(macs)
        assert advisory_locks(cursor) == 1
        assert held.first_free(NAMES, 3) == [0, 1, 2]
        assert advisory_locks(cursor) == 2


def test_nobody_gets_a_lock_whose_gate_somebody_holds(many):
    """Nor does the attempt leave a lock behind."""

    def work():
        with locked_transaction() as held, connection.cursor() as cursor:
            return held.first_free(NAMES, 1), held.first_free(NAMES, 3), advisory_locks(cursor)

    with locked_transaction() as held:
        assert held.first_free(NAMES, 3) == [0, 1, 2]
        assert in_a_transaction_of_its_own(work) == ([], [], 0)


def test_nobody_gets_a_gate_while_somebody_holds_a_lock(many):
    def work():
        with locked_transaction() as held:
            return held.first_free(NAMES, 3), held.first_free(NAMES, 2)

    with locked_transaction() as held:
        held.wait(*NAMES[1])
        assert in_a_transaction_of_its_own(work) == ([], [0, 2])


def test_a_gate_does_not_close_other_blocks_and_prefixes(many):
    def work():
        with locked_transaction() as held:
            held.wait_all([("mac", "another prefix", number) for number in range(3)])
            return held.first_free([("address", "namespace", locks.BLOCK), ("address", "another", 1)], 2)

    with locked_transaction() as held:
        held.wait_all([("mac", "prefix", number) for number in range(3)])
        held.first_free(NAMES, 3)
        assert in_a_transaction_of_its_own(work) == [0, 1]


@pytest.mark.parametrize("count", [1, 3])
def test_whoever_was_kept_out_by_a_gate_can_wait_at_it(count, many, others):
    key = lock_key(*locks.gate(NAMES[0]))
    others.execute("SELECT pg_advisory_lock(%s)", [key])

    def work():
        try:
            with locked_transaction() as held:
                assert held.first_free(NAMES, count) == []
                held.wait_at_gates(NAMES, count)
                return held.first_free(NAMES, count)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work)
        _until_somebody_waits(others)
        others.execute("SELECT pg_advisory_unlock(%s)", [key])
        assert waiting.result(PATIENCE) == list(range(count))


def test_waiting_does_not_last_forever(others, monkeypatch):
    monkeypatch.setattr(locks, "WAIT", 0.001)
    others.execute("SELECT pg_advisory_lock(%s)", [lock_key("mac", "z")])

    def work():
        with pytest.raises(OperationalError, match="lock timeout"), locked_transaction() as held:
            held.wait("mac", "z")

    in_a_transaction_of_its_own(work)


def _until_somebody_waits(others):
    deadline = time.monotonic() + PATIENCE
    while not _somebody_waits(others):
        assert time.monotonic() < deadline, "nobody waits for the lock"


def test_a_prefix_is_shared_or_changed(others):
    key = [lock_key("prefix", "p")]

    def share():
        with locked_transaction() as locks:
            locks.wait("prefix", "p")
            others.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", key)
            return others.fetchone()[0], others(("prefix", "p"))

    def change():
        with locked_transaction():
            change_prefixes(["p", "q"])
            others.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", key)
            return others.fetchone()[0], others(("prefix", "q"))

    assert in_a_transaction_of_its_own(share) == (True, False)
    assert in_a_transaction_of_its_own(change) == (False, False)
    assert others(("prefix", "p"))


def _somebody_waits(others):
    others.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    return others.fetchone()[0]


def test_changes_of_prefixes_take_the_outermost_first(monkeypatch):
    """Whoever allocates by address may hold the lock of the outer prefix, and then want that of a child network."""
    taken = []
    monkeypatch.setattr(signals, "change_prefixes", taken.append)
    outer = data.prefix(1)
    for number in range(8):  # with random IDs, whose order is not that of the prefixes
        taken.clear()
        inner = data.saved(Prefix(prefix=f"10.1.0.{32 * number}/27", namespace=outer.namespace, status=outer.status))
        inner.type = "pool"
        inner.save()
        expected = [outer.pk, inner.pk]
        inner.delete()
        assert taken == [expected] * 3
