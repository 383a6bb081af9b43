"""Lowers search cursors when Nautobot frees addresses: through its pages, its API, cascades, bulk deletes and Jobs.

An address frees itself; a child prefix or an IP address range frees what it blocked. The cursors of every prefix
around are lowered, after the commit: before it nobody else could see the freed address. Where an object lay before
a change is read from the snapshot that core's models keep of themselves until their save is over.
"""

from functools import partial

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam import cursors
from nautobot_pve_ipam.occupancy import possible_networks, to_int, to_text


def connect():
    """Listen to core's models; called once, when the App is ready."""
    post_delete.connect(_address_freed, sender=IPAddress, dispatch_uid="pve_ipam_address_deleted")
    post_save.connect(_address_freed, sender=IPAddress, dispatch_uid="pve_ipam_address_saved")
    for model, ends in ((Prefix, ("network", "broadcast")), (IPAddressRange, ("start_host", "end_host"))):
        freed = partial(_blocker_freed, ends=ends)
        for signal in (post_delete, post_save):
            signal.connect(freed, sender=model, weak=False, dispatch_uid=f"pve_ipam_{model._meta.model_name}_freed")


def _address_freed(sender, instance, created=None, **kwargs):
    """Deleted, or saved with another parent: the old parent's place is free."""
    parent_id = getattr(instance, "_parent_id", None) or instance.parent_id
    if created or parent_id is None or (created is not None and parent_id == instance.parent_id):
        return
    parent = Prefix.objects.filter(pk=parent_id).values_list("namespace_id", flat=True).first()
    if parent is not None:
        _lower_after_commit({parent}, instance.ip_version, instance.host, instance.host)


def _blocker_freed(sender, instance, ends, created=False, **kwargs):
    """Deleted, or saved and perhaps smaller, elsewhere or of another kind."""
    if created:
        return
    first, last = (getattr(instance, f"_{end}", None) or getattr(instance, end) for end in ends)
    if sender is Prefix:
        namespaces = {instance.namespace_id, getattr(instance, "_namespace_id", None) or instance.namespace_id}
    else:
        parent_ids = {instance.parent_id, getattr(instance, "_parent_id", None) or instance.parent_id}
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

    # Robust: what is deleted is deleted, whatever becomes of a hint.
    transaction.on_commit(lower, robust=True)
