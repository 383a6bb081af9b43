"""Concurrent calls of the same hook: still idempotent, and never a status 500."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from nautobot_pve_ipam.services.locks import lock_key
from tests.api.hooks.entry import NOTHING, Entry, dhcp, mac, refusal

S = "10.0.0.0-24"
SUBNET = {"gateway": "10.0.0.1", "dhcp_ranges": dhcp("10.0.0.10..10.0.0.19")}
AT_ONCE = 4


def at_once(*calls):
    """Status codes of the calls, all started together."""
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(lambda call: call(), calls))
    return Counter(answer.status for answer in answers)


def test_identical_subnets(live):
    for number in range(3):
        entry = Entry(live, cluster=f"together{number}")
        assert at_once(*[lambda entry=entry: entry.put_subnet(S, **SUBNET)] * AT_ONCE) == {201: 1, 200: AT_ONCE - 1}
        assert entry.held()["prefixes"] == ["10.0.0.0/24"]
        assert len(entry.subnets()) == 1


def test_the_same_new_cluster_in_several_namespaces(live):
    for number in range(3):
        entries = [Entry(live, cluster=f"everywhere{number}") for _ in range(AT_ONCE)]
        assert at_once(*[lambda e=e: e.put_subnet(S, **SUBNET) for e in entries]) == {201: AT_ONCE}


@pytest.mark.parametrize("who", [{"mac": mac(9), "hostname": "web9"}, {"hostname": "vnet0-gw", "gateway": True}])
def test_identical_addresses(live, who):
    entry = Entry(live)
    entry.made(entry.put_subnet(S, **SUBNET))
    for last in range(30, 35):
        guest = who if "gateway" in who else {**who, "mac": mac(last)}
        calls = [lambda last=last, guest=guest: entry.put_ip(f"10.0.0.{last}", **guest)] * AT_ONCE
        assert at_once(*calls) == {201: 1, 200: AT_ONCE - 1}


def test_two_guests_want_one_address(live):
    entry = Entry(live)
    entry.made(entry.put_subnet(S, **SUBNET))
    for last in range(30, 35):
        calls = [lambda n=n, last=last: entry.put_ip(f"10.0.0.{last}", mac=mac(n), vmid=100 + n) for n in (last, 9)]
        statuses = at_once(*calls)
        assert statuses == {201: 1, 409: 1}
        entry.delete_ip(f"10.0.0.{last}")


def test_identical_releases(live):
    entry = Entry(live)
    entry.made(entry.put_subnet(S, **SUBNET))
    for last in range(30, 35):
        entry.made(entry.put_ip(f"10.0.0.{last}", mac=mac(last)))
        assert at_once(*[lambda last=last: entry.delete_ip(f"10.0.0.{last}")] * AT_ONCE) == {204: AT_ONCE}
    assert entry.held()["addresses"] == {}


def test_a_change_and_a_release(live):
    entry = Entry(live)
    entry.made(entry.put_subnet(S, **SUBNET))
    for last in range(30, 40):
        entry.made(entry.put_ip(f"10.0.0.{last}", mac=mac(last)))
        statuses = at_once(
            lambda last=last: entry.patch_ip(f"10.0.0.{last}", hostname="new", mac=mac(last + 100)),
            lambda last=last: entry.delete_ip(f"10.0.0.{last}"),
        )
        assert set(statuses) <= {200, 204, 404}
    assert entry.held()["addresses"] == {}


def test_identical_deletions_of_a_subnet(live):
    for _ in range(5):
        entry = Entry(live)
        entry.made(entry.put_subnet(S, **SUBNET))
        entry.made(entry.put_ip("10.0.0.1", gateway=True))
        assert at_once(*[lambda e=entry: e.delete_subnet(S)] * AT_ONCE) == {204: AT_ONCE}
        assert entry.held() == NOTHING


def test_a_subnet_is_deleted_while_a_guest_starts(live):
    """Whoever is first wins: never a guest without its subnet, and never an unexpected status."""
    for round_ in range(12):
        entry = Entry(live)
        entry.made(entry.put_subnet(S, **SUBNET))
        calls = [lambda e=entry: e.delete_subnet(S), lambda e=entry: e.next_free_ip(S, mac=mac(1))]
        statuses = at_once(*calls[:: 1 if round_ % 2 else -1])
        held = entry.held()
        if 201 in statuses:
            assert statuses == {201: 1, 409: 1}
            assert list(held["addresses"]) == ["10.0.0.2/24"]
            assert len(entry.subnets()) == 1
        else:
            assert statuses in ({204: 1, 404: 1}, {204: 1, 409: 1})
            assert held == NOTHING


def test_a_subnet_is_deleted_and_created(live):
    entry = Entry(live)
    for _ in range(5):
        entry.put_subnet(S, **SUBNET)
        statuses = at_once(lambda: entry.delete_subnet(S), lambda: entry.put_subnet(S, **SUBNET))
        assert set(statuses) <= {200, 201, 204}
        assert entry.held()["prefixes"] in ([], ["10.0.0.0/24"])


@contextmanager
def held_up(live, entry):
    """A starting guest that has found its subnet and waits for its MAC's lock, which is held until the block ends."""
    (record,) = entry.subnets()
    key = lock_key("mac", record["prefix"]["id"], mac(1))
    with live.connect() as connection, connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SELECT pg_advisory_lock(%s)", [key])
        start = pool.submit(entry.next_free_ip, S, mac=mac(1))
        deadline, waiting = time.monotonic() + 30, 0
        while not waiting and time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            (waiting,) = cursor.fetchone()
        try:
            yield start
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


@pytest.mark.postgresql
def test_a_subnet_is_deleted_between_a_guests_lookup_and_its_start(live):
    entry = Entry(live)
    entry.made(entry.put_subnet(S, **SUBNET))
    with held_up(live, entry) as start:
        assert entry.delete_subnet(S).status == 204
    assert refusal(start.result()) == (404, "not_found", "prefix 10.0.0.0/24 was just deleted")
    assert entry.held() == NOTHING


@pytest.mark.postgresql
def test_a_subnet_is_deleted_while_its_parent_prefix_stays(live):
    """The address would get another parent, but its subnet is gone."""
    entry = Entry(live)
    entry.prefix("10.0.0.0/16", type="container")
    entry.made(entry.put_subnet(S, **SUBNET))
    with held_up(live, entry) as start:
        assert entry.delete_subnet(S).status == 204
    assert refusal(start.result())[:2] == (404, "not_found")
    assert entry.held() == {"prefixes": ["10.0.0.0/16"], "ranges": [], "addresses": {}}
