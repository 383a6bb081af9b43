"""Filters for the REST API, the list views, GraphQL and dynamic groups. May import models and services/values.py."""

import netaddr
from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q
from nautobot.apps.filters import (
    BaseFilterSet,
    ModelMultipleChoiceFilter,
    MultiValueCharFilter,
    NaturalKeyOrPKMultipleChoiceFilter,
    NautobotFilterSet,
    PrefixFilter,
    SearchFilter,
    StatusModelFilterSetMixin,
)
from nautobot.apps.forms import MultiValueCharField
from nautobot.apps.utils import is_uuid
from nautobot.ipam.models import VLAN, IPAddressRange, Namespace, Prefix
from nautobot.virtualization.models import Cluster

from nautobot_pve_ipam import models
from nautobot_pve_ipam.services.values import parse_mac


def parse_network(value):
    """A full or partial address, or a network, as `netaddr.IPNetwork`: `10.0`, `10.0.0.0/24`, `2001:db8:`.

    Raises ValueError for anything else.
    """
    value = str(value).strip()
    try:
        if "/" in value:
            return netaddr.IPNetwork(value).cidr
        if value.strip("0123456789.") == "" and "." in value:
            octets = [octet for octet in value.split(".") if octet]
            return netaddr.IPNetwork(".".join(octets + ["0"] * (4 - len(octets))) + f"/{8 * len(octets)}")
        if value.endswith(":"):
            groups = [group for group in value.split(":") if group]
            return netaddr.IPNetwork(":".join(groups) + f"::/{16 * len(groups)}")
        return netaddr.IPNetwork(netaddr.IPAddress(value, flags=netaddr.INET_PTON))
    except netaddr.AddrFormatError as error:
        raise ValueError(f"{value} is not a full or partial IP address") from error


def hosts_within(network, path):
    """Q: the IP address at `path` (such as `ip_address__`) lies in `network`."""
    return Q(
        **{
            f"{path}ip_version": network.version,
            f"{path}host__gte": str(network[0]),
            f"{path}host__lte": str(network[-1]),
        }
    )


def holding(network, path):
    """Q: the prefix at `path` (such as `prefix__`) is `network` or contains it."""
    return Q(
        **{
            f"{path}ip_version": network.version,
            f"{path}network__lte": str(network[0]),
            f"{path}broadcast__gte": str(network[-1]),
        }
    )


def held_by(network, path):
    """Q: the prefix at `path` is `network` or lies within it."""
    return Q(
        **{
            f"{path}ip_version": network.version,
            f"{path}network__gte": str(network[0]),
            f"{path}broadcast__lte": str(network[-1]),
        }
    )


def parse_host(value):
    """An address, with or without a mask, as text. Raises ValueError."""
    try:
        return str(netaddr.IPNetwork(value.strip()).ip)
    except netaddr.AddrFormatError as error:
        raise ValueError(f"{value} is not an IP address") from error


class ParsedValuesField(MultiValueCharField):
    """Strings accepted by `parse`, or object IDs if `ids` is set."""

    def __init__(self, *args, parse, ids=False, **kwargs):
        self._parse, self._ids = parse, ids
        super().__init__(*args, **kwargs)

    def to_python(self, value):
        return [text if self._ids and is_uuid(text) else self._parsed(text) for text in super().to_python(value)]

    def _parsed(self, text):
        try:
            return self._parse(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class ParsedValuesFilter(MultiValueCharFilter):
    """Rejects values for which `parse` raises ValueError; its method gets the parsed values, or IDs if `ids` is set."""

    field_class = ParsedValuesField


class NetworkSearchFilter(SearchFilter):
    """A search that also accepts full and partial addresses; `addresses(network)` returns the Q that finds them."""

    def __init__(self, *args, addresses, **kwargs):
        self.addresses = addresses
        super().__init__(*args, **kwargs)

    def generate_query(self, value, **kwargs):
        query = super().generate_query(value, **kwargs)
        try:
            return query | self.addresses(parse_network(value))
        except ValueError:
            return query


class PVEClusterFilterSet(NautobotFilterSet, StatusModelFilterSetMixin):
    q = SearchFilter(filter_predicates={"name": "icontains", "description": "icontains"})
    virtualization_cluster = NaturalKeyOrPKMultipleChoiceFilter(
        queryset=Cluster.objects.all(), label="Virtualization cluster (name or ID)"
    )

    user = NaturalKeyOrPKMultipleChoiceFilter(
        queryset=get_user_model().objects.all(), to_field_name="username", label="Bound to user (name or ID)"
    )

    last_synced_by = NaturalKeyOrPKMultipleChoiceFilter(
        queryset=get_user_model().objects.all(), to_field_name="username", label="Last synced by user (name or ID)"
    )

    class Meta:
        model = models.PVECluster
        fields = "__all__"


class SDNZoneFilterSet(NautobotFilterSet):
    q = SearchFilter(filter_predicates={"name": "icontains", "description": "icontains", "cluster__name": "icontains"})
    namespace = NaturalKeyOrPKMultipleChoiceFilter(queryset=Namespace.objects.all(), label="Namespace (name or ID)")
    cluster = NaturalKeyOrPKMultipleChoiceFilter(
        queryset=models.PVECluster.objects.all(), label="PVE cluster (name or ID)"
    )
    virtualization_cluster = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="cluster__virtualization_cluster",
        queryset=Cluster.objects.all(),
        label="Virtualization cluster (name or ID)",
    )

    class Meta:
        model = models.SDNZone
        fields = "__all__"


class SDNVNetFilterSet(NautobotFilterSet):
    q = SearchFilter(
        filter_predicates={
            "name": "icontains",
            "alias": "icontains",
            "description": "icontains",
            "zone__name": "icontains",
            "tag": {"lookup_expr": "exact", "preprocessor": int},
        }
    )
    zone = NaturalKeyOrPKMultipleChoiceFilter(queryset=models.SDNZone.objects.all(), label="Zone (name or ID)")
    cluster = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="zone__cluster", queryset=models.PVECluster.objects.all(), label="PVE cluster (name or ID)"
    )
    namespace = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="zone__namespace", queryset=Namespace.objects.all(), label="Namespace (name or ID)"
    )
    vlan = NaturalKeyOrPKMultipleChoiceFilter(
        queryset=VLAN.objects.all(), to_field_name="vid", label="VLAN (VID or ID)"
    )

    class Meta:
        model = models.SDNVNet
        fields = "__all__"


class SDNSubnetFilterSet(NautobotFilterSet):
    q = NetworkSearchFilter(
        filter_predicates={"vnet__name": "icontains", "vnet__alias": "icontains", "vnet__zone__name": "icontains"},
        addresses=lambda network: holding(network, "prefix__") | held_by(network, "prefix__"),
    )
    prefix = PrefixFilter()
    vnet = NaturalKeyOrPKMultipleChoiceFilter(queryset=models.SDNVNet.objects.all(), label="VNet (name or ID)")
    zone = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="vnet__zone", queryset=models.SDNZone.objects.all(), label="Zone (name or ID)"
    )
    cluster = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="vnet__zone__cluster", queryset=models.PVECluster.objects.all(), label="PVE cluster (name or ID)"
    )
    namespace = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="prefix__namespace", queryset=Namespace.objects.all(), label="Namespace (name or ID)"
    )
    gateway = ParsedValuesFilter(method="filter_gateway", parse=parse_host, label="Gateway")
    contains = ParsedValuesFilter(method="filter_contains", parse=parse_host, label="Subnets containing this address")
    dhcp_ranges = ModelMultipleChoiceFilter(queryset=IPAddressRange.objects.all(), label="DHCP range (ID)")

    class Meta:
        model = models.SDNSubnet
        fields = "__all__"

    def generate_query_filter_gateway(self, value):
        return Q(gateway__in=[parse_host(text) for text in value])

    def filter_gateway(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_gateway(value))

    def generate_query_filter_contains(self, value):
        query = Q(pk__in=[])
        for text in value:
            query |= holding(netaddr.IPNetwork(parse_host(text)), "prefix__")
        return query

    def filter_contains(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_contains(value))


class SDNDHCPRangeFilterSet(BaseFilterSet):
    subnet = ModelMultipleChoiceFilter(queryset=models.SDNSubnet.objects.all(), label="Subnet (ID)")
    ip_address_range = ModelMultipleChoiceFilter(queryset=IPAddressRange.objects.all(), label="IP address range (ID)")

    class Meta:
        model = models.SDNDHCPRange
        fields = "__all__"


class AllocationFilterSet(NautobotFilterSet):
    q = NetworkSearchFilter(
        filter_predicates={
            "hostname": "icontains",
            "vmid": {"lookup_expr": "exact", "preprocessor": int},
            "mac": {"lookup_expr": "exact", "preprocessor": parse_mac},
            "subnet__vnet__name": "icontains",
            "subnet__vnet__zone__name": "icontains",
        },
        addresses=lambda network: hosts_within(network, "ip_address__"),
    )
    mac = ParsedValuesFilter(method="filter_mac", parse=parse_mac, label="MAC address, in any notation")
    ip_address = ParsedValuesFilter(
        method="filter_ip_address", parse=parse_host, ids=True, label="IP address (address or ID)"
    )
    prefix = ParsedValuesFilter(
        method="filter_prefix", parse=parse_network, ids=True, label="Within prefix (prefix or ID)"
    )
    namespace = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="ip_address__parent__namespace", queryset=Namespace.objects.all(), label="Namespace (name or ID)"
    )
    subnet = ModelMultipleChoiceFilter(queryset=models.SDNSubnet.objects.all(), null_label="None", label="Subnet (ID)")
    vnet = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="subnet__vnet", queryset=models.SDNVNet.objects.all(), label="VNet (name or ID)"
    )
    zone = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="subnet__vnet__zone", queryset=models.SDNZone.objects.all(), label="Zone (name or ID)"
    )
    cluster = NaturalKeyOrPKMultipleChoiceFilter(
        field_name="subnet__vnet__zone__cluster",
        queryset=models.PVECluster.objects.all(),
        label="PVE cluster (name or ID)",
    )

    class Meta:
        model = models.Allocation
        fields = "__all__"

    def generate_query_filter_mac(self, value):
        return Q(mac__in=[parse_mac(text) for text in value])

    def filter_mac(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_mac(value))

    def generate_query_filter_ip_address(self, value):
        query = Q(pk__in=[])
        for text in value:
            query |= Q(ip_address=text) if is_uuid(text) else Q(ip_address__host=parse_host(text))
        return query

    def filter_ip_address(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_ip_address(value))

    def generate_query_filter_prefix(self, value):
        query = Q(pk__in=[])
        for text in value:
            if not is_uuid(text):
                query |= hosts_within(parse_network(text), "ip_address__")
            elif prefix := Prefix.objects.filter(pk=text).first():
                inside = hosts_within(prefix.prefix, "ip_address__")
                query |= inside & Q(ip_address__parent__namespace=prefix.namespace_id)
        return query

    def filter_prefix(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_prefix(value))


class DifferenceFilterSet(NautobotFilterSet):
    q = NetworkSearchFilter(
        filter_predicates={
            "evidence": "icontains",
            "reason": "icontains",
            "zone": "icontains",
            "vnet": "icontains",
            "vmid": {"lookup_expr": "exact", "preprocessor": int},
            "mac": {"lookup_expr": "exact", "preprocessor": parse_mac},
        },
        addresses=lambda network: Q(ip=str(network.ip)) if network.size == 1 else Q(network=str(network)),
    )
    namespace = NaturalKeyOrPKMultipleChoiceFilter(queryset=Namespace.objects.all(), label="Namespace (name or ID)")
    cluster = NaturalKeyOrPKMultipleChoiceFilter(
        queryset=models.PVECluster.objects.all(), label="PVE cluster (name or ID)"
    )
    network = ParsedValuesFilter(method="filter_network", parse=parse_network, label="Subnet, such as 10.0.0.0/24")
    mac = ParsedValuesFilter(method="filter_mac", parse=parse_mac, label="MAC address, in any notation")
    ip = ParsedValuesFilter(method="filter_ip", parse=parse_host, label="IP address")

    class Meta:
        model = models.Difference
        exclude = ["identity", "before", "after", "settlements"]

    def generate_query_filter_network(self, value):
        return Q(network__in=[str(parse_network(text)) for text in value])

    def filter_network(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_network(value))

    def generate_query_filter_mac(self, value):
        return Q(mac__in=[parse_mac(text) for text in value])

    def filter_mac(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_mac(value))

    def generate_query_filter_ip(self, value):
        return Q(ip__in=[parse_host(text) for text in value])

    def filter_ip(self, queryset, name, value):
        return queryset.filter(self.generate_query_filter_ip(value))
