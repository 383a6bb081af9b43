"""Routes of the pages, below /plugins/pve-ipam/."""

from nautobot.apps.urls import NautobotUIViewSetRouter

from nautobot_pve_ipam import views

router = NautobotUIViewSetRouter()
router.register("clusters", views.PVEClusterUIViewSet)
router.register("zones", views.SDNZoneUIViewSet)
router.register("vnets", views.SDNVNetUIViewSet)
router.register("subnets", views.SDNSubnetUIViewSet)
router.register("allocations", views.AllocationUIViewSet)

urlpatterns = router.urls
