"""Idempotency keys of many users: expired ones are forgotten and cleared away, and nobody waits for another key."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from nautobot_pve_ipam.errors import KeyReused
from nautobot_pve_ipam.models import IdempotencyKey
from nautobot_pve_ipam.services import idempotency
from tests.models import data

pytestmark = pytest.mark.django_db


@pytest.fixture
def address():
    data.prefix(1)
    return data.address(1, 7)


@pytest.fixture
def other(django_user_model):
    return django_user_model.objects.create_user("other")


def stored(user, key, *, hours=0, addresses=()):
    idempotency.remember(user, key, "digest", addresses)
    IdempotencyKey.objects.filter(user=user, key=key).update(created=timezone.now() - timedelta(hours=hours))


def test_an_expired_key_is_new_and_may_be_used_again(admin, address):
    stored(admin, "one", hours=25, addresses=[address])
    assert idempotency.addresses_given(admin, "one", "another digest") is None
    idempotency.remember(admin, "one", "another digest", [address])
    assert idempotency.addresses_given(admin, "one", "another digest") == [address]
    with pytest.raises(KeyReused):
        idempotency.addresses_given(admin, "one", "digest")


def test_a_key_whose_address_is_gone_is_new_and_may_be_used_again(admin, address):
    stored(admin, "one", addresses=[address, data.address(1, 8)])
    address.delete()
    assert idempotency.addresses_given(admin, "one", "digest") is None
    left = data.address(1, 9)
    idempotency.remember(admin, "one", "digest", [left])
    assert idempotency.addresses_given(admin, "one", "digest") == [left]


def test_expired_keys_of_all_users_are_cleared_away_oldest_first_and_not_all_at_once(
    admin, other, address, committed, monkeypatch
):
    monkeypatch.setattr(idempotency, "PURGED_AT_ONCE", 3)
    for hours in (1, 23, 25, 26, 27, 28):
        stored(other, f"{hours} hours", hours=hours)
    with committed():
        idempotency.remember(admin, "one", "digest", [address])
    assert {key.key for key in IdempotencyKey.objects.all()} == {"one", "1 hours", "23 hours", "25 hours"}


def test_another_writer_of_the_same_key_is_refused_by_the_database(admin):
    """Where the lock does not reach, as in a Galera cluster: the request fails with 409, and may be repeated."""
    stored(admin, "one")
    with pytest.raises(IntegrityError):
        IdempotencyKey.objects.create(user=admin, key="one", request_digest="digest")
