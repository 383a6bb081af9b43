"""Random snapshots against random states, made real: what the naive Nautobot gets, the real one gets, too."""

import copy

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings

from nautobot_pve_ipam.sync.changes import Kind
from tests.nightly import examples
from tests.pure.sync.worlds import documents, nautobots, options
from tests.sync.real import facts

pytestmark = pytest.mark.django_db

tried = settings(
    max_examples=examples(8, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@tried
@given(nautobots(), documents(), options)
def test_a_real_nautobot_ends_where_the_naive_one_does(real, nautobot, document, chosen):
    for store in (nautobot.zones, nautobot.vnets, nautobot.subnets, nautobot.addresses):
        for key, one in store.items():
            store[key] = type(one)(**{**vars(one), "gone_since": None})
    nautobot.released = frozenset()
    with transaction.atomic():
        real.make(nautobot)
        assert real.facts(document) == facts(nautobot.known("dc1", parsed(document)))
        run = real.run(document, **chosen)
        planned = run.plan()
        naive = copy.deepcopy(nautobot).plan(document, **chosen)
        assert set(planned.changes) == set(naive.changes)
        outcome = run.apply(planned)
        assert [one.detail for one in outcome.failed if one.change.kind is not Kind.RANGES] == []
        if not outcome.failed:
            assert real.plan(document, **chosen).to_do == ()
        transaction.set_rollback(True)


def parsed(document):
    from nautobot_pve_ipam.sync.snapshot import parse  # noqa: PLC0415

    return parse(document)
