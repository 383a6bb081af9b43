"""Nautobot's object permissions: what may be done is known for certain only when the object is there."""

from nautobot_pve_ipam.errors import Forbidden

#: What the PVE hooks need in all: the least that a PVE's token must have.
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
    "nautobot_pve_ipam.view_sdnsubnet",
    "nautobot_pve_ipam.add_sdnsubnet",
    "nautobot_pve_ipam.change_sdnsubnet",
    "nautobot_pve_ipam.delete_sdnsubnet",
)


def require(user, action, *objects):
    """Raise Forbidden unless `user` may do `action` ("add", "change", "delete", "view") with each of the objects.

    For "add" and "change" call it after saving, inside the transaction: constraints judge what the object became.
    """
    if not objects:
        return
    model = type(objects[0])
    permitted = model.objects.restrict(user, action).order_by()
    if not permitted.query.where:  # a superuser's, or without constraints
        return
    allowed = set(permitted.filter(pk__in=[thing.pk for thing in objects]).values_list("pk", flat=True))
    for thing in objects:
        if thing.pk not in allowed:
            raise Forbidden(f"user {user} may not {action} {model._meta.verbose_name} {thing}")


def missing_hook_rights(user):
    """Those of HOOK_RIGHTS that `user` has for no object at all."""
    return [right for right in HOOK_RIGHTS if not user.has_perm(right)]
