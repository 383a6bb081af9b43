"""Idempotency-Key: remembers for a day which addresses a user's key was given. May import models.

The caller holds the lock of the user's key. Nothing here waits for a request with another key.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from nautobot.ipam.models import IPAddress

from nautobot_pve_ipam.errors import KeyReused
from nautobot_pve_ipam.models import IdempotencyKey

KEY_LIFETIME = timedelta(days=1)
#: Each new key clears away at most this many expired ones, whosever they are.
PURGED_AT_ONCE = 100


def addresses_given(user: Any, key: str, request_digest: str) -> list[IPAddress] | None:
    """The addresses that this user's `key` was given; None if the key is new or expired, or any of them is gone.

    Raises KeyReused if the key was used for another request.
    """
    seen = IdempotencyKey.objects.filter(user=user, key=key, created__gte=_oldest()).first()
    if seen is None:
        return None
    if seen.request_digest != request_digest:
        raise KeyReused(f"Idempotency-Key {key} was used for another request", field="Idempotency-Key")
    related = ("status", "parent__namespace", "pve_allocation__subnet__vnet__zone__cluster")
    found = {
        str(pk): address
        for pk, address in IPAddress.objects.select_related(*related).in_bulk(seen.ip_address_ids).items()
    }
    if len(found) != len(seen.ip_address_ids):
        return None
    return [found[id_] for id_ in seen.ip_address_ids]


def remember(user: Any, key: str, request_digest: str, addresses: Sequence[IPAddress]) -> None:
    """Store the addresses given to a request with this key, in place of what it was given earlier, if anything."""
    given = {"request_digest": request_digest, "ip_address_ids": [str(address.pk) for address in addresses]}
    # Updated rather than deleted and inserted, which could collide with a request that is clearing away expired keys.
    if not IdempotencyKey.objects.filter(user=user, key=key).update(**given, created=timezone.now()):
        IdempotencyKey.objects.create(user=user, key=key, **given)
    transaction.on_commit(_purge, robust=True)


def _purge() -> None:
    """Delete some expired keys; after the commit, so that no other request waits for it."""
    with transaction.atomic():
        skip_locked = connection.features.has_select_for_update_skip_locked
        expired = IdempotencyKey.objects.select_for_update(skip_locked=skip_locked).filter(created__lt=_oldest())
        keys = list(expired.order_by("created").values_list("pk", flat=True)[:PURGED_AT_ONCE])
        IdempotencyKey.objects.filter(pk__in=keys).delete()


def _oldest() -> datetime:
    """When a key that is still known was used at the earliest."""
    return timezone.now() - KEY_LIFETIME
