"""Reads: what is taken in a prefix, as ordered intervals. All deep reads of `nautobot.ipam` live here.

Three layers, each lazy and read in index order, page by page, so that a search stops with the first gap:
the prefix's own regions (child networks cut out), those without IP address ranges and excluded parts, and of
these the parts without an address.
"""

from collections import deque
from dataclasses import dataclass
from uuid import UUID

import netaddr
from django.db import connection
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam.cursors import Cursor
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
            yield from self._free_between(max(first, start), min(last, end), sorted((*self.exclude, *searched)))
            searched.append((start, end))

    def _free_between(self, first, last, exclude):
        """From the cursor up; then, for the case that it stood too high, what lies below it."""
        if first > last:
            return
        skip_ranges = not self.bounds
        cursor = Cursor(self.prefix.pk, first, last, skip_ranges=skip_ranges)
        for index, interval in enumerate(
            free_intervals(self.prefix, cursor.position, last, exclude=exclude, skip_ranges=skip_ranges)
        ):
            if index == 0 and not exclude:  # what is excluded for once is not taken
                cursor.advance(interval[0])
            yield interval
        yield from free_intervals(self.prefix, first, cursor.position - 1, exclude=exclude, skip_ranges=skip_ranges)

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
    """A prefix below the one searched; `id` as the database has it."""

    id: UUID | str
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
    around = children.around_first
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
        yield at, end, (_id(prefix.pk), *(child.id for child in around))
        at = end + 1


class _Children:
    """The prefixes inside another, in order of network and then size, largest first; read page by page."""

    _SELECT = "SELECT id, network, broadcast, prefix_length, type FROM ipam_prefix"
    _INSIDE = "WHERE namespace_id = %s AND ip_version = %s AND prefix_length > %s"

    def __init__(self, prefix, first, last):
        self._version = prefix.ip_version
        self._inside = [_id(prefix.namespace_id), prefix.ip_version, prefix.prefix_length]
        self._last = _packed(last, self._version)
        self._after = None  # the next page begins behind this network and length; None: there is none
        rows = self._read(self._around(first, prefix.prefix_length), self._page(first, 0))
        #: The children around `first` that begin before it, outermost first.
        self.around_first = sorted((row for row in rows if row.first < first), key=lambda row: row.length)
        self._rows = deque()
        self._take_page(sorted((row for row in rows if row.first >= first), key=lambda row: (row.first, row.length)))

    def _around(self, address, parent_length):
        bits = IPV4_BITS if self._version == 4 else IPV6_BITS
        networks = {address >> (bits - length) << (bits - length) for length in range(parent_length, bits)} - {address}
        networks = networks or {address}  # nothing can begin before it, but SQL wants a list that is not empty
        condition = f"network IN ({', '.join(['%s'] * len(networks))}) AND network < %s AND broadcast >= %s"
        begin = _packed(address, self._version)
        return condition, [*(_packed(network, self._version) for network in networks), begin, begin]

    def _page(self, network, length):
        condition = (
            "network >= %s AND network <= %s AND (network > %s OR prefix_length > %s)"
            " ORDER BY network, prefix_length LIMIT %s"
        )
        begin = _packed(network, self._version)
        return condition, [begin, self._last, begin, length, PAGE]

    def _take_page(self, rows):
        self._rows.extend(rows)
        self._after = (rows[-1].first, rows[-1].length) if len(rows) == PAGE else None

    def peek(self):
        if not self._rows and self._after is not None:
            self._take_page(self._read(self._page(*self._after)))
        return self._rows[0] if self._rows else None

    def pop(self):
        return self._rows.popleft()

    def seek(self, address):
        """Forget all children that begin before `address`, also those not read yet."""
        while self._rows and self._rows[0].first < address:
            self._rows.popleft()
        if self._after is not None:
            self._after = max(self._after, (address, 0))

    def _read(self, *parts):
        """The children that meet one of the conditions; each part is a condition and its parameters."""
        sql = " UNION ALL ".join(f"({self._SELECT} {self._INSIDE} AND {condition})" for condition, _ in parts)
        parameters = [value for _, own in parts for value in (*self._inside, *own)]
        return [
            _Child(id_, _number(network), _number(broadcast), length, type_ != PrefixTypeChoices.TYPE_POOL)
            for id_, network, broadcast, length, type_ in _rows(sql, parameters)
        ]


def _ranges(parent_id, ip_version, first, last, *, block_all):
    """The IP address ranges of one prefix as ordered intervals from `first` on, page by page.

    A range that does not block is told as an empty interval `(start, start - 1)`: it takes nothing away, but lets a
    search stop there instead of reading on until a range that blocks.
    """
    ranges = "FROM ipam_ipaddressrange WHERE parent_id = %s AND ip_version = %s AND"
    # Ranges of one prefix never overlap, so only the last that starts before `first` can reach into it.
    sql = (
        f"SELECT start_host, end_host, is_exclusive {ranges} start_host >= COALESCE((SELECT start_host {ranges}"
        " start_host <= %s ORDER BY start_host DESC LIMIT 1), %s) AND start_host <= %s ORDER BY start_host LIMIT %s"
    )
    at = first
    while True:
        begin, end = _packed(at, ip_version), _packed(last, ip_version)
        page = _rows(sql, [parent_id, ip_version, parent_id, ip_version, begin, begin, end, PAGE])
        for start_host, end_host, is_exclusive in page:
            start = _number(start_host)
            if start >= at or at == first:  # a later page begins with the range that the one before ended with
                yield start, _number(end_host) if block_all or is_exclusive else start - 1
        if len(page) < PAGE:
            return
        at = start + 1


def _exclusive_from_outside(prefix):
    """The exclusive ranges that hang on a prefix around this one and reach into it, as intervals.

    A prefix may be made across a range's end; core forbids addresses there all the same.
    """
    if prefix.parent_id is None:
        return []
    sql = (
        "SELECT r.start_host, r.end_host FROM ipam_prefix p JOIN ipam_ipaddressrange r ON r.parent_id = p.id"
        " WHERE p.namespace_id = %s AND p.ip_version = %s AND p.network <= %s AND p.broadcast >= %s"
        " AND p.prefix_length < %s AND r.is_exclusive AND r.start_host <= %s AND r.end_host >= %s"
    )
    first, last = (_packed(address, prefix.ip_version) for address in span(prefix))
    parameters = [_id(prefix.namespace_id), prefix.ip_version, first, last, prefix.prefix_length, last, first]
    return [(_number(start), _number(end)) for start, end in _rows(sql, parameters)]


def taken(parent_id, ip_version, first, last):
    """The addresses that hang on one prefix between `first` and `last`, as ordered intervals, page by page."""
    sql = "SELECT host FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s ORDER BY host LIMIT %s"
    end = _packed(last, ip_version)
    at = first
    while at <= last:
        page = [_number(host) for (host,) in _rows(sql, [parent_id, _packed(at, ip_version), end, PAGE])]
        yield from runs(page)
        if len(page) < PAGE:
            return
        at = page[-1] + 1
        if page[-1] - page[0] == PAGE - 1:
            dense_end = _dense_until(parent_id, ip_version, at, last)
            if dense_end >= at:
                yield at, dense_end
                at = dense_end + 1


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
    sql = "SELECT COUNT(*) FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s"
    return _rows(sql, [parent_id, _packed(first, ip_version), _packed(last, ip_version)])[0][0]


# SQL by hand: a search makes five small queries, and Django's making of each costs several times its execution.


def _rows(sql, parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _packed(address, ip_version):
    """An address as `VarbinaryIPField` stores it: 4 or 16 bytes, so that the order of bytes is that of numbers."""
    return address.to_bytes(4 if ip_version == 4 else 16, "big")


def _number(stored):
    return int.from_bytes(stored, "big")


def _id(uuid):
    """A primary key as this database stores it."""
    return Prefix._meta.pk.get_db_prep_value(uuid, connection)


def present(prefix, hosts):
    """Those of `hosts` (integers) that have an IP address in the prefix's namespace, whatever its parent."""
    found = IPAddress.objects.filter(
        parent__namespace_id=prefix.namespace_id, host__in=[to_text(host, prefix.ip_version) for host in hosts]
    )
    return {to_int(host) for host in found.values_list("host", flat=True)}


def has_children(prefix) -> bool:
    """Whether there is any prefix inside this one; without, all its addresses hang on itself."""
    sql = (
        "SELECT 1 FROM ipam_prefix WHERE namespace_id = %s AND ip_version = %s AND network >= %s AND network <= %s"
        " AND prefix_length > %s LIMIT 1"
    )
    version = prefix.ip_version
    first, last = (_packed(address, version) for address in span(prefix))
    return bool(_rows(sql, [_id(prefix.namespace_id), version, first, last, prefix.prefix_length]))


def dhcp_intervals(prefix, first, last) -> list[Interval]:
    """The parts of `first`..`last` that IP address ranges with role DHCP cover: what is there is handed out by DHCP."""
    sql = (
        "SELECT r.start_host, r.end_host FROM extras_role o JOIN ipam_ipaddressrange r ON r.role_id = o.id"
        " JOIN ipam_prefix p ON p.id = r.parent_id WHERE o.name = %s AND p.namespace_id = %s AND r.ip_version = %s"
        " AND r.start_host <= %s AND r.end_host >= %s"
    )
    version = prefix.ip_version
    rows = _rows(sql, [DHCP_ROLE, _id(prefix.namespace_id), version, _packed(last, version), _packed(first, version)])
    return [(_number(start), _number(end)) for start, end in rows]
