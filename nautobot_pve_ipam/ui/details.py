"""Contents of the detail pages: a tuple of panels for each model, and of buttons, ordered by `weight`.

May import panels.py, tables and models.
"""

from nautobot.apps.ui import ButtonColorChoices, ObjectFieldsPanel, ObjectsTablePanel, SectionChoices, StatsPanel
from nautobot.ipam.tables import IPAddressRangeTable

from nautobot_pve_ipam import models, tables
from nautobot_pve_ipam.choices import DifferenceStateChoices, SettlementChoices
from nautobot_pve_ipam.ui.panels import (
    GAUGES_LABEL,
    MAP_LABEL,
    ROUTE,
    AddressMapPanel,
    DecisionButton,
    DifferencePanel,
    DifferencesPanel,
    SettleButton,
    SubnetGauges,
)


def differences_panel(**kwargs):
    """Hidden where there are no differences."""
    return DifferencesPanel(
        **{
            "section": SectionChoices.FULL_WIDTH,
            "table_class": tables.DifferenceTable,
            "table_filter": "cluster",
            "table_title": "Differences",
            "select_related_fields": ["namespace", "cluster"],
            "add_button_route": None,
            "enable_related_link": False,
            "required_permissions": ["nautobot_pve_ipam.view_difference"],
            **kwargs,
        }
    )


cluster_panels = (
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.LEFT_HALF,
        fields=[
            "name",
            "status",
            "virtualization_cluster",
            "user",
            "description",
            "last_synced",
            "last_synced_by",
            "last_sync_result",
        ],
        key_transforms={"user": "Bound to User"},
    ),
    StatsPanel(
        weight=100,
        section=SectionChoices.RIGHT_HALF,
        label="Contents",
        filter_name="cluster",
        related_models=[
            models.SDNZone,
            (models.SDNVNet, "zone__cluster__in"),
            (models.SDNSubnet, "vnet__zone__cluster__in"),
            (models.Allocation, "subnet__vnet__zone__cluster__in"),
        ],
    ),
    ObjectsTablePanel(
        weight=200,
        section=SectionChoices.FULL_WIDTH,
        table_class=tables.SDNZoneTable,
        table_filter="cluster",
        table_title="Zones",
        exclude_columns=["cluster"],
        select_related_fields=["namespace", "cluster"],
    ),
    differences_panel(weight=150, exclude_columns=["cluster"]),
)

zone_panels = (
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.LEFT_HALF,
        fields=["name", "type", "cluster", "namespace", "dhcp", "description"],
        key_transforms={"cluster": "PVE Cluster", "dhcp": "DHCP"},
    ),
    StatsPanel(
        weight=100,
        section=SectionChoices.RIGHT_HALF,
        label="Contents",
        filter_name="zone",
        related_models=[
            models.SDNVNet,
            (models.SDNSubnet, "vnet__zone__in"),
            (models.Allocation, "subnet__vnet__zone__in"),
        ],
    ),
    ObjectsTablePanel(
        weight=200,
        section=SectionChoices.FULL_WIDTH,
        table_class=tables.SDNVNetTable,
        table_filter="zone",
        table_title="VNets",
        exclude_columns=["zone"],
        select_related_fields=["zone__cluster"],
    ),
)

vnet_panels = (
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.LEFT_HALF,
        fields=["name", "zone", "zone__cluster", "zone__namespace", "alias", "tag", "vlan", "description"],
        key_transforms={"zone__cluster": "PVE Cluster", "zone__namespace": "Namespace", "vlan": "VLAN"},
    ),
    ObjectsTablePanel(
        weight=200,
        section=SectionChoices.FULL_WIDTH,
        table_class=tables.SDNSubnetTable,
        table_filter="vnet",
        table_title="Subnets",
        exclude_columns=["vnet", "zone"],
        select_related_fields=["prefix__namespace", "vnet__zone__cluster"],
    ),
)

subnet_panels = (
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.LEFT_HALF,
        fields=[
            "prefix",
            "vnet",
            "vnet__zone__cluster",
            "prefix__namespace",
            "gateway",
            "snat",
            "dns_zone_prefix",
            "adopted",
        ],
        key_transforms={
            "vnet": "VNet",
            "vnet__zone__cluster": "PVE Cluster",
            "prefix__namespace": "Namespace",
            "snat": "SNAT",
            "dns_zone_prefix": "DNS Zone Prefix",
        },
    ),
    SubnetGauges(weight=100, section=SectionChoices.RIGHT_HALF, label=GAUGES_LABEL),
    AddressMapPanel(weight=150, section=SectionChoices.FULL_WIDTH, label=MAP_LABEL),
    ObjectsTablePanel(
        weight=200,
        section=SectionChoices.FULL_WIDTH,
        table_class=IPAddressRangeTable,
        table_attribute="dhcp_ranges",
        related_field_name="sdn_subnets",
        table_title="DHCP Ranges",
        exclude_columns=["parent", "namespace", "tenant"],
        select_related_fields=["parent__namespace", "status", "role"],
        add_button_route=None,
        enable_related_link=False,
    ),
    ObjectsTablePanel(
        weight=300,
        section=SectionChoices.FULL_WIDTH,
        table_class=tables.AllocationTable,
        table_filter="subnet",
        table_title="Allocations",
        exclude_columns=["subnet", "zone"],
        select_related_fields=["ip_address", "subnet__prefix", "subnet__vnet__zone__cluster"],
    ),
    differences_panel(weight=180, exclude_columns=["cluster"]),
)

allocation_panels = (
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.LEFT_HALF,
        label="Guest",
        fields=["hostname", "vmid", "mac", "is_gateway", "adopted", "created", "last_seen"],
        key_transforms={"vmid": "VMID", "mac": "MAC Address", "is_gateway": "Gateway", "created": "Since"},
    ),
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.RIGHT_HALF,
        label="Address",
        fields=[
            "ip_address",
            "subnet",
            "subnet__vnet",
            "subnet__vnet__zone",
            "subnet__vnet__zone__cluster",
            "ip_address__parent__namespace",
        ],
        key_transforms={
            "ip_address": "IP Address",
            "subnet__vnet": "VNet",
            "subnet__vnet__zone": "Zone",
            "subnet__vnet__zone__cluster": "PVE Cluster",
            "ip_address__parent__namespace": "Namespace",
        },
    ),
    differences_panel(weight=200),
)

difference_panels = (
    DifferencePanel(weight=100, section=SectionChoices.LEFT_HALF, label="What is different"),
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.RIGHT_HALF,
        label="Difference",
        fields=["kind", "state", "reason", "first_seen", "last_seen"],
    ),
    ObjectFieldsPanel(
        weight=200,
        section=SectionChoices.RIGHT_HALF,
        label="Subject",
        fields=["namespace", "cluster", "zone", "vnet", "network", "vmid", "mac", "ip"],
        key_transforms={
            "cluster": "PVE Cluster",
            "vnet": "VNet",
            "network": "Subnet",
            "vmid": "VMID",
            "mac": "MAC Address",
            "ip": "IP Address",
        },
        hide_if_unset=["cluster", "zone", "vnet", "network", "vmid", "mac", "ip"],
    ),
)

difference_buttons = (
    *(
        SettleButton(weight=weight, label=label, icon="mdi-check", settlement=settlement, color=ButtonColorChoices.BLUE)
        for weight, (settlement, label) in enumerate(SettlementChoices.CHOICES, 100)
        if settlement != SettlementChoices.TAKE_NAUTOBOT  # only the node can do it
    ),
    DecisionButton(
        weight=200,
        label="Ignore",
        icon="mdi-bell-off",
        color=ButtonColorChoices.YELLOW,
        link_name=ROUTE.format("difference_ignore"),
        states=(DifferenceStateChoices.OPEN,),
    ),
    DecisionButton(
        weight=200,
        label="Open Again",
        icon="mdi-bell",
        link_name=ROUTE.format("difference_reopen"),
        states=(DifferenceStateChoices.ACCEPTED,),
    ),
)
