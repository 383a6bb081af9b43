"""Search: where in a prefix to look for free addresses, and in which order they are found.

This module defines the meaning of bounds, offset and exclude. May import the rest of this room and models.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import netaddr
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.errors import InvalidRequest, quoted
from nautobot_pve_ipam.search.cursors import Cursor
from nautobot_pve_ipam.search.intervals import Interval, addresses, skipping, to_text
from nautobot_pve_ipam.search.occupancy import free_intervals, span, usable_span
from nautobot_pve_ipam.search.tables import hosts_in_use


@dataclass(frozen=True)
class Search:
    """Where to look for free addresses of a prefix.

    `bounds`: inclusive intervals within the prefix, searched in this order; if empty, the whole prefix except its IP
    address ranges. `exclude`: intervals to leave out. `offset`: free addresses to skip first, 0 or more.

    `by_core`: by the rule of Nautobot's own `available-ips`, to which child networks and IP address ranges that are not
    exclusive are as good as any other part of the prefix, and so is the first address of an IPv6 prefix.
    `guarded`: except the DHCP ranges of PVE's subnets.
    """

    prefix: Prefix
    bounds: tuple[Interval, ...] = ()
    exclude: tuple[Interval, ...] = ()
    offset: int = 0
    by_core: bool = False
    guarded: bool = False

    def free(self) -> Iterator[Interval]:
        """The free intervals, in the order in which addresses are to be handed out; lazy.

        They may contain addresses that Nautobot has left on a prefix that does not contain them; see `first`.
        """
        return skipping(self._free(), self.offset)

    def first(self, count: int) -> list[int]:
        """The first `count` free addresses, or all if there are fewer; those that exist on any parent are left out."""
        free, found = addresses(self.free()), list[int]()
        while batch := list(islice(free, count - len(found))):
            in_use = hosts_in_use(self.prefix, batch)
            found += [host for host in batch if host not in in_use]
        return found

    def _free(self) -> Iterator[Interval]:
        first, last = usable_span(self.prefix, by_core=self.by_core)
        searched: list[Interval] = []
        for start, end in self.bounds or ((first, last),):
            # An address within two of the bounds counts once, where it comes first.
            yield from self._free_between(max(first, start), min(last, end), (*self.exclude, *searched))
            searched.append((start, end))

    def _free_between(self, first: int, last: int, exclude: tuple[Interval, ...]) -> Iterator[Interval]:
        """Search from the cursor up and then, in case the cursor is too high, below it."""
        if first > last:
            return
        skip_ranges, guarded = not self.bounds and not self.by_core, self.guarded
        find = partial(
            free_intervals, self.prefix, skip_ranges=skip_ranges, into_networks=self.by_core, guarded=guarded
        )
        cursor = Cursor(self.prefix.pk, first, last, skip_ranges=skip_ranges, by_core=self.by_core, guarded=guarded)
        above = find(cursor.position, last)
        if lowest := next(above, None):
            cursor.advance(lowest[0])
            if any(start <= last and end >= lowest[0] for start, end in exclude):
                # Excluded addresses are not taken: the cursor stays below them while this search goes on above.
                yield from find(lowest[0], last, exclude=exclude)
            else:
                yield lowest
                yield from above
        yield from find(first, cursor.position - 1, exclude=exclude)

    def __str__(self) -> str:
        prefix, version = self.prefix, self.prefix.ip_version
        where = ", ".join(f"{to_text(start, version)}-{to_text(end, version)}" for start, end in self.bounds)
        return f"{where} of {prefix.prefix}" if where else str(prefix.prefix)


def check_family(name: str, address: netaddr.IPAddress, network: netaddr.IPNetwork) -> None:
    """Raise InvalidRequest if the address in the field `name` is not of the family of the network."""
    if address.version != network.version:
        raise InvalidRequest(
            f"{name} {address} is IPv{address.version}, {network.cidr} is IPv{network.version}", field=name
        )


def build_search(
    prefix: Prefix,
    *,
    range_start: netaddr.IPAddress | None = None,
    range_end: netaddr.IPAddress | None = None,
    ranges: Sequence[tuple[netaddr.IPAddress, netaddr.IPAddress]] | None = None,
    offset: int = 0,
    exclude: Iterable[tuple[int, int, int]] = (),
    within: Interval | None = None,
    by_core: bool = False,
) -> Search:
    """Build the search in `prefix` for these bounds, which must lie in `within` (an interval) if given.

    `range_start` and `range_end` are inclusive and optional; `ranges` replaces both.
    `exclude`: `(IP version, first, last)`; those of the other family are ignored.
    Raises InvalidRequest for bounds that are reversed, outside or of the other family, or an offset beyond the prefix.
    """
    first, last = within or span(prefix)
    version = prefix.ip_version

    def inside(name: str, address: netaddr.IPAddress) -> int:
        check_family(name, address, prefix.prefix)
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
        raise InvalidRequest("ranges cannot be combined with range_start or range_end", field="ranges")
    if ranges is not None:
        if not ranges:
            raise InvalidRequest("ranges [] is empty: give at least one range or omit it", field="ranges")
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
    return Search(prefix, tuple(wanted), tuple(excluded), offset, by_core)
