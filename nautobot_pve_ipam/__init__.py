"""Proxmox VE addressing on Nautobot: the App's registration, nothing else."""

from importlib import metadata
from typing import Any

from nautobot.apps import ConstanceConfigItem, NautobotAppConfig, nautobot_database_ready

__version__ = metadata.version("nautobot-pve-ipam")

OUTERMOST_MIDDLEWARE = "nautobot_pve_ipam.middleware.OutOfReachMiddleware"

NOTHING: dict[str, Any] = {"tenant": None, "tags": [], "custom_fields": {}}


def defaults_item(what, **shipped):
    """A setting that admins can change on Nautobot's configuration page."""
    help_text = f"What {what} get where PVE says nothing. Statuses, roles, tenants and tags are given by name."
    return ConstanceConfigItem(shipped, help_text, "optional_json_field")


class NautobotPVEIPAMConfig(NautobotAppConfig):
    """Registers the App under the URL base `pve-ipam`."""

    name = "nautobot_pve_ipam"
    verbose_name = "Proxmox VE IPAM"
    description = "Range-aware next-free-IP and the Proxmox VE software-defined network in Nautobot"
    version = __version__
    author = "The nautobot-pve-ipam developers"
    base_url = "pve-ipam"
    docs_view_name = "plugins:nautobot_pve_ipam:docs"
    min_version = "3.2.0"
    max_version = "3.2.99"  # what the test matrix covers
    default_settings = {
        # Whether PVE's stock NetBox plugin may adopt prefixes, ranges and addresses that it did not create.
        "facade_adopts": False,
        # Percentage in use from which a DHCP range is shown as a warning, and as a danger.
        "gauge_warning": 80,
        "gauge_danger": 95,
    }
    constance_config = {
        "cluster_defaults": defaults_item("new PVE clusters", status="Active", tags=[], custom_fields={}),
        "prefix_defaults": defaults_item(
            "the prefixes of new subnets", status="Active", role=None, type="network", **NOTHING
        ),
        "range_defaults": defaults_item(
            "new DHCP ranges. Addresses in ranges of this role are DHCP addresses",
            status="Active",
            role="DHCP",
            **NOTHING,
        ),
        "address_defaults": defaults_item("new IP addresses", status="Active", role=None, type=None, **NOTHING),
        "guard_dhcp_ranges": ConstanceConfigItem(
            False,
            "Whether addresses inside the DHCP ranges of PVE's subnets are created only by PVE, by requests that name "
            "the range, and by users with the permission to allocate in it.",
            bool,
        ),
        "serve_available_ips": ConstanceConfigItem(
            False,
            "Whether the App answers Nautobot's own available-ips of prefixes, which loses races and is slow.",
            bool,
        ),
        "prune_grace_hours": ConstanceConfigItem(
            24, "For how many hours something has to be gone from PVE before a sync may release it.", int
        ),
    }
    searchable_models = ["allocation", "difference", "pvecluster", "sdnsubnet", "sdnvnet", "sdnzone"]

    def ready(self):
        super().ready()

        from nautobot_pve_ipam import core_internals, signals  # noqa: PLC0415  (models are not loaded any earlier)

        nautobot_database_ready.connect(signals.offer_cluster_statuses, sender=self)
        nautobot_database_ready.connect(signals.enable_new_jobs, sender=self)
        nautobot_database_ready.connect(signals.write_settings, sender=self)
        signals.listen()
        core_internals.put_outermost(OUTERMOST_MIDDLEWARE)


config = NautobotPVEIPAMConfig
