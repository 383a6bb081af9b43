"""Tables for the list views and for the panels on detail pages. May import models."""

import django_tables2 as tables
from nautobot.apps.tables import BaseTable, BooleanColumn, ButtonsColumn, StatusTableMixin, TagColumn, ToggleColumn
from nautobot.apps.templatetags import render_boolean

from nautobot_pve_ipam import models

LIST = "plugins:nautobot_pve_ipam:{}_list"


class PVEClusterTable(StatusTableMixin, BaseTable):
    pk = ToggleColumn()
    name = tables.Column(linkify=True)
    virtualization_cluster = tables.Column(linkify=True)
    user = tables.Column(verbose_name="Bound to User")
    last_synced = tables.DateTimeColumn()
    tags = TagColumn(url_name=LIST.format("pvecluster"))
    actions = ButtonsColumn(models.PVECluster)

    class Meta(BaseTable.Meta):
        model = models.PVECluster
        fields = (
            "pk",
            "name",
            "status",
            "virtualization_cluster",
            "user",
            "last_synced",
            "last_synced_by",
            "last_sync_result",
            "description",
            "tags",
            "actions",
        )
        default_columns = (
            "pk",
            "name",
            "status",
            "virtualization_cluster",
            "user",
            "last_synced",
            "description",
            "actions",
        )


class SDNZoneTable(BaseTable):
    pk = ToggleColumn()
    name = tables.Column(linkify=True)
    cluster = tables.Column(linkify=True, verbose_name="PVE Cluster")
    namespace = tables.Column(linkify=True)
    tags = TagColumn(url_name=LIST.format("sdnzone"))
    actions = ButtonsColumn(models.SDNZone)

    class Meta(BaseTable.Meta):
        model = models.SDNZone
        fields = ("pk", "name", "type", "cluster", "namespace", "dhcp", "description", "tags", "actions")
        default_columns = ("pk", "name", "type", "cluster", "namespace", "dhcp", "description", "actions")


class SDNVNetTable(BaseTable):
    pk = ToggleColumn()
    name = tables.Column(linkify=True)
    zone = tables.Column(linkify=True)
    cluster = tables.Column(accessor="zone__cluster", linkify=True, verbose_name="PVE Cluster")
    namespace = tables.Column(accessor="zone__namespace", linkify=True)
    vlan = tables.Column(linkify=True, verbose_name="VLAN")
    tags = TagColumn(url_name=LIST.format("sdnvnet"))
    actions = ButtonsColumn(models.SDNVNet)

    class Meta(BaseTable.Meta):
        model = models.SDNVNet
        fields = (
            "pk",
            "name",
            "zone",
            "cluster",
            "namespace",
            "alias",
            "tag",
            "vlan",
            "description",
            "tags",
            "actions",
        )
        default_columns = ("pk", "name", "zone", "alias", "tag", "vlan", "description", "actions")


class SDNSubnetTable(BaseTable):
    pk = ToggleColumn()
    prefix = tables.Column(linkify=lambda record: record.get_absolute_url(), verbose_name="Subnet")
    vnet = tables.Column(
        accessor="vnet__name", linkify=lambda record: record.vnet.get_absolute_url(), verbose_name="VNet"
    )
    zone = tables.Column(accessor="vnet__zone", linkify=True, verbose_name="Zone")
    cluster = tables.Column(accessor="vnet__zone__cluster", linkify=True, verbose_name="PVE Cluster")
    namespace = tables.Column(accessor="prefix__namespace", linkify=True)
    snat = BooleanColumn(verbose_name="SNAT")
    dhcp_ranges = tables.ManyToManyColumn(verbose_name="DHCP Ranges", linkify_item=True)
    adopted = BooleanColumn()
    tags = TagColumn(url_name=LIST.format("sdnsubnet"))
    actions = ButtonsColumn(models.SDNSubnet)

    class Meta(BaseTable.Meta):
        model = models.SDNSubnet
        fields = (
            "pk",
            "prefix",
            "vnet",
            "zone",
            "cluster",
            "namespace",
            "gateway",
            "dhcp_ranges",
            "snat",
            "dns_zone_prefix",
            "adopted",
            "tags",
            "actions",
        )
        default_columns = ("pk", "prefix", "vnet", "zone", "namespace", "gateway", "dhcp_ranges", "snat", "actions")


class AllocationTable(BaseTable):
    pk = ToggleColumn()
    ip_address = tables.Column(
        linkify=lambda record: record.get_absolute_url(),
        order_by=("ip_address__ip_version", "ip_address__host"),
        verbose_name="Address",
    )
    mac = tables.Column(verbose_name="MAC Address")
    is_gateway = BooleanColumn(verbose_name="Gateway")
    adopted = BooleanColumn()
    subnet = tables.Column(
        accessor="subnet__prefix", linkify=lambda record: record.subnet.get_absolute_url(), verbose_name="Subnet"
    )
    vnet = tables.Column(
        accessor="subnet__vnet__name",
        linkify=lambda record: record.subnet.vnet.get_absolute_url(),
        verbose_name="VNet",
    )
    zone = tables.Column(accessor="subnet__vnet__zone", linkify=True, verbose_name="Zone")
    cluster = tables.Column(accessor="subnet__vnet__zone__cluster", linkify=True, verbose_name="PVE Cluster")
    namespace = tables.Column(accessor="ip_address__parent__namespace", linkify=True)
    created = tables.DateTimeColumn(verbose_name="Since")
    last_seen = tables.DateTimeColumn()
    tags = TagColumn(url_name=LIST.format("allocation"))
    actions = ButtonsColumn(models.Allocation)

    class Meta(BaseTable.Meta):
        model = models.Allocation
        fields = (
            "pk",
            "ip_address",
            "hostname",
            "vmid",
            "mac",
            "is_gateway",
            "subnet",
            "vnet",
            "zone",
            "cluster",
            "namespace",
            "adopted",
            "created",
            "last_seen",
            "tags",
            "actions",
        )
        default_columns = (
            "pk",
            "ip_address",
            "hostname",
            "vmid",
            "mac",
            "is_gateway",
            "subnet",
            "zone",
            "last_seen",
            "actions",
        )

    def render_is_gateway(self, value):
        # A red cross next to every guest would look like an error.
        return render_boolean(value or None)


class DifferenceTable(BaseTable):
    pk = ToggleColumn()
    evidence = tables.Column(linkify=True, verbose_name="What Is Different")
    network = tables.Column(verbose_name="Subnet")
    ip = tables.Column(verbose_name="IP Address")
    mac = tables.Column(verbose_name="MAC Address")
    cluster = tables.Column(linkify=True, verbose_name="PVE Cluster")
    namespace = tables.Column(linkify=True)
    first_seen = tables.DateTimeColumn()
    last_seen = tables.DateTimeColumn()
    tags = TagColumn(url_name=LIST.format("difference"))
    actions = ButtonsColumn(models.Difference, buttons=("changelog", "delete"))

    class Meta(BaseTable.Meta):
        model = models.Difference
        fields = (
            "pk",
            "evidence",
            "kind",
            "state",
            "cluster",
            "namespace",
            "zone",
            "vnet",
            "network",
            "vmid",
            "mac",
            "ip",
            "reason",
            "first_seen",
            "last_seen",
            "tags",
            "actions",
        )
        default_columns = ("pk", "evidence", "ip", "kind", "state", "cluster", "first_seen", "actions")
