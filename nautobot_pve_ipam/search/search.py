"""Search: where in a prefix the next free addresses are sought, and in which order they are found.

What bounds, offset and exclude mean is decided here. May import the rest of this room and models.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import netaddr
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.errors import InvalidRequest, quoted
from nautobot_pve_ipam.search.cursors import Cursor
from nautobot_pve_ipam.search.intervals import Interval, skipping, to_text
from nautobot_pve_ipam.search.occupancy import free_intervals, span, usable_span


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

    def free(self) -> Iterator[Interval]:
        """The free intervals, in the order in which addresses are to be handed out; lazily."""
        return skipping(self._free(), self.offset)

    def _free(self) -> Iterator[Interval]:
        first, last = usable_span(self.prefix)
        searched: list[Interval] = []
        for start, end in self.bounds or ((first, last),):
            # An address that two bounds share counts once, where it comes first.
            yield from self._free_between(max(first, start), min(last, end), (*self.exclude, *searched))
            searched.append((start, end))

    def _free_between(self, first: int, last: int, exclude: tuple[Interval, ...]) -> Iterator[Interval]:
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

    def __str__(self) -> str:
        prefix, version = self.prefix, self.prefix.ip_version
        where = ", ".join(f"{to_text(start, version)}-{to_text(end, version)}" for start, end in self.bounds)
        return f"{where} of {prefix.prefix}" if where else str(prefix.prefix)


def build_search(
    prefix: Prefix,
    *,
    range_start: netaddr.IPAddress | None = None,
    range_end: netaddr.IPAddress | None = None,
    ranges: Sequence[tuple[netaddr.IPAddress, netaddr.IPAddress]] | None = None,
    offset: int = 0,
    exclude: Iterable[tuple[int, int, int]] = (),
    within: Interval | None = None,
) -> Search:
    """The search that these bounds ask for in `prefix`; `within` (an interval) narrows what they may name.

    `range_start` and `range_end` are inclusive, and each may be missing; `ranges` stands instead of the two.
    `exclude`: `(IP version, first, last)`; those of the other family are ignored.
    Raises InvalidRequest for bounds reversed, of the other family or outside, and for an offset beyond the prefix.
    """
    first, last = within or span(prefix)
    version = prefix.ip_version

    def inside(name: str, address: netaddr.IPAddress) -> int:
        if address.version != version:
            raise InvalidRequest(
                f"{name} {address} is IPv{address.version}, {prefix.prefix} is IPv{version}", field=name
            )
        if not first <= int(address) <= last:
            where = f"{to_text(first, version)}-{to_text(last, version)}" if within else str(prefix.prefix)
            raise InvalidRequest(f"{name} {address} is outside {where}", field=name)
        return int(address)

    def bounds(start_name: str, start: netaddr.IPAddress, end_name: str, end: netaddr.IPAddress) -> Interval:
        low, high = inside(start_name, start), inside(end_name, end)
        if low > high:
            raise InvalidRequest(f"{start_name} {start} is after {end_name} {end}", field=start_name)
        return low, high

    if ranges is not None and (range_start or range_end):
        raise InvalidRequest("ranges excludes range_start and range_end: name one or the other", field="ranges")
    if ranges is not None:
        if not ranges:
            raise InvalidRequest("ranges [] is empty: name at least one range or leave it out", field="ranges")
        wanted = [bounds("ranges start", start, "ranges end", end) for start, end in ranges]
    elif range_start or range_end:
        start = range_start or netaddr.IPAddress(first, version)
        end = range_end or netaddr.IPAddress(last, version)
        wanted = [bounds("range_start", start, "range_end", end)]
    else:
        wanted = [within] if within else []
    if offset >= prefix.prefix.size:
        raise InvalidRequest(
            f"offset {quoted(offset)} is beyond the {prefix.prefix.size} addresses of {prefix.prefix}", field="offset"
        )
    excluded = sorted((low, high) for family, low, high in exclude if family == version)
    return Search(prefix, tuple(wanted), tuple(excluded), offset)
