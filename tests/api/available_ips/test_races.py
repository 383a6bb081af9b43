"""Whoever is faster, in one process: each thing that may happen between our look and the write, made to happen."""

from unittest.mock import patch

import pytest
from django.db import IntegrityError
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam.api.available_ips import CoresWriter
from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.services.allocation import _Finder
from nautobot_pve_ipam.services.locks import PostgreSQLLocks
from tests.api.available_ips.serving import hosts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("served")]


def once(holder, name, instead):
    """The first call of a method is `instead(method, *arguments)`."""
    method, calls = getattr(holder, name), []

    def call(*arguments):
        calls.append(arguments)
        return instead(method, *arguments) if len(calls) == 1 else method(*arguments)

    return patch.object(holder, name, call)


def test_somebody_who_does_not_lock_is_faster(ask, ground, prefix):
    def late(create, *arguments):
        ground.use(prefix, range(2, 3))
        return create(*arguments)

    with once(_Finder, "_create", late):
        answer = ask("POST", [{}, {}, {}])
    assert (answer.status_code, hosts(answer)) == (201, ["10.0.0.1", "10.0.0.3", "10.0.0.4"])
    assert ObjectChange.objects.count() == 3


def test_the_database_is_the_last_judge(ask, prefix):
    """What was written before it refuses is undone, and leaves nothing in the change log."""

    def refused(write, *arguments):
        write(*arguments)
        raise IntegrityError("duplicate key")

    first = int(prefix.prefix[1])
    with once(CoresWriter, "__call__", refused), patch.object(tables, "closed", return_value={first}):
        answer = ask("POST", [{}, {}])
    assert hosts(answer) == ["10.0.0.2", "10.0.0.3"]
    assert (IPAddress.objects.count(), ObjectChange.objects.count()) == (2, 2)


def test_what_is_wrong_is_not_tried_again(ask):
    with patch.object(_Finder, "_create", autospec=True, side_effect=_Finder._create) as create:
        assert ask("POST", [{}, {"type": "bogus"}]).data[1].keys() == {"type"}
    assert create.call_count == 1


@pytest.mark.postgresql
def test_a_long_list_waits_for_another_and_finds_nothing_twice(ask, ground):
    prefix = ground.prefix("10.3.0.0/30", type="pool")

    def others_hold_all_but_the_first(first_free, locks, names, count):
        return first_free(locks, names[:1], count)

    with once(PostgreSQLLocks, "first_free", others_hold_all_but_the_first):
        answer = ask("POST", [{}] * 4, of=prefix)
    assert hosts(answer) == ["10.3.0.0", "10.3.0.1", "10.3.0.2", "10.3.0.3"]


@pytest.mark.postgresql
def test_the_lock_of_a_child_network_is_held_with_that_of_the_prefix(ask, ground, prefix):
    """Taken together: one after the other could wait in a circle with those who change both."""
    ground.children(prefix, range(1), size=8, type="network")
    child = Prefix.objects.get(prefix_length=29)
    with patch.object(PostgreSQLLocks, "wait_all", autospec=True, side_effect=PostgreSQLLocks.wait_all) as wait_all:
        answer = ask("POST", [{}] * 9)
    assert len(set(hosts(answer))) == 9
    own, childs = tables.database_id(prefix.pk), tables.database_id(child.pk)
    assert [{name[1] for name in call.args[1]} for call in wait_all.call_args_list] == [{own}, {own, childs}]
