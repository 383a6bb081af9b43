"""Usage of DHCP ranges: addresses in use, size, addresses left, and warning levels.

May import services, search and models.
"""

from dataclasses import dataclass, replace
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from nautobot.ipam.models import IPAddress, IPAddressRange

from nautobot_pve_ipam.errors import Misconfigured
from nautobot_pve_ipam.models import SDNDHCPRange
from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.search.intervals import Interval, addresses, gaps, to_int, to_text
from nautobot_pve_ipam.search.occupancy import range_span, usable_span
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.defaults import dhcp_role

#: For ranges up to this size, all hosts are read at once to find the next free one.
LISTED = 1024


@dataclass(frozen=True)
class Gauge:
    """The usage of one IP address range. `next_free`: the next address to be allocated, if requested.

    `parts` are the intervals of the range that can be given to guests: without network and broadcast address, gateways,
    child networks and exclusive ranges. Only they count, so that a range is full exactly when nothing in it is free.
    """

    ip_address_range: IPAddressRange
    parts: tuple[Interval, ...]
    used: int
    next_free: str | None = None

    @property
    def size(self) -> int:
        """Addresses that can be given to guests."""
        return sum(last - first + 1 for first, last in self.parts)

    @property
    def left(self) -> int:
        """Addresses that are still free."""
        return self.size - self.used

    @property
    def share(self) -> float:
        """Used addresses per address, 0 to 1; a range in which nothing can be given is full."""
        return self.used / self.size if self.size else 1

    @property
    def percent(self) -> int:
        """Percentage in use, rounded down so that only a full range shows 100."""
        return self.used * 100 // self.size if self.size else 100

    @property
    def level(self) -> str:
        """Bootstrap's colour name according to the App's settings: success, warning or danger."""
        limits = settings.PLUGINS_CONFIG["nautobot_pve_ipam"]
        if self.percent >= limits["gauge_danger"]:
            return "danger"
        return "warning" if self.percent >= limits["gauge_warning"] else "success"


def for_dhcp():
    """Q: IP address ranges with the DHCP role, or linked to a PVE subnet."""
    linked = Q(Exists(SDNDHCPRange.objects.filter(ip_address_range=OuterRef("pk"))))
    try:
        role = dhcp_role()
    except Misconfigured:  # pages show what they can; whoever allocates is told
        role = None
    return Q(role__name=role) | linked if role else linked


def dhcp_ranges():
    """Ranges used for DHCP in which addresses are possible."""
    return IPAddressRange.objects.filter(for_dhcp(), is_exclusive=False).select_related("parent__namespace")


def gauges(ranges) -> list[Gauge]:
    """The gauges of a queryset of IP address ranges, in the same order; three queries."""
    found = list(ranges)
    closed: dict[UUID, list[Interval]] = {}
    for id_, interval in tables.closed_in_ranges([item.pk for item in found]):
        closed.setdefault(id_, []).append(interval)
    parts = [tuple(_open(item, sorted(closed.get(item.pk, ())))) for item in found]
    spans = [
        (item.parent.namespace_id, item.ip_version, part)
        for item, its in zip(found, parts, strict=True)
        for part in its
    ]
    counts = iter(tables.count_in_use(spans))
    return [Gauge(item, its, sum(islice(counts, len(its)))) for item, its in zip(found, parts, strict=True)]


def _open(ip_address_range, closed):
    first, last = usable_span(ip_address_range.parent)
    start, end = range_span(ip_address_range)
    return gaps(max(first, start), min(last, end), closed)


def with_next_free(found: list[Gauge]) -> list[Gauge]:
    """Add the next free address to gauges of ranges in one namespace.

    One query for all ranges of up to LISTED addresses; larger ones are searched individually.
    """
    small = [part for gauge in found if gauge.size <= LISTED for part in gauge.parts]
    used = set()
    if small:
        item = found[0].ip_address_range
        inside = Q()
        for first, last in small:
            inside |= Q(host__gte=to_text(first, item.ip_version), host__lte=to_text(last, item.ip_version))
        hosts = IPAddress.objects.filter(
            inside, parent__namespace_id=item.parent.namespace_id, ip_version=item.ip_version
        )
        used = {to_int(host) for host in hosts.order_by().values_list("host", flat=True)}
    return [replace(gauge, next_free=_next_free(gauge, used)) for gauge in found]


def _next_free(gauge, used):
    if not gauge.left:
        return None
    item = gauge.ip_address_range
    if gauge.size > LISTED:
        found = next(iter(Search(item.parent, bounds=(range_span(item),)).first(1)), None)
    else:
        found = next((at for at in addresses(gauge.parts) if at not in used), None)
    return None if found is None else to_text(found, item.ip_version)


def fullest(ranges, count: int) -> list[Gauge]:
    """The `count` ranges of a queryset with the highest usage, fullest first."""
    return sorted(gauges(ranges), key=lambda gauge: (-gauge.share, gauge.left))[:count]
