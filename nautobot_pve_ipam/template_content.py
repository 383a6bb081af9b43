"""Panels on the pages of Nautobot's own objects. Each shows what the user may view and hides where that is nothing.

Panels are shared by all requests: nothing is remembered on `self`.
"""

from django.template.defaultfilters import date
from django.utils.html import format_html
from django.utils.timezone import localtime
from nautobot.apps.ui import KeyValueTablePanel, ObjectsTablePanel, SectionChoices, TemplateExtension
from nautobot.core.views.utils import get_obj_from_context

from nautobot_pve_ipam import address_panels, models, tables


class AllocationPanel(KeyValueTablePanel):
    """The guest that holds an IP address."""

    def get_data(self, context):
        allocation = (
            models.Allocation.objects.restrict(context["request"].user, "view")
            .select_related("ip_address", "subnet__prefix", "subnet__vnet__zone__cluster")
            .filter(ip_address=get_obj_from_context(context))
            .first()
        )
        if allocation is None:
            return {}
        subnet = allocation.subnet
        guest = allocation.hostname or allocation.vmid or ("gateway" if allocation.is_gateway else "unnamed")
        return {
            "Guest": format_html('<a href="{}">{}</a>', allocation.get_absolute_url(), guest),
            "VMID": allocation.vmid,
            "MAC Address": allocation.mac,
            "Gateway": allocation.is_gateway,
            "Subnet": subnet,
            "Zone": subnet and subnet.vnet.zone,
            "Since": date(localtime(allocation.created), "DATETIME_FORMAT"),
            "Last Seen": allocation.last_seen and date(localtime(allocation.last_seen), "DATETIME_FORMAT"),
        }

    def render_key(self, key, value, context):
        return key


class TablePanel(ObjectsTablePanel):
    """A table that is not there at all rather than empty: most prefixes have nothing to do with PVE."""

    def should_render(self, context):
        user = context["request"].user
        rows = self.get_table_data_queryset(get_obj_from_context(context), context["request"])
        return super().should_render(context) and rows.restrict(user, "view").exists()


class IPAddressContent(TemplateExtension):
    model = "ipam.ipaddress"
    object_detail_panels = (
        AllocationPanel(
            weight=150,
            section=SectionChoices.RIGHT_HALF,
            label="Proxmox VE",
            required_permissions=["nautobot_pve_ipam.view_allocation"],
        ),
    )


class PrefixContent(TemplateExtension):
    model = "ipam.prefix"
    object_detail_panels = (
        TablePanel(
            weight=150,
            section=SectionChoices.FULL_WIDTH,
            table_class=tables.SDNSubnetTable,
            table_filter="prefix",
            table_title="Subnets in Proxmox VE",
            include_columns=["cluster"],
            exclude_columns=["namespace"],
            select_related_fields=["prefix__namespace", "vnet__zone__cluster"],
            required_permissions=["nautobot_pve_ipam.view_sdnsubnet"],
        ),
    )


class VirtualizationClusterContent(TemplateExtension):
    model = "virtualization.cluster"
    object_detail_panels = (
        TablePanel(
            weight=150,
            section=SectionChoices.FULL_WIDTH,
            table_class=tables.SDNZoneTable,
            table_filter="cluster__virtualization_cluster",
            related_field_name="virtualization_cluster",
            table_title="Zones in Proxmox VE",
            add_button_route=None,
            select_related_fields=["namespace", "cluster"],
            required_permissions=["nautobot_pve_ipam.view_sdnzone"],
        ),
    )


template_extensions = [
    IPAddressContent,
    PrefixContent,
    VirtualizationClusterContent,
    *address_panels.template_extensions,
]
