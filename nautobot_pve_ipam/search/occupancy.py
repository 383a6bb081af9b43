"""What is taken in a prefix, as ordered intervals. Reads through tables.py only; imports intervals.py besides.

Three layers, each lazy and read page by page in index order, so that a search stops at the first gap: the regions that
belong to the prefix itself (without child networks), what remains of them without IP address ranges and excluded
intervals, and what remains of that without addresses.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from uuid import UUID

from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddressRange, Prefix

from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.search.intervals import IPV6_BITS, Interval, gaps, growing, merged, runs, to_int, usable
from nautobot_pve_ipam.search.tables import ChildRow, DatabaseID

#: A search looks at this many addresses first, which is usually enough, and then at ever larger windows. Within one, no
#: query reads many rows, even if the planner picks an index in which the hosts of all namespaces are interleaved.
WINDOW = 256
WINDOW_GROWTH = 16
#: Rows of the first page: enough for a sparse prefix to need only one, few enough to be cheap...
PAGE = 64
#: ... and the maximum for later pages, each four times larger than the one before.
PAGE_MAX = 1024
#: After a page without a gap, assume a dense stretch and let the database count this many addresses at once...
DENSE_STEP = 1024
#: ... and at most this many.
DENSE_STEP_MAX = 262144


def span(prefix: Prefix) -> Interval:
    """First and last address of a prefix, network and broadcast address included."""
    return to_int(prefix.network), to_int(prefix.broadcast)


def range_span(ip_address_range: IPAddressRange) -> Interval:
    """First and last address of an IP address range."""
    return to_int(ip_address_range.start_host), to_int(ip_address_range.end_host)


def territory_id(prefix: Prefix) -> DatabaseID:
    """The ID of the prefix whose subnet `prefix` belongs to, as stored by the database: of `prefix` itself or, for a
    pool, of the first network or container around it.
    """
    while prefix.type == PrefixTypeChoices.TYPE_POOL and prefix.parent is not None:
        prefix = prefix.parent
    return tables.database_id(prefix.pk)


def homes(namespace_id: UUID, ip_version: int, host: int, length: int) -> list[DatabaseID]:
    """The IDs of the prefixes whose subnet an address belongs to, by its value: core sometimes leaves it on another
    parent. These are the closest prefix around it and, as far as that is a pool, those around that; see `territory_id`.

    An address has the length of the prefix that it was handed out in. So a longer network was made over it later: it
    stays its prefix's, unless a PVE has made that network a subnet.
    """
    around = sorted(tables.prefixes_around(namespace_id, ip_version, host), key=lambda row: row.length)
    found = []
    while around:
        row = around.pop()
        found.append(row.id)
        if row.type != PrefixTypeChoices.TYPE_POOL and (row.length <= length or tables.is_sdn_subnet(row.id)):
            break
    return found


def usable_span(prefix: Prefix, *, by_core: bool = False) -> Interval:
    """First and last address of a prefix that hosts may use. Core hands out the first one of an IPv6 prefix, too."""
    if by_core and prefix.ip_version == 6:
        return span(prefix)
    return usable(
        *span(prefix),
        prefix_length=prefix.prefix_length,
        ip_version=prefix.ip_version,
        is_pool=prefix.type == PrefixTypeChoices.TYPE_POOL,
    )


def free_intervals(
    prefix: Prefix,
    first: int,
    last: int,
    *,
    exclude: Iterable[Interval] = (),
    skip_ranges: bool,
    into_networks: bool = False,
    guarded: bool = False,
) -> Iterator[Interval]:
    """The free intervals of `prefix` between `first` and `last` inclusive, ascending and lazy. None of them lies on
    both sides of a child prefix's end.

    `exclude` are ordered intervals to leave out. Gateways and ranges marked exclusive are always left out, other IP
    address ranges only if `skip_ranges` is set or, for the DHCP ranges of PVE's subnets, `guarded`; child networks
    unless `into_networks` is set. Addresses count wherever Nautobot has left them: on the prefix, on a pool in it, or
    on a prefix around it. Those on a prefix that does not even contain them need `tables.hosts_in_use`.
    """
    if first > last:
        return
    outside = _outside(prefix)
    exclude = sorted((*exclude, *_closed_from_outside(prefix, outside, guarded)))
    # The cache only needs the prefixes around one region: at most one per prefix length.
    ranges_of = lru_cache(IPV6_BITS)(partial(_ranges, prefix.ip_version, skip_ranges, guarded))
    addresses_of = lru_cache(IPV6_BITS)(lambda owners: taken(prefix.ip_version, (*outside, *owners)))
    for begin, until in growing(first, last, WINDOW, WINDOW_GROWTH):
        for start, end, owners in regions(prefix, begin, until, into_networks=into_networks):
            ranges = [ranges_of(owner).between(start, end, until) for owner in owners]
            for low, high in gaps(start, end, merged(*ranges, *([exclude] if exclude else []))):
                yield from gaps(low, high, addresses_of(owners).between(low, high, until))


def regions(
    prefix: Prefix, first: int, last: int, *, into_networks: bool = False
) -> Iterator[tuple[int, int, tuple[DatabaseID, ...]]]:
    """The parts of `first`..`last` that belong to `prefix` itself: `(start, end, IDs of owning prefixes)`, ascending.

    Child networks and containers are separate subnets and left out, unless `into_networks` is set. A child pool belongs
    to its parent's subnet, but the pool is the parent of its addresses: the owners are `prefix` and the child prefixes
    around the region, outermost first.
    """
    children = _Children(prefix, first, last)
    around = children.around_first
    own = (tables.database_id(prefix.pk),)
    at = first
    while at <= last:
        if around:
            around = [child for child in around if child.last >= at]
        while (child := children.peek()) and child.first == at:
            around.append(children.pop())
        blocker = next((child for child in around if child.type != PrefixTypeChoices.TYPE_POOL), None)
        if blocker and not into_networks:
            at = blocker.last + 1
            children.seek(at)
            continue
        end = min(last, around[-1].last) if around else last
        if child:
            end = min(end, child.first - 1)
        yield at, end, own + tuple(child.id for child in around)
        at = end + 1


class _Children:
    """The prefixes inside another, ordered by network and then by size, largest first; read page by page."""

    def __init__(self, prefix: Prefix, first: int, last: int) -> None:
        self._table = tables.Children(prefix.namespace_id, prefix.ip_version, prefix.prefix_length)
        self._last = last
        #: The next page starts after this network and length; None if there is none.
        self._after: tuple[int, int] | None = None
        self._limit = PAGE
        self._rows: deque[ChildRow] = deque()
        around, rows = self._table.around_and_from(first, last, self._limit)
        #: The children around `first` that start before it, outermost first.
        self.around_first = sorted(around, key=lambda row: row.length)
        self._take_page(rows)

    def _take_page(self, rows: list[ChildRow]) -> None:
        self._rows.extend(rows)
        self._after = (rows[-1].first, rows[-1].length) if len(rows) == self._limit else None
        self._limit = min(self._limit * 4, PAGE_MAX)

    def peek(self) -> ChildRow | None:
        if not self._rows and self._after is not None:
            self._take_page(self._table.page(self._last, self._after, self._limit))
        return self._rows[0] if self._rows else None

    def pop(self) -> ChildRow:
        return self._rows.popleft()

    def seek(self, address: int) -> None:
        """Skip all children that start before `address`, including those not read yet."""
        while self._rows and self._rows[0].first < address:
            self._rows.popleft()
        if self._after is not None:
            self._after = max(self._after, (address, 0))


class _Pages:
    """Ordered intervals of one prefix, read page by page and requested part by part, in ascending order.

    `read(address, until, limit)` returns the intervals that end at or after `address` and start no later than `until`,
    and where to continue reading: after `until` if there are no more.
    """

    def __init__(self, read: Callable[[int, int, int], tuple[list[Interval], int]]) -> None:
        self._read = read
        self._limit = PAGE
        self._rows: deque[Interval] = deque()
        self._next = 0

    def between(self, first: int, last: int, until: int) -> Iterator[Interval]:
        """The intervals that overlap `first`..`last`; may read ahead up to `until`.

        Each requested part must start after the previous one.
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
                    return  # keep it: it may overlap the next part, too
            elif self._next > last:
                return
            else:
                rows, self._next = self._read(max(self._next, first), until, self._limit)
                self._rows.extend(rows)
                self._limit = min(self._limit * 4, PAGE_MAX)


def _ranges(ip_version: int, block_all: bool, guarded: bool, parent_id: DatabaseID) -> _Pages:
    """The IP address ranges and gateways of one prefix as ordered intervals.

    A range that does not block is represented as an empty interval `(start, start - 1)`: it takes nothing away, but
    lets a search stop there instead of reading on to the next range that blocks.
    """

    def read(address: int, until: int, limit: int) -> tuple[list[Interval], int]:
        rows = tables.read_ranges([parent_id], ip_version, (address, until), limit, guarded=guarded)
        page = rows[: sum(row.start < address for row in rows) + limit]  # there may be more gateways than fit
        intervals = [(start, end if block_all or is_closed else start - 1) for start, end, is_closed in page]
        is_full = sum(start >= address for start, _ in intervals) == limit
        return intervals, intervals[-1][0] + 1 if is_full else until + 1

    return _Pages(read)


def _outside(prefix: Prefix) -> list[DatabaseID]:
    """The IDs of the prefixes around this one."""
    if prefix.parent_id is None:
        return []
    around = tables.prefixes_around(prefix.namespace_id, prefix.ip_version, to_int(prefix.network))
    return [row.id for row in around if row.length < prefix.prefix_length]


def _closed_from_outside(prefix: Prefix, outside: list[DatabaseID], guarded: bool) -> list[Interval]:
    """The exclusive, or guarded, ranges and gateways of enclosing prefixes that overlap this prefix, as intervals.

    A prefix may be created across the end of a range; core still forbids addresses there.
    """
    if not outside:
        return []
    ranges = tables.read_ranges(outside, prefix.ip_version, span(prefix), PAGE, guarded=guarded, only_closed=True)
    return [(row.start, row.end) for row in ranges]


def taken(ip_version: int, parent_ids: tuple[DatabaseID, ...]) -> _Pages:
    """The addresses whose parent is one of these prefixes, the last of which has nearly all, as ordered intervals."""
    dense = False

    def read(address: int, until: int, limit: int) -> tuple[list[Interval], int]:
        nonlocal dense
        if dense and (dense_end := _dense_until(parent_ids[-1], ip_version, address, until)) >= address:
            dense = dense_end == until  # a stretch that ends with the window may continue
            return [(address, dense_end)], dense_end + 1
        page = tables.read_hosts(parent_ids, ip_version, address, until, limit)
        dense = len(page) == limit and page[-1] - page[0] == limit - 1
        return list(runs(page)), page[-1] + 1 if len(page) == limit else until + 1

    return _Pages(read)


def _dense_until(parent_id: DatabaseID, ip_version: int, first: int, last: int) -> int:
    """The end of the stretch starting at `first` in which every address is taken; `first - 1` if there is none.

    The database counts in index order, in growing and then shrinking steps: crossing a million addresses takes about
    ten queries and no memory. The result may fall short of the real end by less than a page.
    """
    at, step, growing_steps = first, DENSE_STEP, True
    while at <= last and step >= PAGE:
        end = min(last, at + step - 1)
        count = tables.count_hosts(parent_id, ip_version, at, end)
        if at + count > end:
            at = end + 1
            if growing_steps:
                step = min(step * 4, DENSE_STEP_MAX)
        elif not tables.read_hosts([parent_id], ip_version, at + count, end, 1):
            return at + count - 1  # all that were counted are before it, without a gap
        else:
            growing_steps = False
            step = (end - at + 1) // 4
    return at - 1


def dhcp_intervals(parent_ids: list[DatabaseID], ip_version: int, first: int, last: int, role: str) -> list[Interval]:
    """The IP address ranges of this role that overlap `first`..`last`: addresses in them have type DHCP."""
    return tables.read_ranges_with_role(parent_ids, ip_version, first, last, role)
