"""The advisory locks, observed from two connections: Django's and a separate one."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.db import connection

from development.databases import connect
from nautobot_pve_ipam.services.locks import lock_key, locked_transaction

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
        with locked_transaction() as locks:
            return locks.first_free(NAMES, 2)

    assert in_a_transaction_of_its_own(work) == [0, 2]


def test_no_more_locks_are_taken_than_asked_for(others):
    def work():
        with locked_transaction() as locks:
            assert locks.first_free(NAMES, 2) == [0, 1]
            return [others(name) for name in NAMES]

    assert in_a_transaction_of_its_own(work) == [False, False, True, True]


def test_when_all_are_held_none_is_taken(others):
    for name in NAMES:
        others.execute("SELECT pg_advisory_lock(%s)", [lock_key(*name)])

    def work():
        with locked_transaction() as locks:
            return locks.first_free(NAMES, 1)

    assert in_a_transaction_of_its_own(work) == []


def test_a_commit_releases(others):
    def work():
        with locked_transaction() as locks:
            locks.first_free(NAMES, 1)
            locks.wait("mac", "x")
            assert not others(NAMES[0])
            assert not others(("mac", "x"))
        return others(NAMES[0]), others(("mac", "x"))

    assert in_a_transaction_of_its_own(work) == (True, True)


def test_a_rollback_releases(others):
    def fail():
        with locked_transaction() as locks:
            locks.first_free(NAMES, 1)
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
            with locked_transaction() as locks:
                locks.wait("mac", "y")
                return others(("mac", "y"))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work)
        deadline = time.monotonic() + PATIENCE
        while not _somebody_waits(others):
            assert time.monotonic() < deadline, "nobody waits for the lock"
        assert not waiting.done()
        others.execute("SELECT pg_advisory_unlock(%s)", [key])
        assert waiting.result(PATIENCE) is False


def _somebody_waits(others):
    others.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    return others.fetchone()[0]
