"""All signal receivers: they seed data when the database is ready, and lower search cursors when addresses are freed.

Addresses are freed through Nautobot's pages, its API, cascades, bulk deletes and Jobs. Deleting an address frees that
address; deleting a child prefix or an IP address range frees what it blocked. The cursors of all enclosing prefixes
are lowered once, after the commit.
May import search and core_internals.
"""

from django.db.models.signals import post_delete, post_save
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.core_internals import value_before_save
from nautobot_pve_ipam.search import freed

#: Nautobot's built-in statuses that PVE clusters may have by default; an admin can change them.
CLUSTER_STATUSES = ("Active", "Planned", "Staging", "Maintenance", "Offline", "Decommissioning")


def listen():
    """Connect the receivers to core's models; called once, when the App is ready."""
    for model, receiver in ((IPAddress, _address_freed), (Prefix, _prefix_freed), (IPAddressRange, _range_freed)):
        for signal in (post_delete, post_save):
            signal.connect(receiver, sender=model, dispatch_uid=f"pve_ipam{receiver.__name__}")


def offer_cluster_statuses(sender, *, apps, **kwargs):
    """Enable CLUSTER_STATUSES for PVE clusters, unless any are enabled already: never undo an admin's changes."""
    try:
        cluster_model = apps.get_model("nautobot_pve_ipam", "PVECluster")
    except LookupError:  # migrated back to zero: the App is being uninstalled
        return
    status_model = apps.get_model("extras", "Status")
    content_type = apps.get_model("contenttypes", "ContentType").objects.get_for_model(cluster_model)
    if status_model.objects.filter(content_types=content_type).exists():
        return
    for status in status_model.objects.filter(name__in=CLUSTER_STATUSES):
        status.content_types.add(content_type)


def _address_freed(sender, instance, created=None, **kwargs):
    """Deleted, or moved to another parent: the address is free in its old parent."""
    parent_id = value_before_save(instance, "parent_id")
    if created or parent_id is None or (created is not None and parent_id == instance.parent_id):
        return
    freed.in_parent(parent_id, instance.ip_version, instance.host, instance.host)


def _prefix_freed(sender, instance, created=False, **kwargs):
    """Deleted, or saved: it may have shrunk, moved or changed its type."""
    if not created:
        namespaces = {instance.namespace_id, value_before_save(instance, "namespace_id")}
        ends = (value_before_save(instance, end) for end in ("network", "broadcast"))
        freed.in_namespaces(namespaces, instance.ip_version, *ends)


def _range_freed(sender, instance, created=False, **kwargs):
    """Deleted, or saved: it may have shrunk, moved or become less exclusive."""
    if not created:
        ends = [value_before_save(instance, end) for end in ("start_host", "end_host")]
        for parent_id in {instance.parent_id, value_before_save(instance, "parent_id")}:
            freed.in_parent(parent_id, instance.ip_version, *ends)
