"""All signal receivers: they seed data when the database is ready, guard addresses that are being allocated, and lower
search cursors when addresses are freed.

Who changes a prefix, an exclusive range or a gateway does not see addresses that somebody else has not committed yet:
an address could stay on the wrong parent, or end up in an exclusive range. So these changes wait for the allocations
that are under way in the prefix, and later allocations wait for them.

Addresses are freed through Nautobot's pages, its API, cascades, bulk deletes and Jobs. Deleting an address frees that
address; deleting a child prefix, an IP address range or a gateway frees what it blocked. The cursors of all enclosing
prefixes are lowered once, after the commit. A prefix that is moved takes its zones along.
May import services, search, models and core_internals.
"""

from django.db.models import ProtectedError
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.utils import timezone
from nautobot.apps.config import get_app_settings_or_config
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.core_internals import value_before_save
from nautobot_pve_ipam.models import SDNSubnet
from nautobot_pve_ipam.search import freed
from nautobot_pve_ipam.search.occupancy import territory_id
from nautobot_pve_ipam.search.tables import database_id
from nautobot_pve_ipam.services import core_edits
from nautobot_pve_ipam.services.locks import change_prefixes

#: Nautobot's built-in statuses that PVE clusters may have by default; an admin can change them.
CLUSTER_STATUSES = ("Active", "Planned", "Staging", "Maintenance", "Offline", "Decommissioning")
#: What has been made since is new to this process.
STARTED = timezone.now()


def listen():
    """Connect the receivers to the models; called once, when the App is ready."""
    pre_save.connect(_prefix_changes, sender=Prefix, dispatch_uid="pve_ipam_prefix_changes")
    pre_delete.connect(_prefix_goes, sender=Prefix, dispatch_uid="pve_ipam_prefix_goes")
    pre_save.connect(_range_changes, sender=IPAddressRange, dispatch_uid="pve_ipam_range_changes")
    pre_save.connect(_subnet_changes, sender=SDNSubnet, dispatch_uid="pve_ipam_subnet_changes")
    pre_delete.connect(_gateway_freed, sender=SDNSubnet, dispatch_uid="pve_ipam_gateway_freed")
    post_save.connect(_prefix_moved, sender=Prefix, dispatch_uid="pve_ipam_prefix_moved")
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


def enable_new_jobs(sender, *, apps, **kwargs):
    """Enable our Jobs when they are new, as Nautobot does its own: an admin may disable them later."""
    job_model = apps.get_model("extras", "Job")
    job_model.objects.filter(module_name=f"{sender.name}.jobs", created__gte=STARTED).update(enabled=True)


def write_settings(sender, **kwargs):
    """Write the settings as shipped: otherwise the first request that reads one does so, and others wait for it."""
    for name in sender.constance_config:
        get_app_settings_or_config(sender.name, name)


def _prefix_moved(sender, instance, created=False, raw=False, **kwargs):
    """Core moves what is inside along; the zones are ours."""
    if not (created or raw):
        core_edits.take_zones_along(instance)


def _prefix_changes(sender, instance, raw=False, **kwargs):
    """A new prefix takes addresses from its parent; a changed one may do so, or leave some to it."""
    if raw:
        return
    parent_ids = {instance.parent_id}
    if instance.present_in_database:
        names = ("network", "prefix_length", "namespace_id")
        is_same = all(value_before_save(instance, name) == getattr(instance, name) for name in names)
        if is_same and Prefix.objects.filter(pk=instance.pk, type=instance.type).exists():
            return
        parent_ids.add(value_before_save(instance, "parent_id"))
        if not is_same:
            core_edits.check_prefix_again(instance)
    parents = Prefix.objects.filter(pk__in=parent_ids - {None}).order_by("prefix_length", "pk")
    change_prefixes([*(territory_id(parent) for parent in parents), database_id(instance.pk)])


def _prefix_goes(sender, instance, **kwargs):
    """Core has moved the addresses to the parent that it could see; now move those committed since, too."""
    change_prefixes([territory_id(instance), database_id(instance.pk)])
    late = instance.ip_addresses.all()
    if instance.parent_id is not None:
        late.update(parent_id=instance.parent_id)
    elif late.exists():
        raise ProtectedError(f"Cannot delete Prefix {instance}: it was just given its first IP Addresses.", late)


def _range_changes(sender, instance, raw=False, **kwargs):
    if instance.is_exclusive and not raw:
        change_prefixes([territory_id(instance.parent)])
        with core_edits.late_refusals():
            instance.clean()  # an address may have been allocated in the range since


def _subnet_changes(sender, instance, raw=False, **kwargs):
    _gateway_freed(sender, instance, kept=instance.gateway)
    if not raw:
        core_edits.check_subnet_again(instance)


def _gateway_freed(sender, instance, kept=None, **kwargs):
    """The gateway that a subnet had so far may be given to a guest, unless it is `kept`."""
    before = SDNSubnet.objects.filter(pk=instance.pk).exclude(gateway=kept).select_related("prefix").first()
    if before is not None and before.gateway:
        freed.in_parent(before.prefix_id, before.prefix.ip_version, before.gateway, before.gateway)


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
