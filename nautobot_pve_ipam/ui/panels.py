"""All panels and buttons that we add to detail pages, Nautobot's and ours, and the contents of the home page panel.

Each shows only what the user may view, and hides if that is nothing. Components are shared between requests: never
store anything on `self`. May import the rest of ui, services, search and models.
"""

from django.db.models import Q
from django.template.defaultfilters import date
from django.utils.html import format_html
from django.utils.timezone import localtime
from nautobot.apps.ui import Button, ButtonColorChoices, KeyValueTablePanel, ObjectsTablePanel, Panel
from nautobot.apps.views import get_obj_from_context
from nautobot.ipam.models import IPAddressRange, Prefix

from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.ui.address_map.page import built_map
from nautobot_pve_ipam.ui.usage import dhcp_ranges, fullest, gauges, with_next_free

ROUTE = "plugins:nautobot_pve_ipam:{}"
MAP_LABEL = "Address Map"
GAUGES_LABEL = "Addresses Left"
#: Finding the next free address of every range would be too slow for a prefix with very many ranges.
GAUGES_SHOWN = 20
FULLEST = 4
NEWEST = 6


class GaugesPanel(Panel):
    """DHCP ranges with their usage and next free address; hidden if there are no ranges."""

    body_content_template_path = "nautobot_pve_ipam/inc/gauges.html"

    def ranges(self, obj):
        """The ranges to show for the page's object."""
        raise NotImplementedError

    def should_render(self, context):
        return super().should_render(context) and self._visible(context).exists()

    def get_extra_context(self, context):
        shown = with_next_free(gauges(self._visible(context)[:GAUGES_SHOWN]))
        return {**super().get_extra_context(context), "gauges": shown}

    def _visible(self, context):
        return self.ranges(get_obj_from_context(context)).restrict(context["request"].user, "view")


class PrefixGauges(GaugesPanel):
    def ranges(self, obj):
        return dhcp_ranges().filter(Q(parent=obj) | Q(sdn_subnets__prefix=obj)).distinct()


class SubnetGauges(GaugesPanel):
    def ranges(self, obj):
        return dhcp_ranges().filter(sdn_subnets=obj)


class RangeGauge(GaugesPanel):
    def ranges(self, obj):
        return IPAddressRange.objects.filter(pk=obj.pk, is_exclusive=False).select_related("parent__namespace")


class AddressMapPanel(Panel):
    """The address map of a prefix, or of a subnet's prefix."""

    body_content_template_path = "nautobot_pve_ipam/inc/address_map.html"
    body_id = "pve-address-map"  # the ID derived from the label is already used by the tab
    required_permissions = ("ipam.view_prefix",)

    def should_render(self, context):
        if not super().should_render(context):
            return False
        prefix = self._prefix(context)
        return Prefix.objects.restrict(context["request"].user, "view").filter(pk=prefix.pk).exists()

    def get_extra_context(self, context):
        shown = context.get("address_map") or built_map(context["request"], get_obj_from_context(context))
        return {**super().get_extra_context(context), "address_map": shown}

    @staticmethod
    def _prefix(context):
        obj = get_obj_from_context(context)
        return obj if isinstance(obj, Prefix) else obj.prefix


class AllocateButton(Button):
    """Hidden for exclusive ranges, in which Nautobot allows no addresses."""

    label = "Allocate Next Free IP"
    icon = "mdi-plus-thick"
    color = ButtonColorChoices.BLUE
    required_permissions = ("ipam.add_ipaddress",)

    def should_render(self, context):
        return super().should_render(context) and not getattr(get_obj_from_context(context), "is_exclusive", False)


def allocate_button(model):
    return AllocateButton(weight=100, link_name=ROUTE.format(f"{model}_allocate"))


class AllocationPanel(KeyValueTablePanel):
    """The guest that holds an IP address."""

    def get_data(self, context):
        allocation = (
            Allocation.objects.restrict(context["request"].user, "view")
            .select_related("ip_address", "subnet__prefix", "subnet__vnet__zone__cluster")
            .filter(ip_address=get_obj_from_context(context))
            .first()
        )
        if allocation is None:
            return {}
        subnet = allocation.subnet
        guest = allocation.hostname or allocation.vmid or ("gateway" if allocation.is_gateway else "unnamed")
        return {
            "Guest": format_html('<a href="{}">{}</a>', allocation.get_absolute_url(), guest),
            "VMID": allocation.vmid,
            "MAC Address": allocation.mac,
            "Gateway": allocation.is_gateway,
            "Subnet": subnet,
            "Zone": subnet and subnet.vnet.zone,
            "Since": date(localtime(allocation.created), "DATETIME_FORMAT"),
            "Last Seen": allocation.last_seen and date(localtime(allocation.last_seen), "DATETIME_FORMAT"),
        }

    def render_key(self, key, value, context):
        return key


class TablePanel(ObjectsTablePanel):
    """A table that is hidden when empty: most prefixes have nothing to do with PVE."""

    def should_render(self, context):
        user = context["request"].user
        rows = self.get_table_data_queryset(get_obj_from_context(context), context["request"])
        return super().should_render(context) and rows.restrict(user, "view").exists()


def overview(request):
    """Data of the home page panel, limited to what the user may view."""
    newest = Allocation.objects.restrict(request.user, "view").select_related("ip_address").order_by("-created")
    return {
        "fullest": fullest(dhcp_ranges().restrict(request.user, "view"), FULLEST),
        "newest": newest[:NEWEST],
    }
