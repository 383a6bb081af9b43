"""Addresses, children and ranges come and go and cursors get lost, but requests always get the lowest free address."""

from contextlib import suppress

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test import TestCase
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.errors import NoFreeAddress
from nautobot_pve_ipam.search import cursors, occupancy
from nautobot_pve_ipam.search.intervals import addresses, to_int, to_text
from nautobot_pve_ipam.search.occupancy import span
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.allocation import Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from tests.nightly import examples
from tests.search.fill import Ground
from tests.search.test_search_properties import Network, Range, Scenario, free

pytestmark = pytest.mark.django_db

SIZE = 128
numbers = st.integers(0, SIZE - 1)
pairs = st.tuples(numbers, numbers).map(sorted)


class Churn(RuleBasedStateMachine):
    """A /25 whose state is always read back from Nautobot.

    `behind`: since cursors were last lost, something was freed without going through Nautobot (`foreign`).
    """

    @initialize(used=st.integers(0, 100), foreign=st.booleans())
    def start(self, used, foreign):
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self.ground = Ground("churn")
        self.prefix = self.ground.prefix("10.0.0.0/25")
        self.first, _ = span(self.prefix)
        self.ground.use(self.prefix, range(1, used + 1))
        self.foreign = foreign
        self.behind = False

    def teardown(self):
        if hasattr(self, "_transaction"):
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)

    def commit(self):
        return TestCase.captureOnCommitCallbacks(execute=True)

    def addresses(self):
        return IPAddress.objects.filter(parent__namespace=self.ground.namespace)

    def children(self):
        return Prefix.objects.filter(namespace=self.ground.namespace).exclude(pk=self.prefix.pk)

    def ranges(self):
        return IPAddressRange.objects.filter(parent__namespace=self.ground.namespace)

    def expected(self, search):
        """The free addresses by the naive rules."""
        scenario = Scenario(
            Network(self.first, 25, 4, "network"),
            tuple(Network(to_int(child.network), child.prefix_length, 4, child.type) for child in self.children()),
            tuple(Range(to_int(r.start_host), to_int(r.end_host), r.is_exclusive) for r in self.ranges()),
            frozenset(to_int(host) for host in self.addresses().values_list("host", flat=True)),
            bounds=search.bounds,
            exclude=search.exclude,
            offset=search.offset,
        )
        return list(free(scenario))

    @rule(
        bounds=st.sampled_from([(), (), ((10, 120),), ((60, 90), (20, 70))]) | st.lists(pairs, min_size=1, max_size=2),
        offset=st.sampled_from([0, 0, 0, 1, 20]),
        exclude=st.just([]) | st.lists(pairs.map(lambda pair: (pair[0], min(pair[1], pair[0] + 5))), max_size=2),
        count=st.sampled_from([1, 1, 2, 20, None, None]),
    )
    def take(self, bounds, offset, exclude, count):
        def interval(pair):
            return self.first + pair[0], self.first + pair[1]

        search = Search(self.prefix, tuple(map(interval, bounds)), tuple(map(interval, exclude)), offset)
        expected_anywhere = self.expected(search)
        expected = expected_anywhere[search.offset :]
        count = count or len(expected) or 1  # None: all of them
        try:
            with self.commit():
                held = allocate(search, [Wanted()] * count, caller=Caller(self.user, self.prefix.namespace))
        except NoFreeAddress:
            assert len(expected) < count
            return
        taken = [to_int(item.address.host) for item in held]
        assert len(set(taken)) == len(taken) == count
        if self.behind:
            assert set(taken) <= set(expected_anywhere)
        else:
            assert taken == expected[:count]

    @rule(data=st.data(), count=st.integers(1, 5))
    def give_back(self, data, count):
        hosts = sorted(self.addresses().values_list("host", flat=True), key=to_int)
        if hosts:
            chosen = data.draw(st.lists(st.sampled_from(hosts), min_size=1, max_size=count, unique=True))
            with self.commit():
                self.addresses().filter(host__in=chosen).delete()

    @rule(start=numbers, length=st.integers(27, 32), type_=st.sampled_from(["network", "pool"]))
    def add_child(self, start, length, type_):
        size = 2 ** (32 - length)
        with self.commit():
            self.attempt(
                self.new(Prefix, prefix=f"{to_text(self.first + start // size * size, 4)}/{length}", type=type_)
            )

    @rule(data=st.data(), type_=st.sampled_from(["network", "pool", None]))
    def change_or_remove_child(self, data, type_):
        found = list(self.children().order_by("network", "prefix_length"))
        if found:
            child = data.draw(st.sampled_from(found))
            with self.commit():
                if type_ is None:
                    child.delete()
                else:
                    child.type = type_
                    self.attempt(child)

    @rule(start=numbers, size=st.integers(1, 10), exclusive=st.booleans())
    def add_range(self, start, size, exclusive):
        with self.commit():
            ends = self.first + start, self.first + min(start + size, SIZE) - 1
            first, last = (to_text(end, 4) for end in ends)
            self.attempt(self.new(IPAddressRange, start_address=first, end_address=last, is_exclusive=exclusive))

    @rule(data=st.data(), remove=st.booleans())
    def change_or_remove_range(self, data, remove):
        found = list(self.ranges().order_by("start_host"))
        if found:
            chosen = data.draw(st.sampled_from(found))
            with self.commit():
                if remove:
                    chosen.delete()
                elif chosen.is_exclusive:
                    chosen.is_exclusive = False
                    self.attempt(chosen)  # refused if a child prefix was made in it

    @rule()
    def lose_cursors(self):
        cursors.get_redis_connection("default").delete(f"pve-ipam:cursors:{self.prefix.pk}")
        self.behind = False

    @rule(number=numbers)
    def insert_behind_our_back(self, number):
        host = self.first + number
        text = to_text(host, 4)
        if self.ranges().filter(is_exclusive=True, start_host__lte=text, end_host__gte=text).exists():
            return
        if not self.addresses().filter(host=text).exists():
            around = [
                prefix for prefix in (self.prefix, *self.children()) if span(prefix)[0] <= host <= span(prefix)[1]
            ]
            parent = max(around, key=lambda prefix: prefix.prefix_length)
            offset = host - span(parent)[0]
            self.ground.use(parent, range(offset, offset + 1))

    @precondition(lambda self: self.foreign)
    @rule(data=st.data())
    def delete_behind_our_back(self, data):
        hosts = sorted(self.addresses().values_list("host", flat=True), key=to_int)
        if hosts:
            chosen = data.draw(st.sampled_from(hosts))
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM ipam_ipaddress WHERE id = %s", [self.addresses().get(host=chosen).pk])
            self.behind = True

    @precondition(lambda self: hasattr(self, "behind"))
    @invariant()
    def the_lowest_is_shown(self):
        for bounds in ((), ((self.first + 10, self.first + 120),)):
            search = Search(self.prefix, bounds)
            with self.commit():
                shown = next(addresses(search.free()), None)
            expected = self.expected(search)
            if self.behind and expected:
                assert shown in expected
            else:
                assert shown == next(iter(expected), None)

    def new(self, model, **fields):
        return model(namespace=self.ground.namespace, status=self.ground.active, **fields)

    def attempt(self, thing):
        """Save it, if Nautobot allows it."""
        with suppress(ValidationError), transaction.atomic():
            thing.validated_save()


def test_always_the_lowest_free_address(admin, monkeypatch):
    monkeypatch.setattr(cursors, "WORTH_MOVING", 1)
    for name, value in {"WINDOW": 16, "WINDOW_GROWTH": 2, "PAGE": 8, "DENSE_STEP": 16}.items():
        monkeypatch.setattr(occupancy, name, value)
    machine = type("Machine", (Churn,), {"user": admin})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(10, 300),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
