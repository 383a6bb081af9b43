"""Reads: what is taken in a prefix, as ordered intervals. All deep reads of `nautobot.ipam` live here.

Three layers, each lazy and read in index order, page by page, so that a search stops with the first gap:
the prefix's own regions (child networks cut out), those without IP address ranges and excluded parts, and of
these the parts without an address.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache, partial
from uuid import UUID

import netaddr
from django.db import connection
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.cursors import Cursor
from nautobot_pve_ipam.free_addresses import (
    IPV4_BITS,
    IPV6_BITS,
    Interval,
    gaps,
    growing,
    merged,
    runs,
    skipping,
    usable,
)

#: A search looks at so many addresses first, which most often is enough, and then at ever more. Within them no query
#: reads many rows by whatever index: a planner may well prefer one on which all namespaces' hosts lie side by side.
WINDOW = 256
WINDOW_GROWTH = 16
#: Rows of the first query: enough that a sparse prefix needs one page, few enough that a page costs nothing...
PAGE = 64
#: ... and, four times more with each page, at most so many of those that follow.
PAGE_MAX = 1024
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


def usable_span(prefix: Prefix) -> Interval:
    """First and last address of a prefix that hosts may use."""
    return usable(
        *span(prefix),
        prefix_length=prefix.prefix_length,
        ip_version=prefix.ip_version,
        is_pool=prefix.type == PrefixTypeChoices.TYPE_POOL,
    )


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
        first, last = usable_span(self.prefix)
        searched = []
        for start, end in self.bounds or ((first, last),):
            # An address that two bounds share counts once, where it comes first.
            yield from self._free_between(max(first, start), min(last, end), (*self.exclude, *searched))
            searched.append((start, end))

    def _free_between(self, first, last, exclude):
        """From the cursor up; then, for the case that it stood too high, what lies below it."""
        if first > last:
            return
        find = partial(free_intervals, self.prefix, skip_ranges=not self.bounds)
        cursor = Cursor(self.prefix.pk, first, last, skip_ranges=not self.bounds)
        above = find(cursor.position, last)
        if lowest := next(above, None):
            cursor.advance(lowest[0])
            if any(start <= last and end >= lowest[0] for start, end in exclude):
                # What is excluded for once is not taken: the cursor stays below it, this search goes on above it.
                yield from find(lowest[0], last, exclude=exclude)
            else:
                yield lowest
                yield from above
        yield from find(first, cursor.position - 1, exclude=exclude)

    def __str__(self):
        prefix, version = self.prefix, self.prefix.ip_version
        where = ", ".join(f"{to_text(start, version)}-{to_text(end, version)}" for start, end in self.bounds)
        return f"{where} of {prefix.prefix}" if where else str(prefix.prefix)


def free_intervals(prefix, first, last, *, exclude=(), skip_ranges):
    """The free intervals of `prefix` between `first` and `last` inclusive, ascending and lazy.

    `exclude` are ordered intervals to leave out. Ranges marked exclusive are always left out, all other IP address
    ranges when `skip_ranges` says so.
    """
    if first > last:
        return
    exclude = sorted((*exclude, *_exclusive_from_outside(prefix)))
    # Of the prefixes around a region alone: their number is limited by the lengths that there are.
    ranges_of = lru_cache(IPV6_BITS)(partial(_ranges, prefix.ip_version, skip_ranges))
    addresses_of = lru_cache(IPV6_BITS)(partial(taken, prefix.ip_version))
    for begin, until in growing(first, last, WINDOW, WINDOW_GROWTH):
        for start, end, owners in regions(prefix, begin, until):
            ranges = (ranges_of(owner).between(start, end, until) for owner in owners)
            for low, high in gaps(start, end, merged(exclude, *ranges)):
                yield from gaps(low, high, addresses_of(owners[-1]).between(low, high, until))


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
        self._limit = PAGE
        rows = self._read(self._around(first, prefix.prefix_length), self._page(first, 0))
        #: The children around `first` that begin before it, outermost first.
        self.around_first = sorted((row for row in rows if row.first < first), key=lambda row: row.length)
        self._rows = deque()
        self._take_page(sorted((row for row in rows if row.first >= first), key=lambda row: (row.first, row.length)))

    def _around(self, address, parent_length):
        networks = possible_networks(address, self._version, parent_length)
        condition = f"network IN ({', '.join(['%s'] * len(networks))}) AND network < %s AND broadcast >= %s"
        begin = _packed(address, self._version)
        return condition, [*(_packed(network, self._version) for network in networks), begin, begin]

    def _page(self, network, length):
        condition = (
            "network >= %s AND network <= %s AND (network > %s OR prefix_length > %s)"
            " ORDER BY network, prefix_length LIMIT %s"
        )
        begin = _packed(network, self._version)
        return condition, [begin, self._last, begin, length, self._limit]

    def _take_page(self, rows):
        self._rows.extend(rows)
        self._after = (rows[-1].first, rows[-1].length) if len(rows) == self._limit else None
        self._limit = min(self._limit * 4, PAGE_MAX)

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


class _Pages:
    """Ordered intervals of one prefix, read page by page, and asked for one part of the prefix after the other.

    `read(address, until, limit)` returns the intervals that reach behind `address` and begin by `until`, and where to
    read on: behind `until` where there are no more of them.
    """

    def __init__(self, read):
        self._read = read
        self._limit = PAGE
        self._rows = deque()
        self._next = 0

    def between(self, first, last, until):
        """Those that reach into `first`..`last`; may read ahead until `until`.

        Each part that is asked for begins behind the one before.
        """
        while True:
            while self._rows and self._rows[0][1] < first:
                self._rows.popleft()
            if self._rows:
                start, end = self._rows[0]
                if start > last:
                    return
                yield start, end
                first = end + 1
                if end >= last:
                    return  # perhaps it reaches into the next part, too
            elif self._next > last:
                return
            else:
                rows, self._next = self._read(max(self._next, first), until, self._limit)
                self._rows.extend(rows)
                self._limit = min(self._limit * 4, PAGE_MAX)


def _ranges(ip_version, block_all, parent_id):
    """The IP address ranges of one prefix as ordered intervals.

    A range that does not block is told as an empty interval `(start, start - 1)`: it takes nothing away, but lets a
    search stop there instead of reading on until a range that blocks.
    """

    def read(address, until, limit):
        page = _read_ranges([parent_id], ip_version, (address, until), limit)
        intervals = [(start, end if block_all or is_exclusive else start - 1) for start, end, is_exclusive in page]
        is_full = sum(start >= address for start, _ in intervals) == limit
        return intervals, intervals[-1][0] + 1 if is_full else until + 1

    return _Pages(read)


def _read_ranges(parent_ids, ip_version, interval, limit, condition="TRUE", *parameters):
    """The IP address ranges of each of these prefixes that begin in the interval, at most `limit`, and the last before.

    The ranges of one prefix never overlap: of those that begin before the interval, the last alone can reach into it.
    """
    columns = "SELECT start_host, end_host, is_exclusive"
    of_parent = "FROM ipam_ipaddressrange WHERE parent_id = %s AND ip_version = %s AND"
    # Two plain looks into an index: no planner has to guess where the second one begins, and the first one does not
    # read on downwards for a range that `condition` admits.
    sql = (
        f"({columns} FROM (SELECT * {of_parent} start_host < %s ORDER BY start_host DESC LIMIT 1) AS before_it"
        f" WHERE {condition}) UNION ALL"
        f" ({columns} {of_parent} start_host >= %s AND start_host <= %s AND {condition} ORDER BY start_host LIMIT %s)"
    )
    begin, end = (_packed(address, ip_version) for address in interval)
    values = []
    for id_ in parent_ids:
        values += [id_, ip_version, begin, *parameters, id_, ip_version, begin, end, *parameters, limit]
    rows = _rows(" UNION ALL ".join([sql] * len(parent_ids)), values)
    return sorted((_number(start_host), _number(end_host), is_exclusive) for start_host, end_host, is_exclusive in rows)


def _exclusive_from_outside(prefix):
    """The exclusive ranges that hang on a prefix around this one and reach into it, as intervals.

    A prefix may be made across a range's end; core forbids addresses there all the same.
    """
    if prefix.parent_id is None:
        return []
    inside = span(prefix)
    outside = [id_ for id_, length, _ in prefixes_around(prefix, inside[0]) if length < prefix.prefix_length]
    if not outside:
        return []
    ranges = _read_ranges(outside, prefix.ip_version, inside, PAGE, "is_exclusive")
    return [(start, end) for start, end, _ in ranges]


def taken(ip_version, parent_id):
    """The addresses that hang on one prefix as ordered intervals."""
    sql = "SELECT host FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s ORDER BY host LIMIT %s"
    dense = False

    def read(address, until, limit):
        nonlocal dense
        if dense and (dense_end := _dense_until(parent_id, ip_version, address, until)) >= address:
            dense = dense_end == until  # a stretch that ends with the window may well go on
            return [(address, dense_end)], dense_end + 1
        begin, end = (_packed(at, ip_version) for at in (address, until))
        page = [_number(host) for (host,) in _rows(sql, [parent_id, begin, end, limit])]
        dense = len(page) == limit and page[-1] - page[0] == limit - 1
        return list(runs(page)), page[-1] + 1 if len(page) == limit else until + 1

    return _Pages(read)


def _dense_until(parent_id, ip_version, first, last):
    """The end of a stretch from `first` on in which every address is taken; `first - 1` where there is none.

    The database counts in index order, in growing and then shrinking steps: crossing a million addresses takes some
    twenty queries and no memory. The stretch may end sooner than it could by less than a page.
    """
    at, step, growing_steps = first, DENSE_STEP, True
    while at <= last and step >= PAGE:
        size = min(step, last - at + 1)
        if _count(parent_id, ip_version, at, at + size - 1) == size:
            at += size
            if growing_steps:
                step = min(step * 4, DENSE_STEP_MAX)
        else:
            growing_steps = False
            step = size // 4
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


def is_sdn_subnet(prefix) -> bool:
    """Whether any PVE has a subnet on this prefix."""
    return bool(_rows("SELECT 1 FROM nautobot_pve_ipam_sdnsubnet WHERE prefix_id = %s LIMIT 1", [_id(prefix.pk)]))


def is_known_mac(mac) -> bool:
    """Whether any address anywhere is held for that MAC, in the spelling in which it is stored."""
    return bool(_rows("SELECT 1 FROM nautobot_pve_ipam_allocation WHERE mac = %s LIMIT 1", [mac]))


def is_closed(prefix, host) -> bool:
    """Whether core would refuse `host` (integer) in the prefix's namespace: it is there, or in an exclusive range."""
    address = to_text(host, prefix.ip_version)
    there = IPAddress.objects.filter(parent__namespace_id=prefix.namespace_id, host=address)
    exclusive = IPAddressRange.objects.filter(
        parent__namespace_id=prefix.namespace_id,
        ip_version=prefix.ip_version,
        is_exclusive=True,
        start_host__lte=address,
        end_host__gte=address,
    )
    return there.exists() or exclusive.exists()


def prefixes_around(prefix, host):
    """The prefixes around `host` (integer) in the namespace of `prefix`.

    For each `(id as the database has it, length, whether it is in a VRF)`.
    """
    version = prefix.ip_version
    networks = possible_networks(host, version)
    sql = "SELECT id, prefix_length, EXISTS (SELECT 1 FROM ipam_vrfprefixassignment WHERE prefix_id = ipam_prefix.id)"
    sql += " FROM ipam_prefix WHERE namespace_id = %s AND ip_version = %s"
    sql += f" AND network IN ({', '.join(['%s'] * len(networks))}) AND broadcast >= %s"
    packed = (_packed(address, version) for address in (*networks, host))
    return _rows(sql, [_id(prefix.namespace_id), version, *packed])


def dhcp_intervals(parent_ids, ip_version, first, last) -> list[Interval]:
    """The IP address ranges with role DHCP that reach into `first`..`last`: what is there is handed out by DHCP.

    `parent_ids` as `prefixes_around` tells them.
    """
    is_dhcp = "role_id = (SELECT id FROM extras_role WHERE name = %s)"
    limit = last - first + 2  # each holds an address, and one may end before
    ranges = _read_ranges(parent_ids, ip_version, (first, last), limit, is_dhcp, DHCP_ROLE)
    return [(start, end) for start, end, _ in ranges]


def possible_networks(address, ip_version, longer_than=-1):
    """The network addresses of all prefixes longer than that which could hold `address`; never none.

    To be looked up one by one: `network <= .. AND broadcast >= ..` would read every prefix that lies before it.
    """
    bits = IPV4_BITS if ip_version == 4 else IPV6_BITS
    return {address >> (bits - length) << (bits - length) for length in range(longer_than + 1, bits + 1)} or {address}
