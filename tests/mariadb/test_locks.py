"""GET_LOCK used as our transaction-scoped lock, observed from a second connection."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from django.db import transaction

from nautobot_pve_ipam.services import locks as module
from nautobot_pve_ipam.services.locks import MySQLLocks, change_prefixes, lock_key, locked_transaction
from tests.mariadb.available import need_mariadb

need_mariadb()

from MySQLdb import OperationalError  # noqa: E402  (only if it is installed)

NAMES = [("address", "namespace", host) for host in range(4)]
PATIENCE = 20

pytestmark = pytest.mark.usefixtures("database")


def server_name(name):
    """The name under which the server knows a lock."""
    return f"pve-ipam:{lock_key('nautobot', *name):x}"  # locks are server-wide, so the name includes the database


@pytest.fixture
def other(connect):
    """Another client: `other.take(name)` and `other.give_back(name)`, `other.sees_free(name)`."""

    class Other:
        cursor = connect()

        def ask(self, function, name, *arguments):
            self.cursor.execute(f"SELECT {function}", [server_name(name), *arguments])
            return self.cursor.fetchone()[0]

        def take(self, name):
            assert self.ask("GET_LOCK(%s, 0)", name) == 1

        def give_back(self, name):
            assert self.ask("RELEASE_LOCK(%s)", name) == 1

        def sees_free(self, name):
            return self.ask("IS_FREE_LOCK(%s)", name) == 1

    return Other()


def test_a_mysql_connection_gets_the_mysql_locks():
    with locked_transaction() as locks:
        assert isinstance(locks, MySQLLocks)


def test_transactions_see_what_others_have_committed_since_they_began(database):
    """Reads under a lock must see what its last holder wrote."""
    with database.cursor() as cursor:
        cursor.execute("SELECT @@tx_isolation")
        assert cursor.fetchone() == ("READ-COMMITTED",)


def test_a_lock_held_by_somebody_else_is_skipped(other):
    other.take(NAMES[1])
    with locked_transaction() as locks:
        assert locks.first_free(NAMES, 2) == [0, 2]
        assert [other.sees_free(name) for name in NAMES] == [False, False, False, True]
    assert [other.sees_free(name) for name in NAMES] == [True, False, True, True]


def test_when_all_are_held_none_is_taken(other):
    for name in NAMES:
        other.take(name)
    with locked_transaction() as locks:
        assert locks.first_free(NAMES, 1) == []


def test_many_locks_are_waited_for_one_by_one(other):
    macs = [("mac", "prefix", number) for number in range(module.MANY + 1)]
    with locked_transaction() as locks:
        locks.wait_all(macs)
        assert not any(map(other.sees_free, macs))
    assert all(map(other.sees_free, macs))


def test_a_rollback_releases(other):
    def fail():
        with locked_transaction() as locks:
            locks.wait("mac", "x")
            locks.first_free(NAMES, 1)
            assert not other.sees_free(NAMES[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert other.sees_free(NAMES[0])
    assert other.sees_free(("mac", "x"))


def test_a_savepoint_that_is_rolled_back_does_not_release(other):
    with locked_transaction() as locks:
        locks.wait("mac", "x")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            raise ZeroDivisionError
        assert not other.sees_free(("mac", "x"))


@pytest.mark.parametrize("fails", [False, True], ids=["commit", "rollback"])
def test_a_nested_transaction_keeps_its_locks_until_the_outermost_ends(fails, other):
    def outermost():
        with transaction.atomic():
            with locked_transaction() as locks:
                locks.wait("mac", "x")
                locks.first_free(NAMES, 1)
            assert not other.sees_free(NAMES[0])
            assert not other.sees_free(("mac", "x"))
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        outermost()
    assert other.sees_free(NAMES[0])
    assert other.sees_free(("mac", "x"))


def test_locks_of_a_savepoint_end_with_its_rollback(other):
    """As on PostgreSQL: what they guarded was not written."""

    def fail():
        with locked_transaction() as inner:
            inner.wait("mac", "y")
            raise ZeroDivisionError

    with locked_transaction() as outer:
        outer.wait("mac", "x")
        with pytest.raises(ZeroDivisionError):
            fail()
        assert other.sees_free(("mac", "y"))
        assert not other.sees_free(("mac", "x"))


def test_waiting_ends_when_the_other_is_done(other, connect):
    other.take(("mac", "x"))
    watcher = connect()
    with ThreadPoolExecutor(1) as pool, locked_transaction() as locks:
        giving_back = pool.submit(_when_somebody_waits, watcher, lambda: other.give_back(("mac", "x")))
        locks.wait("mac", "x")
        giving_back.result()
        assert not other.sees_free(("mac", "x"))


def test_waiting_does_not_last_forever(other, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0)
    other.take(("mac", "x"))
    with pytest.raises(TimeoutError, match="lock mac was not free"), locked_transaction() as locks:
        locks.wait("mac", "x")
    other.give_back(("mac", "x"))
    with locked_transaction() as locks:
        locks.wait("mac", "x")


def test_a_waiter_sees_what_the_holder_committed(database, connect):
    """If the lock were released before the commit, the old table would still be visible."""
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE made (number INT) ENGINE InnoDB")
    waiting, watcher = connect(), connect()

    def wait_and_look():
        waiting.execute("SELECT GET_LOCK(%s, %s)", [server_name(("mac", "x")), PATIENCE])
        assert waiting.fetchone() == (1,)
        waiting.execute("SELECT number FROM nautobot.made")
        return waiting.fetchall()

    with ThreadPoolExecutor(1) as pool:
        with locked_transaction() as locks:
            locks.wait("mac", "x")
            seen = pool.submit(wait_and_look)
            _when_somebody_waits(watcher, lambda: None)
            with database.cursor() as cursor:
                cursor.execute("INSERT INTO made VALUES (1)")
        assert seen.result() == ((1,),)


def test_a_prefix_is_shared_or_changed(database, connect):
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE ipam_prefix (id CHAR(36) PRIMARY KEY) ENGINE InnoDB")
        cursor.execute("INSERT INTO ipam_prefix VALUES ('p'), ('q')")
    other = connect()

    def others_can(do, prefix_id):
        try:
            other.execute(f"SELECT id FROM nautobot.ipam_prefix WHERE id = %s {do} NOWAIT", [prefix_id])
        except OperationalError:
            return False
        return True

    with locked_transaction() as locks:
        locks.wait("prefix", "p")
        assert others_can("LOCK IN SHARE MODE", "p")
        assert not others_can("FOR UPDATE", "p")
    with locked_transaction():
        change_prefixes(["p", "q"])
        assert not others_can("LOCK IN SHARE MODE", "q")
    assert others_can("FOR UPDATE", "p")


def _when_somebody_waits(watcher, function):
    deadline = time.monotonic() + PATIENCE
    while True:
        watcher.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'")
        if watcher.fetchone()[0]:
            return function()
        assert time.monotonic() < deadline, "nobody waits for the lock"
