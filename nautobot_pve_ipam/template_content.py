"""Adds the panels, tabs and buttons of ui/ to the pages of Nautobot's objects and of ours. May import ui and tables."""

from nautobot.apps.ui import Button, ButtonColorChoices, DistinctViewTab, SectionChoices, TemplateExtension

from nautobot_pve_ipam import tables
from nautobot_pve_ipam.ui.panels import (
    GAUGES_LABEL,
    MAP_LABEL,
    ROUTE,
    AddressMapPanel,
    AllocationPanel,
    PrefixGauges,
    RangeGauge,
    TablePanel,
    allocate_button,
)


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


class PrefixAddresses(TemplateExtension):
    model = "ipam.prefix"
    object_detail_buttons = (
        allocate_button("prefix"),
        # Core's own tabs fill the row, so our tab ends up hidden in the overflow menu.
        Button(weight=200, label=MAP_LABEL, icon="mdi-view-grid", link_name=ROUTE.format("prefix_address_map")),
    )
    object_detail_panels = (PrefixGauges(weight=140, section=SectionChoices.LEFT_HALF, label=GAUGES_LABEL),)
    object_detail_tabs = (
        DistinctViewTab(
            weight=850,
            tab_id="address-map",
            label=MAP_LABEL,
            url_name=ROUTE.format("prefix_address_map"),
            panels=(AddressMapPanel(weight=100, section=SectionChoices.FULL_WIDTH, label=MAP_LABEL),),
        ),
    )


class RangeAddresses(TemplateExtension):
    model = "ipam.ipaddressrange"
    object_detail_buttons = (allocate_button("ipaddressrange"),)
    object_detail_panels = (RangeGauge(weight=100, section=SectionChoices.RIGHT_HALF, label="Utilization"),)


class SubnetAddresses(TemplateExtension):
    model = "nautobot_pve_ipam.sdnsubnet"
    object_detail_buttons = (allocate_button("sdnsubnet"),)


class AllocationRelease(TemplateExtension):
    model = "nautobot_pve_ipam.allocation"
    object_detail_buttons = (
        Button(
            weight=100,
            label="Release",
            icon="mdi-link-off",
            color=ButtonColorChoices.YELLOW,
            link_name=ROUTE.format("allocation_release"),
            required_permissions=["ipam.delete_ipaddress"],
        ),
    )


template_extensions = [
    IPAddressContent,
    PrefixContent,
    VirtualizationClusterContent,
    PrefixAddresses,
    RangeAddresses,
    SubnetAddresses,
    AllocationRelease,
]
