"""Look up objects that a user may view, by namespace and exact value, never as the first hit of a search.

Imports errors only.
"""

from typing import Any

import netaddr
from django.core.exceptions import ValidationError
from nautobot.ipam.models import Namespace, Prefix

from nautobot_pve_ipam.errors import Missing


def visible(queryset: Any, user: Any, what: str, **lookup: Any) -> Any:
    """The one matching object of `queryset` that `user` may view. Raises Missing."""
    try:
        return queryset.restrict(user, "view").get(**lookup)
    except (queryset.model.DoesNotExist, ValidationError) as error:
        named = ", ".join(str(value) for value in lookup.values())
        raise Missing(f"{what} {named} does not exist, or you may not view it") from error


def visible_namespace(user: Any, name: str) -> Namespace:
    """The namespace with that name. Raises Missing."""
    return visible(Namespace.objects.all(), user, "namespace", name=name)


def visible_prefix(user: Any, **lookup: Any) -> Prefix:
    """The one prefix that matches, with its namespace. Raises Missing."""
    return visible(Prefix.objects.select_related("namespace"), user, "prefix", **lookup)


def visible_prefix_of(user: Any, namespace: str, network: netaddr.IPNetwork) -> Prefix:
    """The prefix of `namespace` that is exactly `network`, with its namespace. Raises Missing."""
    prefixes = Prefix.objects.restrict(user, "view").select_related("namespace").order_by()
    try:
        return prefixes.get(namespace__name=namespace, network=str(network.network), prefix_length=network.prefixlen)
    except Prefix.DoesNotExist:
        visible_namespace(user, namespace)
        raise Missing(f"namespace {namespace} has no prefix {network.cidr}, or you may not view it") from None
