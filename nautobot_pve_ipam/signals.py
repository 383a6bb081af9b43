"""Seed data, made when the database is ready after each `migrate`."""

#: The statuses of Nautobot's own that a PVE cluster may have; which ones it may have in the end is the admin's choice.
CLUSTER_STATUSES = ("Active", "Planned", "Staging", "Maintenance", "Offline", "Decommissioning")


def offer_cluster_statuses(sender, *, apps, **kwargs):
    """Let PVE clusters have Nautobot's usual statuses, unless they have any already: an admin's edit stays."""
    try:
        cluster_model = apps.get_model("nautobot_pve_ipam", "PVECluster")
    except LookupError:  # migrated back to nothing: the App is being uninstalled
        return
    status_model = apps.get_model("extras", "Status")
    content_type = apps.get_model("contenttypes", "ContentType").objects.get_for_model(cluster_model)
    if status_model.objects.filter(content_types=content_type).exists():
        return
    for status in status_model.objects.filter(name__in=CLUSTER_STATUSES):
        status.content_types.add(content_type)
