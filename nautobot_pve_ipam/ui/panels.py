"""All panels and buttons that we add to detail pages, Nautobot's and ours, and the contents of the home page panel.

Each shows only what the user may view, and hides if that is nothing. Components are shared between requests: never
store anything on `self`. May import the rest of ui, services, search and models.
"""

from django.db.models import Q
from django.template.defaultfilters import date
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timezone import localtime
from nautobot.apps.ui import Button, ButtonColorChoices, KeyValueTablePanel, ObjectsTablePanel, Panel
from nautobot.apps.views import get_obj_from_context
from nautobot.ipam.models import IPAddressRange, Prefix

from nautobot_pve_ipam.choices import DifferenceKindChoices, DifferenceStateChoices, SettlementChoices
from nautobot_pve_ipam.models import Allocation, Difference, SDNSubnet
from nautobot_pve_ipam.ui.address_map.page import built_map
from nautobot_pve_ipam.ui.differences import MEANINGS
from nautobot_pve_ipam.ui.usage import dhcp_ranges, fullest, gauges, with_next_free

ROUTE = "plugins:nautobot_pve_ipam:{}"
#: What PVE and Nautobot say of something, from the outside in.
FACTS = ("cluster", "zone", "vnet", "network", "ip", "ip4", "ip6", "mac", "vmid", "hostname")
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


class DifferencesPanel(TablePanel):
    """The differences about the page's object, but for settled ones: a cluster, a subnet or an allocation."""

    def get_table_data_queryset(self, instance, request):
        unsettled = Difference.objects.exclude(state=DifferenceStateChoices.SETTLED)
        if isinstance(instance, Allocation):
            address, subnet = instance.ip_address, instance.subnet
            about = Q(ip=address.host, namespace=address.parent.namespace_id)
            if instance.mac and subnet:
                zone = subnet.vnet.zone
                about |= Q(ip=None, mac=instance.mac, namespace=zone.namespace_id, cluster=zone.cluster_id)
        elif isinstance(instance, SDNSubnet):
            zone = instance.vnet.zone
            network = str(instance.prefix.prefix)
            about = Q(network=network, namespace=zone.namespace_id, cluster=zone.cluster_id)
        else:
            about = Q(cluster=instance)
        return unsettled.filter(about)


class DifferencePanel(Panel):
    """What PVE and Nautobot say of it, field by field, and what settles it."""

    body_content_template_path = "nautobot_pve_ipam/inc/difference.html"

    def get_extra_context(self, context):
        found = get_obj_from_context(context)
        before, after = found.before or {}, found.after or {}
        is_cache = found.kind == DifferenceKindChoices.CACHE
        is_settled = found.state == DifferenceStateChoices.SETTLED
        return {
            **super().get_extra_context(context),
            "ways": [] if is_settled else [(label, MEANINGS[way]) for way, label in offered(found)],
            "titles": ("PVE's Cache", "As in Nautobot") if is_cache else ("Nautobot", "PVE"),
            "rows": [
                (name.replace("_", " "), _shown(before.get(name)), _shown(after.get(name)))
                for name in sorted({**before, **after}, key=_rank)
            ],
        }


def offered(difference):
    """The settlements that a difference offers, each with its label."""
    return [choice for choice in SettlementChoices.CHOICES if choice[0] in difference.settlements]


def _rank(name):
    """Where a field stands: the database keeps no order."""
    return (FACTS.index(name) if name in FACTS else len(FACTS), name)


def _shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join("-".join(map(str, one)) if isinstance(one, list) else str(one) for one in value)
    return "" if value is None else value


class DecisionButton(Button):
    """Leads to a page on which a difference is decided; hidden in states other than `states`."""

    required_permissions = ("nautobot_pve_ipam.change_difference",)
    states = (DifferenceStateChoices.OPEN, DifferenceStateChoices.ACCEPTED)

    def should_render(self, context):
        return super().should_render(context) and get_obj_from_context(context).state in self.states


class SettleButton(DecisionButton):
    """Hidden unless the difference offers `settlement`."""

    settlement = ""

    def should_render(self, context):
        return super().should_render(context) and self.settlement in get_obj_from_context(context).settlements

    def get_link(self, context):
        kwargs = {"pk": get_obj_from_context(context).pk, "settlement": self.settlement}
        return reverse(ROUTE.format("difference_settle"), kwargs=kwargs)


def overview(request):
    """Data of the home page panel, limited to what the user may view."""
    newest = Allocation.objects.restrict(request.user, "view").select_related("ip_address").order_by("-created")
    return {
        "fullest": fullest(dhcp_ranges().restrict(request.user, "view"), FULLEST),
        "newest": newest[:NEWEST],
        "differences": Difference.objects.restrict(request.user, "view")
        .filter(state=DifferenceStateChoices.OPEN)
        .count(),
    }
