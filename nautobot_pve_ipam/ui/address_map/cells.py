"""Networks shown address by address: state and holder of each address, as far as the user may view them.

Reads through reads.py. May import search and models.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from nautobot.ipam.choices import PrefixTypeChoices

from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.search.intervals import to_int, to_text
from nautobot_pve_ipam.search.occupancy import usable_span
from nautobot_pve_ipam.ui.address_map.reads import Reads, network_at

#: Kind of a cell -> label in the legend, in display order.
KINDS = {
    "guest": "Guest",
    "gateway": "Gateway",
    "address": "Other address",
    "hidden": "In use, details hidden",
    "dhcp": "Free, in a DHCP range",
    "free": "Free",
    "reserved": "Reserved",
    "child": "Child prefix",
}
IN_USE = ("guest", "gateway", "address", "hidden")


@dataclass(frozen=True)
class Cell:
    """One address: the cell shows `number` and `caption`; `description` is its tooltip and accessible name."""

    kind: str
    number: str
    caption: str
    description: str
    href: str | None


@dataclass(frozen=True)
class Section:
    """A network shown address by address."""

    network: str
    cells: list[Cell]


def sections(prefix, networks, user, allocate_url) -> list[Section]:
    """A section for each of the networks in `prefix`; eight queries."""
    known = _Known(prefix, networks, user, allocate_url)
    return [
        Section(str(network), [known.cell(address) for address in range(network.first, network.last + 1)])
        for network in networks
    ]


class _Known:
    """Everything known about the addresses of some networks, read once."""

    def __init__(self, prefix, networks, user, allocate_url):
        self._prefix, self._user, self._allocate_url = prefix, user, allocate_url
        self._usable = usable_span(prefix)
        reads = Reads(prefix)
        gateways = reads.gateways(networks)
        self._gateways = _gateways(gateways)
        self._visible_gateways = _gateways(gateways.restrict(user, "view"))
        self._held = self._read_held(reads, networks)
        children = reads.children(networks).exclude(type=PrefixTypeChoices.TYPE_POOL)
        visible = set(children.restrict(user, "view").values_list("pk", flat=True))
        self._children = [
            (to_int(network), to_int(broadcast), length, pk if pk in visible else None)
            for network, broadcast, length, pk in children.values_list("network", "broadcast", "prefix_length", "pk")
        ]
        self._ranges = [
            (to_int(start), to_int(end), is_exclusive, is_dhcp)
            for start, end, is_exclusive, is_dhcp in reads.ranges(networks).values_list(
                "start_host", "end_host", "is_exclusive", "is_dhcp"
            )
        ]

    def _read_held(self, reads, networks):
        """Kind, caption, description and link for each address in use."""
        addresses = reads.addresses(networks)
        held = {to_int(host): ("hidden", "in use", "in use", None) for host in addresses.values_list("host", flat=True)}
        visible = addresses.restrict(self._user, "view")
        allocations = {
            pk: guest
            for pk, *guest in Allocation.objects.restrict(self._user, "view")
            .filter(ip_address__in=visible)
            .values_list("ip_address_id", "hostname", "vmid", "mac", "is_gateway")
        }
        for pk, host, dns_name in visible.values_list("pk", "host", "dns_name"):
            facts = _described(allocations.get(pk), dns_name, to_int(host) in self._visible_gateways)
            held[to_int(host)] = (*facts, reverse("ipam:ipaddress", kwargs={"pk": pk}))
        return held

    def cell(self, address) -> Cell:
        version = self._prefix.ip_version
        text = to_text(address, version)
        number = "." + text.rpartition(".")[2] if version == 4 else f":{address & 0xFFFF:x}"
        kind, caption, description, href = (
            self._held.get(address)
            or self._in_child(address)
            or self._unusable(address)
            or self._closed(address)
            or self._free(address, text)
        )
        return Cell(kind, number, caption, f"{text}: {description}", href)

    def _in_child(self, address):
        child = next((child for child in reversed(self._children) if child[0] <= address <= child[1]), None)
        if child is None:
            return None
        _, _, length, pk = child
        if pk is None:
            return "child", "child", "in a child prefix", None
        href = reverse("plugins:nautobot_pve_ipam:prefix_address_map", kwargs={"pk": pk})
        return "child", f"/{length}", f"in child prefix {network_at(address, length, self._prefix.ip_version)}", href

    def _unusable(self, address):
        if address > self._usable[1]:
            return "reserved", "broadcast", "broadcast address", None
        if address < self._usable[0]:
            name = "network" if self._prefix.ip_version == 4 else "subnet-router anycast"
            return "reserved", "network", f"{name} address", None
        return None

    def _closed(self, address):
        if address in self._visible_gateways:
            return "gateway", "gateway", "gateway, without an IP address in Nautobot", None
        if address in self._gateways:
            return "hidden", "in use", "in use", None
        for start, end, is_exclusive, _ in self._ranges:
            if is_exclusive and start <= address <= end:
                return "reserved", "reserved", f"reserved by the exclusive range {self._named(start, end)}", None
        return None

    def _free(self, address, text):
        href = self._allocate_url and f"{self._allocate_url}?{urlencode({'range_start': text, 'range_end': text})}"
        around = [found for found in self._ranges if found[0] <= address <= found[1]]
        if not around:
            return "free", "", "free", href
        start, end, _, is_dhcp = max(around, key=lambda found: bool(found[3]))  # ranges may overlap
        if is_dhcp:
            return "dhcp", "DHCP", f"free, in DHCP range {self._named(start, end)}", href
        return "reserved", "range", f"free, in range {self._named(start, end)}", href

    def _named(self, start, end):
        return " - ".join(to_text(at, self._prefix.ip_version) for at in (start, end))


def _gateways(subnets):
    """The gateways that are inside their subnets; those of point-to-point subnets are not."""
    found = subnets.values_list("gateway", "prefix__network", "prefix__broadcast")
    return {to_int(gateway) for gateway, *ends in found if to_int(ends[0]) <= to_int(gateway) <= to_int(ends[1])}


def _described(allocation, dns_name, is_gateway):
    """Kind, caption and description of an address that the user may view."""
    hostname, vmid, mac, allocated_gateway = allocation or ("", None, "", False)
    name = hostname or dns_name
    facts = [f"VMID {vmid}"] if vmid else []
    facts += [f"MAC {mac}"] if mac else []
    if is_gateway or allocated_gateway:
        return "gateway", "gateway", ", ".join([f"gateway {name}".rstrip(), *facts])
    if allocation:
        caption = hostname or (f"VM {vmid}" if vmid else str(mac) or "guest")
        return "guest", caption, ", ".join([f"guest {name}".rstrip(), *facts])
    return "address", dns_name or "in use", f"address {dns_name}" if dns_name else "in use, without a guest"
