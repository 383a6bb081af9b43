"""Routes of the REST API, below /api/plugins/pve-ipam/."""

from django.urls import path

from nautobot_pve_ipam.api import next_free_ip

urlpatterns = [
    path("prefixes/<uuid:pk>/next-free-ip/", next_free_ip.PrefixNextFreeIPView.as_view(), name="prefix_next_free_ip"),
    path(
        "ip-address-ranges/<uuid:pk>/next-free-ip/",
        next_free_ip.RangeNextFreeIPView.as_view(),
        name="ipaddressrange_next_free_ip",
    ),
    path(
        "namespaces/<str:namespace>/subnets/<str:subnet>/next-free-ip/",
        next_free_ip.SubnetNextFreeIPView.as_view(),
        name="subnet_next_free_ip",
    ),
]
