"""The "Proxmox VE" group in the IPAM menu. Imports no other file of the App."""

from nautobot.apps.ui import (
    NavigationIconChoices,
    NavigationWeightChoices,
    NavMenuAddButton,
    NavMenuGroup,
    NavMenuItem,
    NavMenuTab,
)

MODELS = (
    ("allocation", "Allocations"),
    ("sdnsubnet", "Subnets"),
    ("sdnvnet", "VNets"),
    ("sdnzone", "Zones"),
    ("pvecluster", "Clusters"),
    ("difference", "Differences"),
)
#: Only a sync makes them.
NOT_MADE_BY_HAND = ("difference",)


def _item(model, name, weight):
    add = NavMenuAddButton(
        link=f"plugins:nautobot_pve_ipam:{model}_add", permissions=[f"nautobot_pve_ipam.add_{model}"]
    )
    return NavMenuItem(
        link=f"plugins:nautobot_pve_ipam:{model}_list",
        name=name,
        weight=weight,
        permissions=[f"nautobot_pve_ipam.view_{model}"],
        buttons=() if model in NOT_MADE_BY_HAND else (add,),
    )


menu_items = (
    NavMenuTab(
        name="IPAM",
        icon=NavigationIconChoices.IPAM,
        weight=NavigationWeightChoices.IPAM,
        groups=(
            NavMenuGroup(
                name="Proxmox VE",
                weight=250,
                items=tuple(_item(*model, weight) for weight, model in enumerate(MODELS, 100)),
            ),
        ),
    ),
)
