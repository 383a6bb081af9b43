"""What addresses look like on the pages of prefixes, IP address ranges, subnets and allocations: range gauges, the
address map, and the buttons to allocate and release.

Components are shared by all requests: nothing is remembered on `self`.
"""

from django.db.models import Q
from django.urls import reverse
from nautobot.apps.ui import Button, ButtonColorChoices, DistinctViewTab, Panel, SectionChoices, TemplateExtension
from nautobot.core.views.utils import get_obj_from_context
from nautobot.ipam.models import IPAddressRange, Prefix

from nautobot_pve_ipam import address_map
from nautobot_pve_ipam.gauges import dhcp_ranges, gauges, with_next_free

ROUTE = "plugins:nautobot_pve_ipam:{}"
#: A prefix may have more ranges than a page should tell the next free address of.
GAUGES_SHOWN = 20


class GaugesPanel(Panel):
    """DHCP ranges with what is used and left, and the next free address; not there where there is no range."""

    body_content_template_path = "nautobot_pve_ipam/inc/gauges.html"

    def ranges(self, obj):
        """The ranges that concern the page's object."""
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
    body_id = "pve-address-map"  # the tab has the id that would be made of the label
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


def built_map(request, obj):
    """The address map of a prefix or subnet as the request's user may see it, opened at the query's `block`.

    Raises InvalidRequest for a block that is not within the prefix.
    """
    is_prefix = isinstance(obj, Prefix)
    allocate_url = None
    if request.user.has_perm("ipam.add_ipaddress"):
        allocate_url = reverse(ROUTE.format(f"{'prefix' if is_prefix else 'sdnsubnet'}_allocate"), args=[obj.pk])
    return address_map.build(
        obj if is_prefix else obj.prefix,
        request.user,
        block=request.GET.get("block"),
        allocate_url=allocate_url,
    )


class AllocateButton(Button):
    """Offered wherever an address can be had."""

    label = "Allocate Next Free IP"
    icon = "mdi-plus-thick"
    color = ButtonColorChoices.BLUE
    required_permissions = ("ipam.add_ipaddress",)

    def should_render(self, context):
        return super().should_render(context) and not getattr(get_obj_from_context(context), "is_exclusive", False)


def allocate_button(model):
    return AllocateButton(weight=100, link_name=ROUTE.format(f"{model}_allocate"))


MAP_LABEL = "Address Map"
GAUGES_LABEL = "Addresses Left"


class PrefixAddresses(TemplateExtension):
    model = "ipam.prefix"
    object_detail_buttons = (
        allocate_button("prefix"),
        # Core's own tabs fill the line, so that a further one hides in the menu behind them.
        Button(weight=200, label=MAP_LABEL, icon="mdi-view-grid", link_name=ROUTE.format("prefix_address_map")),
    )
    object_detail_panels = (PrefixGauges(weight=140, section=SectionChoices.LEFT_HALF, label=GAUGES_LABEL),)
    object_detail_tabs = (
        DistinctViewTab(
            weight=850,
            tab_id="address-map",
            label=MAP_LABEL,
            url_name=ROUTE.format("prefix_address_map"),
            panels=(AddressMapPanel(weight=100, section=SectionChoices.FULL_WIDTH, label=MAP_LABEL),),
        ),
    )


class RangeAddresses(TemplateExtension):
    model = "ipam.ipaddressrange"
    object_detail_buttons = (allocate_button("ipaddressrange"),)
    object_detail_panels = (RangeGauge(weight=100, section=SectionChoices.RIGHT_HALF, label="Fill"),)


class SubnetAddresses(TemplateExtension):
    model = "nautobot_pve_ipam.sdnsubnet"
    object_detail_buttons = (allocate_button("sdnsubnet"),)


class AllocationRelease(TemplateExtension):
    model = "nautobot_pve_ipam.allocation"
    object_detail_buttons = (
        Button(
            weight=100,
            label="Release",
            icon="mdi-link-off",
            color=ButtonColorChoices.YELLOW,
            link_name=ROUTE.format("allocation_release"),
            required_permissions=["ipam.delete_ipaddress"],
        ),
    )


#: For the subnet's own page, which orders all its panels by weight.
subnet_panels = (
    SubnetGauges(weight=100, section=SectionChoices.RIGHT_HALF, label=GAUGES_LABEL),
    AddressMapPanel(weight=150, section=SectionChoices.FULL_WIDTH, label=MAP_LABEL),
)

template_extensions = [PrefixAddresses, RangeAddresses, SubnetAddresses, AllocationRelease]
