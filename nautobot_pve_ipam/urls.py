"""URLs of the pages, below /plugins/pve-ipam/. May import views and ui."""

from django.urls import path
from nautobot.apps.urls import NautobotUIViewSetRouter

from nautobot_pve_ipam import views
from nautobot_pve_ipam.ui import allocate, differences, release
from nautobot_pve_ipam.ui.address_map.page import PrefixAddressMapView

router = NautobotUIViewSetRouter()
router.register("clusters", views.PVEClusterUIViewSet)
router.register("zones", views.SDNZoneUIViewSet)
router.register("vnets", views.SDNVNetUIViewSet)
router.register("subnets", views.SDNSubnetUIViewSet)
router.register("allocations", views.AllocationUIViewSet)
router.register("differences", views.DifferenceUIViewSet)

urlpatterns = [
    path("prefixes/<uuid:pk>/address-map/", PrefixAddressMapView.as_view(), name="prefix_address_map"),
    path("prefixes/<uuid:pk>/allocate/", allocate.PrefixAllocateView.as_view(), name="prefix_allocate"),
    path(
        "ip-address-ranges/<uuid:pk>/allocate/",
        allocate.RangeAllocateView.as_view(),
        name="ipaddressrange_allocate",
    ),
    path("subnets/<uuid:pk>/allocate/", allocate.SubnetAllocateView.as_view(), name="sdnsubnet_allocate"),
    path("allocations/<uuid:pk>/release/", release.ReleaseView.as_view(), name="allocation_release"),
    path("differences/<uuid:pk>/ignore/", differences.IgnoreView.as_view(), name="difference_ignore"),
    path("differences/<uuid:pk>/reopen/", differences.ReopenView.as_view(), name="difference_reopen"),
    path("differences/<uuid:pk>/settle/<str:settlement>/", differences.SettleView.as_view(), name="difference_settle"),
    path("docs/", views.DocumentationView.as_view(), {"app_base_url": "pve-ipam", "path": "index.html"}, name="docs"),
    *router.urls,
]
