"""What the receivers that lower cursors cost a transaction that deletes or saves much, through core."""

import re

import pytest
from django.db import connection
from django.db.models.signals import post_delete, post_save
from django.test.utils import CaptureQueriesContext
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.search import cursors
from nautobot_pve_ipam.signals import listen
from tests.nightly import examples
from tests.search.fill import Ground

pytestmark = pytest.mark.django_db

MODELS = (IPAddress, Prefix, IPAddressRange)
#: Where the freed lies, by namespace and by network.
QUERIES = 2


@pytest.fixture
def without_receivers():
    """Disconnects them; the rest of the test is as if the App lowered no cursors."""

    def disconnect():
        for model in MODELS:
            for signal in (post_delete, post_save):
                gone = {uid for (uid, _), *_ in signal.receivers if re.fullmatch("pve_ipam_.*_freed", str(uid))}
                assert sum(signal.disconnect(sender=model, dispatch_uid=uid) for uid in gone) == 1

    yield disconnect
    listen()


@pytest.fixture
def calls_of_redis(monkeypatch):
    calls, call = [], cursors._redis
    monkeypatch.setattr(cursors, "_redis", lambda *arguments: calls.append(arguments) or call(*arguments))
    return calls


def used(ground, number, many):
    prefix = ground.prefix(f"10.{number}.0.0/16")
    ground.use(prefix, range(1, many + 1))
    return IPAddress.objects.filter(parent=prefix)


def used_in_many_subnets(ground, number, many):
    prefix = ground.prefix(f"10.{number}.0.0/16", type="container")
    ground.children(prefix, range(0, many * 8, 8), size=8, type="network")
    ground.use_children(prefix, range(0, many * 8, 8), size=8)
    return IPAddress.objects.filter(parent__in=prefix.children.all())


def ranges(ground, number, many):
    prefix = ground.prefix(f"10.{number}.0.0/16")
    ground.ranges(prefix, range(0, many * 8, 8), size=8)
    return IPAddressRange.objects.filter(parent=prefix)


def subnets(ground, number, many):
    prefix = ground.prefix(f"10.{number}.0.0/16")
    ground.children(prefix, range(0, many * 8, 8), size=8, type="network")
    return prefix.children.all()


def delete(things):
    things.delete()


def save_each(things):
    for thing in things:
        thing.save()


@pytest.mark.parametrize(
    ("work", "make"),
    [
        *((delete, make) for make in (used, used_in_many_subnets, ranges, subnets)),
        *((save_each, make) for make in (ranges, subnets)),
    ],
)
def test_a_transaction_costs_a_handful_of_queries_more(make, work, committed, without_receivers, calls_of_redis):
    many = examples(20, 500)
    ground = Ground("much is freed")
    first, second = (make(ground, number, many) for number in (1, 2))
    work(make(ground, 3, 1))  # what is looked up once per process
    calls_of_redis.clear()

    def cost(things):
        with CaptureQueriesContext(connection) as queries, committed():
            work(things)
        return len(queries)

    with_receivers = cost(first)
    assert len(calls_of_redis) <= 1
    without_receivers()
    assert 0 <= with_receivers - cost(second) <= QUERIES
