"""All signal receivers: they seed data when the database is ready, and lower search cursors when addresses are freed.

Addresses are freed through Nautobot's pages, its API, cascades, bulk deletes and Jobs. Deleting an address frees that
address; deleting a child prefix or an IP address range frees what it blocked. The cursors of all enclosing prefixes
are lowered after the commit, because nobody else can see the freed address before.
May import search and core_internals.
"""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.core_internals import value_before_save
from nautobot_pve_ipam.search import cursors
from nautobot_pve_ipam.search.intervals import to_int, to_text
from nautobot_pve_ipam.search.tables import possible_networks

#: Nautobot's built-in statuses that PVE clusters may have by default; an admin can change them.
CLUSTER_STATUSES = ("Active", "Planned", "Staging", "Maintenance", "Offline", "Decommissioning")


def listen():
    """Connect the receivers to core's models; called once, when the App is ready."""
    post_delete.connect(_address_freed, sender=IPAddress, dispatch_uid="pve_ipam_address_deleted")
    post_save.connect(_address_freed, sender=IPAddress, dispatch_uid="pve_ipam_address_saved")
    for model, ends in ((Prefix, ("network", "broadcast")), (IPAddressRange, ("start_host", "end_host"))):
        freed = partial(_blocker_freed, ends=ends)
        for signal in (post_delete, post_save):
            signal.connect(freed, sender=model, weak=False, dispatch_uid=f"pve_ipam_{model._meta.model_name}_freed")


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
    parent = Prefix.objects.filter(pk=parent_id).values_list("namespace_id", flat=True).first()
    if parent is not None:
        _lower_after_commit({parent}, instance.ip_version, instance.host, instance.host)


def _blocker_freed(sender, instance, ends, created=False, **kwargs):
    """Deleted, or saved: it may have shrunk, moved or changed its type."""
    if created:
        return
    first, last = (value_before_save(instance, end) for end in ends)
    if sender is Prefix:
        namespaces = {instance.namespace_id, value_before_save(instance, "namespace_id")}
    else:
        parent_ids = {instance.parent_id, value_before_save(instance, "parent_id")}
        namespaces = set(Prefix.objects.filter(pk__in=parent_ids).order_by().values_list("namespace_id", flat=True))
    _lower_after_commit(namespaces, instance.ip_version, first, last)


def _lower_after_commit(namespaces, ip_version, first, last):
    begin, end = to_int(first), to_int(last)
    networks = [to_text(network, ip_version) for network in possible_networks(begin, ip_version)]

    def lower():
        around = Prefix.objects.filter(
            namespace_id__in=namespaces, ip_version=ip_version, network__in=networks, broadcast__gte=last
        )
        cursors.lower(list(around.order_by().values_list("pk", flat=True)), begin, end)

    # Robust: the deletion must stand even if lowering the cursor, a mere hint, fails.
    transaction.on_commit(lower, robust=True)
