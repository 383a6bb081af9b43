"""Interval arithmetic for the search: bounds and ordered occupied intervals in, free intervals out.

Pure: addresses are integers, an interval is an inclusive pair `(first, last)`. Everything is lazy: `occupied` is read
only as far as the caller consumes the result, so the cost depends on the part looked at.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import netaddr

Interval = tuple[int, int]

IPV4_BITS = 32
IPV6_BITS = 128


def to_text(address: int, ip_version: int) -> str:
    """An address as text; IPv6 in the canonical form defined by RFC 5952."""
    return str(netaddr.IPAddress(address, ip_version))


def to_int(host: str) -> int:
    """A host, as read from a `VarbinaryIPField`, as an integer."""
    return int(netaddr.IPAddress(host))


def usable(first: int, last: int, *, prefix_length: int, ip_version: int, is_pool: bool) -> Interval:
    """The part of a prefix `first`..`last` that hosts may use.

    IPv4 prefixes shorter than /31 lose the network and broadcast address (RFC 1122, RFC 3021), IPv6
    prefixes shorter than /127 the subnet-router anycast address (RFC 4291 2.6.1, RFC 6164). Pools are fully usable.
    """
    if is_pool:
        return first, last
    if ip_version == 4:
        return (first + 1, last - 1) if prefix_length < IPV4_BITS - 1 else (first, last)
    return (first + 1, last) if prefix_length < IPV6_BITS - 1 else (first, last)


def gaps(first: int, last: int, occupied: Iterable[Interval]) -> Iterator[Interval]:
    """The intervals of `first`..`last` that no occupied interval covers, ascending.

    `occupied` is ordered by start; its intervals may overlap, nest and lie outside the bounds. It is not read beyond
    the first interval that starts after `last`.
    """
    at = first
    for start, end in occupied:
        if at > last or start > last:
            break
        if start > at:
            yield at, start - 1
        at = max(at, end + 1)
    if at <= last:
        yield at, last


def growing(first: int, last: int, size: int, factor: int) -> Iterator[Interval]:
    """Split `first`..`last` into parts: the first has `size` addresses, each further one is `factor` times larger."""
    while first <= last:
        yield first, min(last, first + size - 1)
        first, size = first + size, size * factor


def runs(hosts: Iterable[int]) -> Iterator[Interval]:
    """Group ascending distinct addresses into intervals: 1, 2, 3, 7 -> (1, 3), (7, 7)."""
    start = end = None
    for host in hosts:
        if start is None or end is None:
            start = end = host
        elif host == end + 1:
            end = host
        else:
            yield start, end
            start = end = host
    if start is not None and end is not None:
        yield start, end


def merged(*ordered: Iterable[Interval]) -> Iterator[Interval]:
    """Merge several ordered streams of intervals into one."""
    return iter(ordered[0]) if len(ordered) == 1 else heapq.merge(*ordered)


def skipping(free: Iterable[Interval], offset: int) -> Iterator[Interval]:
    """`free` without its first `offset` addresses; whole intervals are skipped in one step."""
    for start, end in free:
        size = end - start + 1
        if offset >= size:
            offset -= size
            continue
        yield start + offset, end
        offset = 0


def addresses(free: Iterable[Interval]) -> Iterator[int]:
    """Each address of the intervals, lazily."""
    for start, end in free:
        yield from range(start, end + 1)
