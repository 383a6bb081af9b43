"""Nautobot's object permissions. Constraints can only be checked once the object exists.

May import core_internals and errors.
"""

from typing import Any

from nautobot_pve_ipam.core_internals import is_unrestricted
from nautobot_pve_ipam.errors import Forbidden

#: The constraints of an object permission; None for all objects.
Constraints = dict[str, str] | None

#: The minimum set of permissions that a PVE's token needs for the hooks.
HOOK_RIGHTS = (
    "ipam.view_namespace",
    "ipam.view_prefix",
    "ipam.add_prefix",
    "ipam.delete_prefix",
    "ipam.view_ipaddressrange",
    "ipam.add_ipaddressrange",
    "ipam.delete_ipaddressrange",
    "ipam.view_ipaddress",
    "ipam.add_ipaddress",
    "ipam.change_ipaddress",
    "ipam.delete_ipaddress",
    "nautobot_pve_ipam.add_pvecluster",
    "nautobot_pve_ipam.add_sdnzone",
    "nautobot_pve_ipam.change_sdnzone",
    "nautobot_pve_ipam.add_sdnvnet",
    "nautobot_pve_ipam.change_sdnvnet",
    "nautobot_pve_ipam.add_sdnsubnet",
    "nautobot_pve_ipam.change_sdnsubnet",
    "nautobot_pve_ipam.delete_sdnsubnet",
)
#: Content type -> lookup path from the object to the name of its namespace.
NAMESPACE_PATHS = {
    "ipam.namespace": "name",
    "ipam.prefix": "namespace__name",
    "ipam.ipaddressrange": "parent__namespace__name",
    "ipam.ipaddress": "parent__namespace__name",
    "nautobot_pve_ipam.sdnzone": "namespace__name",
    "nautobot_pve_ipam.sdnvnet": "zone__namespace__name",
    "nautobot_pve_ipam.sdnsubnet": "prefix__namespace__name",
}


def hook_permissions(namespace: str, cluster: str | None = None) -> dict[str, tuple[list[str], Constraints]]:
    """HOOK_RIGHTS limited to the given namespace: content type -> (actions, constraints).

    Clusters belong to no namespace: they are limited to the named one, if any.
    """
    permissions: dict[str, tuple[list[str], Constraints]] = {}
    for right in HOOK_RIGHTS:
        app, _, permission = right.partition(".")
        action, _, model = permission.partition("_")
        content_type = f"{app}.{model}"
        if path := NAMESPACE_PATHS.get(content_type):
            constraints: Constraints = {path: namespace}
        else:
            constraints = {"name": cluster} if cluster else None
        permissions.setdefault(content_type, ([], constraints))[0].append(action)
    return permissions


def require(user: Any, action: str, *objects: Any) -> None:
    """Raise Forbidden unless `user` may do `action` ("add", "change", "delete", "view") with each of the objects.

    For "add" and "change", call it after saving, inside the transaction: constraints apply to the resulting object.
    An object that `user` may not view is not named.
    """
    if not objects:
        return
    model = type(objects[0])
    right = f"{model._meta.app_label}.{action}_{model._meta.model_name}"
    permitted = model.objects.restrict(user, action).order_by()
    if is_unrestricted(permitted):
        return
    allowed = set(permitted.filter(pk__in=[thing.pk for thing in objects]).values_list("pk", flat=True))
    for thing in objects:
        if thing.pk not in allowed:
            named = thing if action == "add" or is_visible(user, thing) else f"this {model._meta.verbose_name}"
            raise Forbidden(f"user {user} lacks permission {right} for {named}")


def is_visible(user: Any, thing: Any) -> bool:
    """Whether `user` may view an object."""
    permitted = type(thing).objects.restrict(user, "view")
    return is_unrestricted(permitted) or permitted.filter(pk=thing.pk).exists()


def missing_hook_rights(user: Any) -> list[str]:
    """The HOOK_RIGHTS that `user` does not have for any object."""
    return [right for right in HOOK_RIGHTS if not user.has_perm(right)]
