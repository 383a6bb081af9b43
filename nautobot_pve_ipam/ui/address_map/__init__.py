"""The address map: the state of each address of a prefix, or the usage of its blocks, in a constant number of queries.

IPv4 networks of /24 and longer are shown address by address, larger ones as blocks of equal size that open into
smaller blocks and finally into addresses. Of an IPv6 network, only the neighbourhoods (/120) that contain addresses or
the start of a range are shown.

Users always see that an address is in use, but by whom only if they have permission to view it.
"""

from collections import Counter
from dataclasses import dataclass

import netaddr
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.ui.address_map.blocks import (
    CELLS_LENGTH,
    Block,
    block_url,
    blocks,
    common_networks,
    neighbourhoods,
)
from nautobot_pve_ipam.ui.address_map.cells import IN_USE, KINDS, Section, sections
from nautobot_pve_ipam.ui.address_map.reads import Reads, network_at

#: Up to this many IPv6 neighbourhoods are opened directly instead of being shown as blocks.
OPEN_NEIGHBOURHOODS = 4


@dataclass(frozen=True)
class AddressMap:
    """The map of `network`: sections of cells, or blocks.

    `path`: name and link of each enclosing network on the way here. `legend`: kind, label and number of cells for each
    kind. `is_part`: only neighbourhoods in use are shown; `is_cut`: not even all of those.
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
        """The number of shown addresses that are in use."""
        kinds = self._kinds()
        return sum(kinds[kind] for kind in IN_USE) + sum(block.used for block in self.blocks)

    def _kinds(self):
        return Counter(cell.kind for section in self.sections for cell in section.cells)


def build(prefix: Prefix, user, *, block: str | None = None, allocate_url: str | None = None) -> AddressMap:
    """The map of `prefix`, or of one of its blocks (a CIDR), limited to what `user` may view.

    `allocate_url`: page to allocate a free address, or None if the user may not. Raises InvalidRequest for a block that
    is not a network within the prefix.
    """
    network = _opened(prefix, block) if block else prefix.prefix.cidr
    path = [(str(step), block_url(prefix, step)) for step in _path(prefix, network)]
    if network.prefixlen >= CELLS_LENGTH[network.version]:
        return AddressMap(str(network), path, sections(prefix, [network], user, allocate_url), [])
    reads = Reads(prefix)
    if network.version == 4:
        length = min(network.prefixlen + 8, CELLS_LENGTH[4])
        used = reads.counts(reads.addresses([network]), "host", length)
        return AddressMap(str(network), path, [], blocks(prefix, user, network, network.subnet(length), used))
    starts, used, is_cut = neighbourhoods(reads, network)
    if len(starts) <= OPEN_NEIGHBOURHOODS:
        shown = [network_at(start, CELLS_LENGTH[6], 6) for start in starts]
        return AddressMap(str(network), path, sections(prefix, shown, user, allocate_url), [], is_part=True)
    shown = common_networks(starts)
    return AddressMap(str(network), path, [], blocks(prefix, user, network, shown, used), is_part=True, is_cut=is_cut)


def _opened(prefix, block):
    try:
        network = netaddr.IPNetwork(block)
    except (netaddr.AddrFormatError, ValueError) as error:
        raise InvalidRequest(f"block '{block}' is not a network", field="block") from error
    if network.ip != network.network or network not in prefix.prefix:
        raise InvalidRequest(f"block {block} is not a network within {prefix.prefix}", field="block")
    return network


def _path(prefix, network):
    """The prefix and the blocks opened on the way to `network`, excluding `network` itself."""
    lengths = [prefix.prefix_length]
    if network.version == 4:
        lengths += range(prefix.prefix_length + 8, CELLS_LENGTH[4], 8)
        lengths.append(CELLS_LENGTH[4])
    return [network_at(network.first, length, network.version) for length in lengths if length < network.prefixlen]
