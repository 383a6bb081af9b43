"""The panel "Proxmox VE" of the home page: the fullest DHCP ranges and the newest allocations."""

from nautobot.apps.ui import HomePagePanel

from nautobot_pve_ipam.gauges import dhcp_ranges, fullest
from nautobot_pve_ipam.models import Allocation

FULLEST = 4
NEWEST = 6


def overview(request):
    """What the panel shows the request's user: nothing that this user may not view."""
    newest = Allocation.objects.restrict(request.user, "view").select_related("ip_address").order_by("-created")
    return {
        "fullest": fullest(dhcp_ranges().restrict(request.user, "view"), FULLEST),
        "newest": newest[:NEWEST],
    }


layout = (
    HomePagePanel(
        name="Proxmox VE",
        weight=150,
        permissions=["nautobot_pve_ipam.view_allocation", "ipam.view_ipaddressrange"],
        custom_template="homepage.html",
        custom_data={"pve_ipam": overview},
    ),
)
