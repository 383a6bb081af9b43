"""REST views of the models. May import serializers.py, filters and models.

Querysets prefetch what serializers show: lists take a constant number of queries.
"""

from drf_spectacular.utils import extend_schema
from nautobot.apps.api import ModelViewSet, NautobotModelViewSet
from rest_framework.exceptions import MethodNotAllowed

from nautobot_pve_ipam import filters, models
from nautobot_pve_ipam.api import serializers


class DeepViewSet(NautobotModelViewSet):
    """`deep`: further relations to prefetch, shown by related objects when expanded with `?depth=1`."""

    deep: tuple[str, ...] = ()

    def get_queryset(self):
        queryset = super().get_queryset()
        return queryset.prefetch_related(*self.deep) if self.get_serializer_context()["depth"] else queryset


class PVEClusterViewSet(NautobotModelViewSet):
    queryset = models.PVECluster.objects.select_related("status", "virtualization_cluster", "user", "last_synced_by")
    serializer_class = serializers.PVEClusterSerializer
    filterset_class = filters.PVEClusterFilterSet


class SDNZoneViewSet(NautobotModelViewSet):
    queryset = models.SDNZone.objects.select_related("namespace", "cluster")
    serializer_class = serializers.SDNZoneSerializer
    filterset_class = filters.SDNZoneFilterSet


class SDNVNetViewSet(NautobotModelViewSet):
    queryset = models.SDNVNet.objects.select_related("zone__namespace", "zone__cluster", "vlan")
    serializer_class = serializers.SDNVNetSerializer
    filterset_class = filters.SDNVNetFilterSet


class SDNSubnetViewSet(DeepViewSet):
    queryset = models.SDNSubnet.objects.select_related(
        "prefix__namespace", "vnet__zone__cluster", "vnet__zone__namespace"
    )
    serializer_class = serializers.SDNSubnetSerializer
    filterset_class = filters.SDNSubnetFilterSet
    deep = ("prefix__vrfs", "dhcp_ranges__parent__namespace")


class SDNDHCPRangeViewSet(ModelViewSet):
    queryset = models.SDNDHCPRange.objects.select_related(
        "subnet__prefix__namespace", "subnet__vnet__zone__cluster", "ip_address_range__parent__namespace"
    )
    serializer_class = serializers.SDNDHCPRangeSerializer
    filterset_class = filters.SDNDHCPRangeFilterSet


class AllocationViewSet(DeepViewSet):
    queryset = models.Allocation.objects.select_related(
        "ip_address__parent__namespace",
        "subnet__prefix__namespace",
        "subnet__vnet__zone__cluster",
        "subnet__vnet__zone__namespace",
    )
    serializer_class = serializers.AllocationSerializer
    filterset_class = filters.AllocationFilterSet
    deep = ("ip_address__interfaces", "ip_address__vm_interfaces", "ip_address__nat_outside_list")


class DifferenceViewSet(NautobotModelViewSet):
    queryset = models.Difference.objects.select_related("namespace", "cluster")
    serializer_class = serializers.DifferenceSerializer
    filterset_class = filters.DifferenceFilterSet

    @extend_schema(exclude=True)
    def create(self, request, *args, **kwargs):
        """Only a sync makes them."""
        raise MethodNotAllowed(request.method)
