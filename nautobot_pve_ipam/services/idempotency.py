"""Idempotency-Key: remembers for a day which addresses a user's key was given. May import models."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone
from nautobot.ipam.models import IPAddress

from nautobot_pve_ipam.errors import KeyReused
from nautobot_pve_ipam.models import IdempotencyKey

KEY_LIFETIME = timedelta(days=1)


def addresses_given(user: Any, key: str, request_digest: str) -> list[IPAddress] | None:
    """The addresses that this user's `key` was given; None if the key is new or expired, or any of them is gone.

    Raises KeyReused if the key was used for another request.
    """
    IdempotencyKey.objects.filter(user=user, created__lt=timezone.now() - KEY_LIFETIME).delete()
    seen = IdempotencyKey.objects.filter(user=user, key=key).first()
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
        seen.delete()
        return None
    return [found[id_] for id_ in seen.ip_address_ids]


def remember(user: Any, key: str, request_digest: str, addresses: Sequence[IPAddress]) -> None:
    """Store the addresses given to a request with this key."""
    IdempotencyKey.objects.create(
        user=user, key=key, request_digest=request_digest, ip_address_ids=[str(address.pk) for address in addresses]
    )
