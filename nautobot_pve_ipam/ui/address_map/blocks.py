"""Large networks shown as blocks, with the usage and contents of each. Reads through reads.py."""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode

import netaddr
from django.urls import reverse
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.search.intervals import IPV4_BITS, IPV6_BITS
from nautobot_pve_ipam.ui.address_map.reads import GROUPS_MAX, Reads, network_at

#: Shortest prefix length shown address by address, as 256 cells.
CELLS_LENGTH = {4: 24, 6: 120}
#: A map has at most this many blocks.
BLOCKS = 256
#: At most 511 networks contain, or are, one of 256 blocks.
CHILDREN_MAX = 512


@dataclass(frozen=True)
class Block:
    """A network shown as one block; `notes` mention child prefixes and DHCP ranges in it."""

    network: str
    used: int
    size: int
    notes: tuple[str, ...]
    href: str

    @property
    def percent(self) -> int:
        """Percentage in use, rounded down, but at least 1 if anything is in use."""
        return max(self.used * 100 // self.size, 1 if self.used else 0)

    @property
    def level(self) -> int:
        """The shade: 0 (empty) to 5 (full)."""
        return 1 + self.used * 4 // self.size if self.used else 0


def blocks(prefix: Prefix, user, network: netaddr.IPNetwork, networks, used: dict[int, int]) -> list[Block]:
    """The blocks for networks of equal length; three queries."""
    reads, networks = Reads(prefix), list(networks)
    length = networks[0].prefixlen
    shift = (IPV6_BITS if network.version == 6 else IPV4_BITS) - length
    counts: Counter[int] = Counter()
    for start, count in used.items():
        counts[start >> shift << shift] += count
    children = reads.children([network]).restrict(user, "view")
    around = [
        netaddr.IPNetwork(f"{host}/{size}")
        for host, size in children.filter(prefix_length__lte=length)
        .exclude(type=PrefixTypeChoices.TYPE_POOL)
        .values_list("network", "prefix_length")[:CHILDREN_MAX]
    ]
    inside = reads.counts(children.filter(prefix_length__gt=length), "network", length)
    dhcp = reads.dhcp_spans(network, length)

    def notes(block):
        yield from [f"in child prefix {child}" for child in around if block in child][-1:]
        if number := inside.get(block.first):
            yield f"{number} child prefix{'es' if number > 1 else ''}"
        if any(first <= block.first <= last for first, last in dhcp):
            yield "DHCP"

    return [
        Block(str(block), counts[block.first], block.size, tuple(notes(block)), block_url(prefix, block))
        for block in networks
    ]


def neighbourhoods(reads: Reads, network: netaddr.IPNetwork) -> tuple[list[int], dict[int, int], bool]:
    """First addresses of the /120 networks that contain addresses or the start of a range, the number of addresses in
    each, and whether some were left out. For an empty network, its first /120.
    """
    length = CELLS_LENGTH[6]
    used = reads.counts(reads.addresses([network]), "host", length)
    ranges = reads.counts(reads.ranges([network]), "start_host", length)
    starts = sorted(start for start in {*used, *ranges} if start >= network.first) or [network.first]
    return starts, used, max(len(used), len(ranges)) == GROUPS_MAX


def common_networks(starts: list[int]) -> list[netaddr.IPNetwork]:
    """The networks containing the addresses, with the longest prefix length that yields at most BLOCKS of them."""
    length = CELLS_LENGTH[6]
    while len({start >> (IPV6_BITS - length) for start in starts}) > BLOCKS:
        length -= 4
    shift = IPV6_BITS - length
    return [network_at(start, length, 6) for start in sorted({start >> shift << shift for start in starts})]


def block_url(prefix: Prefix, network: netaddr.IPNetwork) -> str:
    """URL of a prefix's map, opened at one of its networks."""
    url = reverse("plugins:nautobot_pve_ipam:prefix_address_map", kwargs={"pk": prefix.pk})
    return url if network == prefix.prefix.cidr else f"{url}?{urlencode({'block': network})}"
