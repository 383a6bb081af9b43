"""List, detail and edit views of the models; the panels of the detail pages are defined in ui/details.py.

`override_views` is Nautobot's name for views of core's that Apps put their own in place of.
May import filters, forms, tables, models, ui, and of api the serializers and available_ips.py.
"""

from pathlib import Path

from django.http import HttpResponse
from django.views.generic import RedirectView
from nautobot.apps.ui import ObjectDetailContent
from nautobot.apps.views import (
    NautobotUIViewSet,
    ObjectBulkDestroyViewMixin,
    ObjectBulkUpdateViewMixin,
    ObjectChangeLogViewMixin,
    ObjectDataComplianceViewMixin,
    ObjectDestroyViewMixin,
    ObjectDetailViewMixin,
    ObjectListViewMixin,
    ObjectNotesViewMixin,
)

from nautobot_pve_ipam import filters, forms, models, tables
from nautobot_pve_ipam.api import available_ips, serializers
from nautobot_pve_ipam.ui import details

DOCUMENTATION = Path(__file__).parent / "docs"

override_views = {"ipam-api:prefix-available-ips": available_ips.available_ips}


class DocumentationView(RedirectView):
    """To the first page of the documentation, which Nautobot serves; a checkout has none until it is built."""

    pattern_name = "docs_file"

    def get(self, request, *args, **kwargs):
        if not (DOCUMENTATION / "index.html").is_file():
            return HttpResponse(
                "The documentation has not been built: run make docs.\n", status=404, content_type="text/plain"
            )
        return super().get(request, *args, **kwargs)


class PVEClusterUIViewSet(NautobotUIViewSet):
    queryset = models.PVECluster.objects.select_related("status", "virtualization_cluster", "user", "last_synced_by")
    table_class = tables.PVEClusterTable
    filterset_class = filters.PVEClusterFilterSet
    filterset_form_class = forms.PVEClusterFilterForm
    form_class = forms.PVEClusterForm
    bulk_update_form_class = forms.PVEClusterBulkEditForm
    serializer_class = serializers.PVEClusterSerializer
    object_detail_content = ObjectDetailContent(panels=details.cluster_panels)


class SDNZoneUIViewSet(NautobotUIViewSet):
    queryset = models.SDNZone.objects.select_related("namespace", "cluster")
    table_class = tables.SDNZoneTable
    filterset_class = filters.SDNZoneFilterSet
    filterset_form_class = forms.SDNZoneFilterForm
    form_class = forms.SDNZoneForm
    bulk_update_form_class = forms.SDNZoneBulkEditForm
    serializer_class = serializers.SDNZoneSerializer
    object_detail_content = ObjectDetailContent(panels=details.zone_panels)


class SDNVNetUIViewSet(NautobotUIViewSet):
    queryset = models.SDNVNet.objects.select_related("zone__namespace", "zone__cluster", "vlan")
    table_class = tables.SDNVNetTable
    filterset_class = filters.SDNVNetFilterSet
    filterset_form_class = forms.SDNVNetFilterForm
    form_class = forms.SDNVNetForm
    bulk_update_form_class = forms.SDNVNetBulkEditForm
    serializer_class = serializers.SDNVNetSerializer
    object_detail_content = ObjectDetailContent(panels=details.vnet_panels)


class SDNSubnetUIViewSet(NautobotUIViewSet):
    queryset = models.SDNSubnet.objects.select_related("prefix__namespace", "vnet__zone__cluster")
    table_class = tables.SDNSubnetTable
    filterset_class = filters.SDNSubnetFilterSet
    filterset_form_class = forms.SDNSubnetFilterForm
    form_class = forms.SDNSubnetForm
    bulk_update_form_class = forms.SDNSubnetBulkEditForm
    serializer_class = serializers.SDNSubnetSerializer
    object_detail_content = ObjectDetailContent(panels=details.subnet_panels)


class AllocationUIViewSet(NautobotUIViewSet):
    queryset = models.Allocation.objects.select_related(
        "ip_address__parent__namespace", "subnet__prefix", "subnet__vnet__zone__cluster"
    )
    table_class = tables.AllocationTable
    filterset_class = filters.AllocationFilterSet
    filterset_form_class = forms.AllocationFilterForm
    form_class = forms.AllocationForm
    bulk_update_form_class = forms.AllocationBulkEditForm
    serializer_class = serializers.AllocationSerializer
    object_detail_content = ObjectDetailContent(panels=details.allocation_panels)


class DifferenceUIViewSet(
    ObjectDetailViewMixin,
    ObjectListViewMixin,
    ObjectDestroyViewMixin,
    ObjectBulkDestroyViewMixin,
    ObjectBulkUpdateViewMixin,
    ObjectChangeLogViewMixin,
    ObjectNotesViewMixin,
    ObjectDataComplianceViewMixin,
):
    """Only a sync makes them; what becomes of them is said on pages of their own, or of many at once."""

    queryset = models.Difference.objects.select_related("namespace", "cluster")
    action_buttons = ("export",)
    table_class = tables.DifferenceTable
    filterset_class = filters.DifferenceFilterSet
    filterset_form_class = forms.DifferenceFilterForm
    bulk_update_form_class = forms.DifferenceBulkEditForm
    serializer_class = serializers.DifferenceSerializer
    object_detail_content = ObjectDetailContent(
        panels=details.difference_panels, extra_buttons=details.difference_buttons
    )
