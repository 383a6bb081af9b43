"""The address map: what each address of a prefix is, or how full its blocks are, in a constant number of queries.

IPv4 networks of /24 and longer are shown address by address, larger ones as blocks of equal size that open into
smaller blocks and in the end into addresses. Of an IPv6 network only the neighbourhoods (/120) that hold addresses or
the start of a range are shown.

A user sees that an address is in use, but who uses it only where Nautobot lets that user view it.
"""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode

import netaddr
from django.urls import reverse
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.address_cells import IN_USE, KINDS, Section, sections
from nautobot_pve_ipam.address_reads import GROUPS_MAX, Reads, network_at
from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.free_addresses import IPV4_BITS, IPV6_BITS

#: The shortest networks that are shown address by address: 256 cells.
CELLS_LENGTH = {4: 24, 6: 120}
#: A map has at most this many blocks.
BLOCKS = 256
#: So many IPv6 neighbourhoods are opened at once instead of being shown as blocks.
OPEN_NEIGHBOURHOODS = 4
#: Networks that contain one of 256 blocks, or are one, are at most 511.
CHILDREN_MAX = 512


@dataclass(frozen=True)
class Block:
    """A network shown as one block; `notes` tell of child prefixes and DHCP ranges in it."""

    network: str
    used: int
    size: int
    notes: tuple[str, ...]
    href: str

    @property
    def percent(self) -> int:
        """How full it is: 0 to 100, rounded down, but never 0 where something is in use."""
        return max(self.used * 100 // self.size, 1 if self.used else 0)

    @property
    def level(self) -> int:
        """The shade: 0 (empty) to 5 (full)."""
        return 1 + self.used * 4 // self.size if self.used else 0


@dataclass(frozen=True)
class AddressMap:
    """What is shown of `network`: sections of cells, or blocks.

    `path`: name and link of each larger network on the way here. `legend`: kind, label and number of the cells of each
    kind. `is_part`: only neighbourhoods in use are shown; `is_cut`: and not even all of those.
    """

    network: str
    path: list[tuple[str, str]]
    sections: list[Section]
    blocks: list[Block]
    is_part: bool = False
    is_cut: bool = False

    @property
    def legend(self) -> list[tuple[str, str, int]]:
        kinds = self._kinds()
        return [(kind, label, kinds[kind]) for kind, label in KINDS.items() if kinds[kind]]

    @property
    def used(self) -> int:
        """How many of the addresses shown are in use."""
        kinds = self._kinds()
        return sum(kinds[kind] for kind in IN_USE) + sum(block.used for block in self.blocks)

    def _kinds(self):
        return Counter(cell.kind for section in self.sections for cell in section.cells)


def build(prefix: Prefix, user, *, block: str | None = None, allocate_url: str | None = None) -> AddressMap:
    """The map of `prefix`, or of one of its blocks (a CIDR), as `user` may see it.

    `allocate_url`: page on which a free address can be allocated; None where the user may not. Raises InvalidRequest
    for a block that is no network within the prefix.
    """
    network = _opened(prefix, block) if block else prefix.prefix.cidr
    path = [(str(step), _href(prefix, step)) for step in _path(prefix, network)]
    if network.prefixlen >= CELLS_LENGTH[network.version]:
        return AddressMap(str(network), path, sections(prefix, [network], user, allocate_url), [])
    reads = Reads(prefix)
    if network.version == 4:
        length = min(network.prefixlen + 8, CELLS_LENGTH[4])
        used = reads.counts(reads.addresses([network]), "host", length)
        return AddressMap(str(network), path, [], _blocks(prefix, user, network, network.subnet(length), used))
    starts, used, is_cut = _neighbourhoods(reads, network)
    if len(starts) <= OPEN_NEIGHBOURHOODS:
        shown = [network_at(start, CELLS_LENGTH[6], 6) for start in starts]
        return AddressMap(str(network), path, sections(prefix, shown, user, allocate_url), [], is_part=True)
    shown = _common_blocks(starts)
    return AddressMap(str(network), path, [], _blocks(prefix, user, network, shown, used), is_part=True, is_cut=is_cut)


def _opened(prefix, block):
    try:
        network = netaddr.IPNetwork(block)
    except (netaddr.AddrFormatError, ValueError) as error:
        raise InvalidRequest(f"block '{block}' is no network", field="block") from error
    if network.ip != network.network or network not in prefix.prefix:
        raise InvalidRequest(f"block {block} is no network within {prefix.prefix}", field="block")
    return network


def _path(prefix, network):
    """The prefix and the blocks that are opened on the way to `network`, without itself."""
    lengths = [prefix.prefix_length]
    if network.version == 4:
        lengths += range(prefix.prefix_length + 8, CELLS_LENGTH[4], 8)
        lengths.append(CELLS_LENGTH[4])
    return [network_at(network.first, length, network.version) for length in lengths if length < network.prefixlen]


def _href(prefix, network):
    url = reverse("plugins:nautobot_pve_ipam:prefix_address_map", kwargs={"pk": prefix.pk})
    return url if network == prefix.prefix.cidr else f"{url}?{urlencode({'block': network})}"


def _neighbourhoods(reads, network):
    """First addresses of the /120 networks that hold addresses or a range's start, the number of addresses in each,
    and whether some were left out. An empty network has its first one.
    """
    length = CELLS_LENGTH[6]
    used = reads.counts(reads.addresses([network]), "host", length)
    ranges = reads.counts(reads.ranges([network]), "start_host", length)
    starts = sorted(start for start in {*used, *ranges} if start >= network.first) or [network.first]
    return starts, used, max(len(used), len(ranges)) == GROUPS_MAX


def _common_blocks(starts):
    """The networks around the addresses, of the longest length at which they are no more than BLOCKS."""
    length = CELLS_LENGTH[6]
    while len({start >> (IPV6_BITS - length) for start in starts}) > BLOCKS:
        length -= 4
    shift = IPV6_BITS - length
    return [network_at(start, length, 6) for start in sorted({start >> shift << shift for start in starts})]


def _blocks(prefix, user, network, networks, used):
    """The networks, all of one length, as blocks; three queries."""
    reads, networks = Reads(prefix), list(networks)
    length = networks[0].prefixlen
    shift = (IPV6_BITS if network.version == 6 else IPV4_BITS) - length
    counts = Counter()
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
        Block(str(block), counts[block.first], block.size, tuple(notes(block)), _href(prefix, block))
        for block in networks
    ]
