"""Contents of the detail pages: a tuple of panels for each model, ordered by `weight`.

May import panels.py, tables and models.
"""

from nautobot.apps.ui import ObjectFieldsPanel, ObjectsTablePanel, SectionChoices, StatsPanel
from nautobot.ipam.tables import IPAddressRangeTable

from nautobot_pve_ipam import models, tables
from nautobot_pve_ipam.ui.panels import GAUGES_LABEL, MAP_LABEL, AddressMapPanel, SubnetGauges

cluster_panels = (
    ObjectFieldsPanel(
        weight=100,
        section=SectionChoices.LEFT_HALF,
        fields=["name", "status", "virtualization_cluster", "user", "description"],
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
)
