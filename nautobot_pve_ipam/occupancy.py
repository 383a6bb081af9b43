"""Reads: what is taken in a prefix, as ordered intervals. All deep reads of `nautobot.ipam` live here.

Three layers, each lazy and read in index order, page by page, so that a search stops with the first gap:
the prefix's own regions (child networks cut out), those without IP address ranges and excluded parts, and of
these the parts without an address.
"""

from collections import deque
from dataclasses import dataclass
from uuid import UUID

import netaddr
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce
from nautobot.apps.models import VarbinaryIPField
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.free_addresses import IPV4_BITS, IPV6_BITS, Interval, gaps, merged, runs, skipping, usable

#: Rows per query: enough that a sparse prefix needs one page, few enough that a page costs nothing.
PAGE = 64
#: A page without a gap hints at a dense stretch: the database then counts this many addresses at once...
DENSE_STEP = 1024
#: ... and at most this many.
DENSE_STEP_MAX = 65536

DHCP_ROLE = "DHCP"


def to_text(address: int, ip_version: int) -> str:
    """An address as text; IPv6 in the canonical form of RFC 5952."""
    return str(netaddr.IPAddress(address, ip_version))


def to_int(host: str) -> int:
    """A host as `VarbinaryIPField` reads it, as an integer."""
    return int(netaddr.IPAddress(host))


def span(prefix: Prefix) -> Interval:
    """First and last address of a prefix, network and broadcast address included."""
    return to_int(prefix.network), to_int(prefix.broadcast)


@dataclass(frozen=True)
class Search:
    """Where to look for free addresses of a prefix.

    `bounds`: inclusive intervals within the prefix, searched in this order; none: all of the prefix but its IP
    address ranges. `exclude`: intervals never handed out. `offset`: free addresses to skip first, 0 or more.
    """

    prefix: Prefix
    bounds: tuple[Interval, ...] = ()
    exclude: tuple[Interval, ...] = ()
    offset: int = 0

    def free(self):
        """The free intervals, in the order in which addresses are to be handed out; lazily."""
        return skipping(self._free(), self.offset)

    def _free(self):
        first, last = usable(
            *span(self.prefix),
            prefix_length=self.prefix.prefix_length,
            ip_version=self.prefix.ip_version,
            is_pool=self.prefix.type == PrefixTypeChoices.TYPE_POOL,
        )
        searched = []
        for start, end in self.bounds or ((first, last),):
            # An address that two bounds share counts once, where it comes first.
            exclude = sorted((*self.exclude, *searched))
            yield from free_intervals(
                self.prefix, max(first, start), min(last, end), exclude=exclude, skip_ranges=not self.bounds
            )
            searched.append((start, end))

    def __str__(self):
        prefix, version = self.prefix, self.prefix.ip_version
        where = ", ".join(f"{to_text(start, version)}-{to_text(end, version)}" for start, end in self.bounds)
        return f"{where} of {prefix.prefix}" if where else str(prefix.prefix)


def free_intervals(prefix, first, last, *, exclude=(), skip_ranges):
    """The free intervals of `prefix` between `first` and `last` inclusive, ascending and lazy.

    `exclude` are ordered intervals to leave out. Ranges marked exclusive are always left out, all other IP address
    ranges when `skip_ranges` says so.
    """
    exclude = sorted((*exclude, *_exclusive_from_outside(prefix)))
    for start, end, owners in regions(prefix, first, last):
        ranges = (_ranges(owner, prefix.ip_version, start, end, block_all=skip_ranges) for owner in owners)
        for low, high in gaps(start, end, merged(exclude, *ranges)):
            yield from gaps(low, high, taken(owners[-1], prefix.ip_version, low, high))


@dataclass(frozen=True)
class _Child:
    """A prefix below the one searched."""

    id: UUID
    first: int
    last: int
    length: int
    blocks: bool


def regions(prefix, first, last):
    """What of `first`..`last` belongs to `prefix` itself: `(start, end, ids of the prefixes that own it)`, ascending.

    Child networks and containers are other subnets and left out; a child pool belongs to its parent's subnet, but
    its addresses hang on the pool: the owners are `prefix` and the pools around the region, outermost first.
    """
    children = _Children(prefix, first, last)
    around = children.containing(first)
    at = first
    while at <= last:
        around = [child for child in around if child.last >= at]
        while (child := children.peek()) and child.first == at:
            around.append(children.pop())
        blocker = next((child for child in around if child.blocks), None)
        if blocker:
            at = blocker.last + 1
            children.seek(at)
            continue
        end = min(last, around[-1].last) if around else last
        if child := children.peek():
            end = min(end, child.first - 1)
        yield at, end, (prefix.pk, *(child.id for child in around))
        at = end + 1


class _Children:
    """The prefixes inside another, in order of network and then size, largest first; read page by page."""

    def __init__(self, prefix, first, last):
        self._version = prefix.ip_version
        self._parent_length = prefix.prefix_length
        self._last = last
        self._queryset = Prefix.objects.filter(
            namespace_id=prefix.namespace_id, ip_version=self._version, prefix_length__gt=prefix.prefix_length
        )
        self._rows = deque()
        self._after = (first, -1)  # network and length behind which the next page begins; None: there is none

    def containing(self, address):
        """The children around `address` that begin before it, outermost first."""
        longest = IPV4_BITS if self._version == 4 else IPV6_BITS
        found = self._queryset.filter(
            network__in=_networks_around(address, self._version, self._parent_length + 1, longest),
            network__lt=to_text(address, self._version),
            broadcast__gte=to_text(address, self._version),
        )
        return self._read(found.order_by("prefix_length"))

    def peek(self):
        if not self._rows and self._after is not None:
            self._load()
        return self._rows[0] if self._rows else None

    def pop(self):
        return self._rows.popleft()

    def seek(self, address):
        """Forget all children that begin before `address`, also those not read yet."""
        while self._rows and self._rows[0].first < address:
            self._rows.popleft()
        if self._after is not None:
            self._after = max(self._after, (address, -1))

    def _load(self):
        network, length = self._after
        rows = self._read(
            self._queryset.filter(
                network__gte=to_text(network, self._version), network__lte=to_text(self._last, self._version)
            )
            .exclude(network=to_text(network, self._version), prefix_length__lte=length)
            .order_by("network", "prefix_length")[:PAGE]
        )
        self._after = (rows[-1].first, rows[-1].length) if len(rows) == PAGE else None
        self._rows.extend(rows)

    @staticmethod
    def _read(queryset):
        return [
            _Child(id_, to_int(network), to_int(broadcast), length, type_ != PrefixTypeChoices.TYPE_POOL)
            for id_, network, broadcast, length, type_ in queryset.values_list(
                "id", "network", "broadcast", "prefix_length", "type"
            )
        ]


def _networks_around(address, ip_version, shortest, longest):
    """Network addresses, as text, of the prefixes that can hold `address`: of lengths `shortest` to `longest`."""
    bits = IPV4_BITS if ip_version == 4 else IPV6_BITS
    return {
        to_text(address >> (bits - length) << (bits - length), ip_version) for length in range(shortest, longest + 1)
    }


def _exclusive_from_outside(prefix):
    """Exclusive ranges of the prefixes around `prefix` that reach into it, unordered.

    Core lets no such range be made, but leaves those that are older than the prefix; and admits no address in them.
    """
    if prefix.parent_id is None:
        return []
    first, last = span(prefix)
    found = IPAddressRange.objects.filter(
        parent__namespace_id=prefix.namespace_id,
        parent__network__in=_networks_around(first, prefix.ip_version, 0, prefix.prefix_length - 1),
        parent__prefix_length__lt=prefix.prefix_length,
        ip_version=prefix.ip_version,
        is_exclusive=True,
        start_host__lte=to_text(last, prefix.ip_version),
        end_host__gte=to_text(first, prefix.ip_version),
    )
    return [(to_int(start), to_int(end)) for start, end in found.values_list("start_host", "end_host")]


def _ranges(parent_id, ip_version, first, last, *, block_all):
    """The IP address ranges of one prefix as ordered intervals from `first` on, page by page.

    A range that does not block is told as an empty interval `(start, start - 1)`: it takes nothing away, but lets a
    search stop there instead of reading on until a range that blocks.
    """
    address = VarbinaryIPField()
    ranges = IPAddressRange.objects.filter(parent_id=parent_id, ip_version=ip_version).order_by("start_host")
    begin = to_text(first, ip_version)
    # Ranges of one prefix never overlap, so only the last that starts before `first` can reach into it.
    before = ranges.filter(start_host__lte=begin).reverse().values("start_host")[:1]
    lower_bound = {"start_host__gte": Coalesce(Subquery(before), Value(begin, output_field=address))}
    while True:
        page = list(
            ranges.filter(**lower_bound, start_host__lte=to_text(last, ip_version)).values_list(
                "start_host", "end_host", "is_exclusive"
            )[:PAGE]
        )
        for start_host, end_host, is_exclusive in page:
            start = to_int(start_host)
            yield start, to_int(end_host) if block_all or is_exclusive else start - 1
        if len(page) < PAGE:
            return
        lower_bound = {"start_host__gt": page[-1][0]}


def taken(parent_id, ip_version, first, last):
    """The addresses that hang on one prefix between `first` and `last`, as ordered intervals, page by page."""
    addresses = IPAddress.objects.filter(parent_id=parent_id, host__lte=to_text(last, ip_version)).order_by("host")
    at = first
    while at <= last:
        hosts = addresses.filter(host__gte=to_text(at, ip_version)).values_list("host", flat=True)[:PAGE]
        page = [to_int(host) for host in hosts]
        yield from runs(page)
        if len(page) < PAGE:
            return
        at = page[-1] + 1
        if page[-1] - page[0] == PAGE - 1:
            end = _dense_until(parent_id, ip_version, at, last)
            if end >= at:
                yield at, end
                at = end + 1


def _dense_until(parent_id, ip_version, first, last):
    """The end of a stretch from `first` on in which every address is taken; `first - 1` where there is none.

    The database counts in index order, in growing and then shrinking steps: crossing a million addresses takes some
    twenty queries and no memory. The stretch may end sooner than it could by less than a page.
    """
    at, step, growing = first, DENSE_STEP, True
    while step >= PAGE:
        end = at + step - 1
        if end <= last and _count(parent_id, ip_version, at, end) == step:
            at = end + 1
            if growing:
                step = min(step * 4, DENSE_STEP_MAX)
        else:
            growing = False
            step //= 4
    return at - 1


def _count(parent_id, ip_version, first, last):
    return IPAddress.objects.filter(
        parent_id=parent_id, host__gte=to_text(first, ip_version), host__lte=to_text(last, ip_version)
    ).count()


def present(prefix, hosts):
    """Those of `hosts` (integers) that have an IP address in the prefix's namespace, whatever its parent."""
    found = IPAddress.objects.filter(
        parent__namespace_id=prefix.namespace_id, host__in=[to_text(host, prefix.ip_version) for host in hosts]
    )
    return {to_int(host) for host in found.values_list("host", flat=True)}


def in_dhcp_range(prefix, host) -> bool:
    """Whether an IP address range with role DHCP around `host` (integer) says that it is handed out by DHCP."""
    address = to_text(host, prefix.ip_version)
    return IPAddressRange.objects.filter(
        parent__namespace_id=prefix.namespace_id,
        ip_version=prefix.ip_version,
        start_host__lte=address,
        end_host__gte=address,
        role__name=DHCP_ROLE,
    ).exists()
