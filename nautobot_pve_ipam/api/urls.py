"""URLs of the REST API, below /api/plugins/pve-ipam/. May import the rest of api."""

from django.urls import include, path, re_path
from nautobot.apps.api import OrderedDefaultRouter

from nautobot_pve_ipam.api import available_ips, differences, hooks, netbox, next_free_ip, sync, views

router = OrderedDefaultRouter(view_name="Proxmox VE")
router.register("clusters", views.PVEClusterViewSet)
router.register("zones", views.SDNZoneViewSet)
router.register("vnets", views.SDNVNetViewSet)
router.register("subnets", views.SDNSubnetViewSet)
router.register("dhcp-ranges", views.SDNDHCPRangeViewSet)
router.register("allocations", views.AllocationViewSet)
router.register("differences", views.DifferenceViewSet)

facade = [
    path("ipam/aggregates/", netbox.AggregatesView.as_view()),
    path("ipam/prefixes/", netbox.PrefixesView.as_view()),
    path("ipam/prefixes/<uuid:pk>/", netbox.PrefixView.as_view()),
    path("ipam/prefixes/<uuid:pk>/available-ips/", netbox.PrefixAvailableIPsView.as_view()),
    path("ipam/ip-ranges/", netbox.RangesView.as_view()),
    path("ipam/ip-ranges/<str:start>-<str:end>/", netbox.RangeView.as_view()),
    path("ipam/ip-ranges/<str:start>-<str:end>/available-ips/", netbox.RangeAvailableIPsView.as_view()),
    path("ipam/ip-addresses/", netbox.AddressesView.as_view()),
    path("ipam/ip-addresses/<uuid:pk>/", netbox.AddressView.as_view()),
]

urlpatterns = [
    path("prefixes/<uuid:pk>/next-free-ip/", next_free_ip.PrefixNextFreeIPView.as_view(), name="prefix_next_free_ip"),
    path(
        "ip-address-ranges/<uuid:pk>/next-free-ip/",
        next_free_ip.RangeNextFreeIPView.as_view(),
        name="ipaddressrange_next_free_ip",
    ),
    path(
        "ip-address-ranges/<uuid:pk>/available-ips/",
        available_ips.range_available_ips,
        name="ipaddressrange_available_ips",
    ),
    path(
        "namespaces/<str:namespace>/subnets/<str:subnet>/next-free-ip/",
        next_free_ip.SubnetNextFreeIPView.as_view(),
        name="subnet_next_free_ip",
    ),
    path("namespaces/<str:namespace>/", hooks.NamespaceView.as_view(), name="hook_namespace"),
    path("namespaces/<str:namespace>/sync/", sync.SyncView.as_view(), name="sync"),
    path("namespaces/<str:namespace>/subnets/<str:subnet>/", hooks.SubnetView.as_view(), name="hook_subnet"),
    path("namespaces/<str:namespace>/ips/", hooks.AddressesView.as_view(), name="hook_addresses"),
    path("namespaces/<str:namespace>/ips/<str:ip>/", hooks.AddressView.as_view(), name="hook_address"),
    path("differences/<uuid:pk>/settle/", differences.SettleView.as_view(), name="difference_settle"),
    # PVE's plugin appends "/ipam/.." to the configured url, which may end in a slash.
    re_path(r"^netbox/(?P<namespace>[^/]+)//?", include(facade)),
    re_path(r"^netbox/(?P<namespace>[^/]+)/(?P<cluster>[^/]+)//?", include(facade)),
    re_path(r"^netbox/", netbox.UnknownView.as_view(), name="facade_unknown"),
    *router.urls,
]
