"""The "Proxmox VE" panel of the home page: open differences, the fullest DHCP ranges, the newest allocations.

May import ui.
"""

from nautobot.apps.ui import HomePagePanel

from nautobot_pve_ipam.ui.panels import overview

layout = (
    HomePagePanel(
        name="Proxmox VE",
        weight=150,
        permissions=[
            "nautobot_pve_ipam.view_allocation",
            "nautobot_pve_ipam.view_difference",
            "ipam.view_ipaddressrange",
        ],
        custom_template="homepage.html",
        custom_data={"pve_ipam": overview},
    ),
)
