"""Usage of DHCP ranges: addresses in use, size, addresses left, and warning levels. May import search and models."""

from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import Count, Exists, IntegerField, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from nautobot.ipam.models import IPAddress, IPAddressRange

from nautobot_pve_ipam.models import SDNDHCPRange
from nautobot_pve_ipam.search.intervals import addresses, to_int, to_text
from nautobot_pve_ipam.search.occupancy import DHCP_ROLE, usable_span
from nautobot_pve_ipam.search.search import Search

#: For ranges up to this size, all hosts are read at once to find the next free one.
LISTED = 1024


@dataclass(frozen=True)
class Gauge:
    """The usage of one IP address range. `next_free`: the next address to be allocated, if requested."""

    ip_address_range: IPAddressRange
    used: int
    size: int
    next_free: str | None = None

    @property
    def left(self) -> int:
        """Addresses that are still free."""
        return self.size - self.used

    @property
    def percent(self) -> int:
        """Percentage in use, rounded down so that only a full range shows 100."""
        return self.used * 100 // self.size

    @property
    def level(self) -> str:
        """Bootstrap's colour name according to the App's settings: success, warning or danger."""
        limits = settings.PLUGINS_CONFIG["nautobot_pve_ipam"]
        if self.percent >= limits["gauge_danger"]:
            return "danger"
        return "warning" if self.percent >= limits["gauge_warning"] else "success"


def dhcp_ranges():
    """Ranges used for DHCP: with the DHCP role, or linked to a PVE subnet."""
    linked = SDNDHCPRange.objects.filter(ip_address_range=OuterRef("pk"))
    return IPAddressRange.objects.filter(
        Q(role__name=DHCP_ROLE) | Q(Exists(linked)), is_exclusive=False
    ).select_related("parent__namespace")


def gauges(ranges) -> list[Gauge]:
    """The gauges of a queryset of IP address ranges, in the same order; one query, counting along an index."""
    used = (
        IPAddress.objects.filter(
            parent__namespace_id=OuterRef("parent__namespace_id"),
            ip_version=OuterRef("ip_version"),
            host__gte=OuterRef("start_host"),
            host__lte=OuterRef("end_host"),
        )
        .order_by()
        .values("ip_version")
        .annotate(rows=Count("pk"))
        .values("rows")
    )
    counted = ranges.annotate(used=Coalesce(Subquery(used, output_field=IntegerField()), 0))
    return [Gauge(found, found.used, to_int(found.end_host) - to_int(found.start_host) + 1) for found in counted]


def with_next_free(found: list[Gauge]) -> list[Gauge]:
    """Add the next free address to gauges of ranges in one namespace.

    One query for all ranges of up to LISTED addresses; larger ones are searched individually.
    """
    small = [gauge.ip_address_range for gauge in found if gauge.size <= LISTED]
    used = set()
    if small:
        inside = Q()
        for item in small:
            inside |= Q(host__gte=item.start_host, host__lte=item.end_host)
        hosts = IPAddress.objects.filter(
            inside, parent__namespace_id=small[0].parent.namespace_id, ip_version=small[0].ip_version
        )
        used = {to_int(host) for host in hosts.order_by().values_list("host", flat=True)}
    return [replace(gauge, next_free=_next_free(gauge, used)) for gauge in found]


def _next_free(gauge, used):
    if not gauge.left:
        return None
    item, prefix = gauge.ip_address_range, gauge.ip_address_range.parent
    start, end = to_int(item.start_host), to_int(item.end_host)
    if gauge.size > LISTED:
        free = addresses(Search(prefix, bounds=((start, end),)).free())
    else:
        first, last = usable_span(prefix)
        free = (at for at in range(max(start, first), min(end, last) + 1) if at not in used)
    found = next(free, None)
    return None if found is None else to_text(found, item.ip_version)


def fullest(ranges, count: int) -> list[Gauge]:
    """The `count` ranges of a queryset with the highest usage, fullest first."""
    return sorted(gauges(ranges), key=lambda gauge: (-gauge.used / gauge.size, gauge.left))[:count]
