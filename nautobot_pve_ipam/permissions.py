"""Nautobot's object permissions. Constraints can only be checked once the object exists.

May import core_internals and errors.
"""

from collections.abc import Sequence
from typing import Any

from nautobot_pve_ipam.core_internals import is_unrestricted
from nautobot_pve_ipam.errors import Forbidden

#: The constraints of an object permission, alternatives if it is a list; None for all objects.
Constraints = dict[str, Any] | list[dict[str, Any]] | None

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
#: What else a PVE's user is granted, to see its own records in REST and GraphQL, and to ignore and settle its own
#: differences; the hooks work without.
VIEW_RIGHTS = (
    "nautobot_pve_ipam.view_pvecluster",
    "nautobot_pve_ipam.view_sdnzone",
    "nautobot_pve_ipam.view_sdnvnet",
    "nautobot_pve_ipam.view_sdnsubnet",
    "nautobot_pve_ipam.view_sdndhcprange",
    "nautobot_pve_ipam.view_allocation",
    "nautobot_pve_ipam.view_difference",
    "nautobot_pve_ipam.change_difference",
)
#: What a sync needs besides, to delete what has become empty, and to tell how its Job is getting on.
SYNC_RIGHTS = (
    "nautobot_pve_ipam.delete_sdnzone",
    "nautobot_pve_ipam.delete_sdnvnet",
    "extras.view_jobresult",
)
#: Content type -> lookup path from the object to its namespace; a cluster belongs to those of its zones.
NAMESPACE_PATHS = {
    "ipam.namespace": "",
    "ipam.prefix": "namespace__",
    "ipam.ipaddressrange": "parent__namespace__",
    "ipam.ipaddress": "parent__namespace__",
    "nautobot_pve_ipam.pvecluster": "sdn_zones__namespace__",
    "nautobot_pve_ipam.sdnzone": "namespace__",
    "nautobot_pve_ipam.sdnvnet": "zone__namespace__",
    "nautobot_pve_ipam.sdnsubnet": "prefix__namespace__",
    "nautobot_pve_ipam.sdndhcprange": "subnet__prefix__namespace__",
    "nautobot_pve_ipam.allocation": "ip_address__parent__namespace__",
    "nautobot_pve_ipam.difference": "namespace__",
}
#: Content type -> lookup path from the object to its cluster. Core's own objects may be shared by clusters.
CLUSTER_PATHS = {
    "nautobot_pve_ipam.sdnzone": "cluster__",
    "nautobot_pve_ipam.sdnvnet": "zone__cluster__",
    "nautobot_pve_ipam.sdnsubnet": "vnet__zone__cluster__",
    "nautobot_pve_ipam.sdndhcprange": "subnet__vnet__zone__cluster__",
    "nautobot_pve_ipam.allocation": "subnet__vnet__zone__cluster__",
    "nautobot_pve_ipam.difference": "cluster__",
}


def hook_permissions(namespace: str, cluster: str | None = None) -> list[tuple[str, list[str], Constraints]]:
    """HOOK_RIGHTS, VIEW_RIGHTS and SYNC_RIGHTS limited to the given namespace, and to its cluster if one is given.

    A list of (content type, actions, constraints).
    """
    permissions: list[tuple[str, list[str], Constraints]] = []
    for right in (*HOOK_RIGHTS, *VIEW_RIGHTS, *SYNC_RIGHTS):
        app, _, permission = right.partition(".")
        action, _, model = permission.partition("_")
        content_type = f"{app}.{model}"
        own_results = {"user": "$user"} if content_type == "extras.jobresult" else None
        constraints = own_results or _constraints(content_type, action, namespace, cluster)
        for other_type, actions, others in permissions:
            if (other_type, others) == (content_type, constraints):
                actions.append(action)
                break
        else:
            permissions.append((content_type, [action], constraints))
    return permissions


def _constraints(content_type: str, action: str, namespace: str, cluster: str | None) -> Constraints:
    here = {f"{NAMESPACE_PATHS[content_type]}name": namespace}
    if content_type == "nautobot_pve_ipam.pvecluster":
        if cluster:
            return {"name": cluster}
        return None if action == "add" else here  # a new one has no zone yet
    if not cluster:
        return here
    if content_type == "ipam.ipaddress" and action in ("change", "delete"):
        # Those of the cluster's allocations, and of allocations that nobody has claimed yet.
        subnet = "pve_allocation__subnet"
        unclaimed = {"pve_allocation__isnull": False, f"{subnet}__isnull": True}
        return [{**here, f"{subnet}__vnet__zone__cluster__name": cluster}, {**here, **unclaimed}]
    if path := CLUSTER_PATHS.get(content_type):
        return {**here, f"{path}name": cluster}
    return here


def require(user: Any, action: str, *objects: Any) -> None:
    """Raise Forbidden unless `user` may do `action` ("add", "change", "delete", "view") with each of the objects.

    For "add" and "change", call it after saving, inside the transaction: constraints apply to the resulting object.
    An object that `user` may not view is not named.
    """
    if not objects:
        return
    meta = type(objects[0])._meta
    allowed = permitted(user, action, objects)
    for thing in objects:
        if thing.pk not in allowed:
            right = f"{meta.app_label}.{action}_{meta.model_name}"
            for_it = thing if action == "add" else named(user, thing, f"this {meta.verbose_name}")
            raise Forbidden(f"user {user} lacks permission {right} for {for_it}")


def is_visible(user: Any, thing: Any) -> bool:
    """Whether `user` may view an object."""
    return bool(permitted(user, "view", [thing]))


def named(user: Any, thing: Any, otherwise: str) -> Any:
    """An object as a sentence for `user` may name it: `otherwise` if they may not view it."""
    return thing if is_visible(user, thing) else otherwise


def permitted(user: Any, action: str, objects: Sequence[Any]) -> set[Any]:
    """The primary keys of those of the objects, all of one model, with which `user` may do `action`; at least one."""
    found, keys = type(objects[0]).objects.restrict(user, action).order_by(), {thing.pk for thing in objects}
    return keys if is_unrestricted(found) else set(found.filter(pk__in=keys).values_list("pk", flat=True))


def missing_hook_rights(user: Any) -> list[str]:
    """The HOOK_RIGHTS that `user` does not have for any object."""
    return [right for right in HOOK_RIGHTS if not user.has_perm(right)]
