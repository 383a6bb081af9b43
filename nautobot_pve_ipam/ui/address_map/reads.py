"""Queries of the address map for a prefix: its addresses, ranges and child prefixes, and how many are where.

Counting is done in the database, grouped by the leading octets of the address, never row by row in Python.
May import usage.py, search and models.
"""

import netaddr
from django.db.models import BinaryField, Count, Q
from django.db.models.functions import Substr
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.models import SDNSubnet
from nautobot_pve_ipam.search.intervals import IPV4_BITS, IPV6_BITS, to_text
from nautobot_pve_ipam.ui.usage import for_dhcp

#: The database returns at most this many groups; only IPv6 networks can have more.
GROUPS_MAX = 65_536
#: Maximum number of distinct pairs of groups in which ranges start and end.
RANGES_MAX = 4096


def network_at(address: int, length: int, ip_version: int) -> netaddr.IPNetwork:
    """The network with that prefix length that contains an address."""
    return netaddr.IPNetwork(f"{to_text(address, ip_version)}/{length}").cidr


def overlapping(networks, first_field, last_field):
    """Q: the interval between the two fields, which may be the same, overlaps one of the networks."""
    condition = Q()
    for network in networks:
        first, last = (to_text(at, network.version) for at in (network.first, network.last))
        condition |= Q(**{f"{first_field}__lte": last, f"{last_field}__gte": first})
    return condition


class Reads:
    """Unordered querysets for one prefix and its namespace, ignoring permissions."""

    def __init__(self, prefix):
        self.version = prefix.ip_version
        self._bits = IPV4_BITS if self.version == 4 else IPV6_BITS
        self._inside = {"ip_version": self.version, "parent__namespace_id": prefix.namespace_id}
        self._namespace = {"ip_version": self.version, "namespace_id": prefix.namespace_id}
        self._below = {**self._namespace, "prefix_length__gt": prefix.prefix_length}

    def addresses(self, networks):
        """IP addresses in the networks."""
        return IPAddress.objects.filter(overlapping(networks, "host", "host"), **self._inside).order_by()

    def ranges(self, networks):
        """IP address ranges that overlap the networks; `is_dhcp` marks those used for DHCP."""
        ranges = IPAddressRange.objects.filter(overlapping(networks, "start_host", "end_host"), **self._inside)
        return ranges.order_by().annotate(is_dhcp=for_dhcp())

    def gateways(self, networks):
        """PVE's subnets that have a gateway and overlap the networks."""
        around = overlapping(networks, "prefix__network", "prefix__broadcast")
        inside = {f"prefix__{name}": value for name, value in self._namespace.items()}
        return SDNSubnet.objects.filter(around, gateway__isnull=False, **inside).order_by()

    def children(self, networks):
        """Prefixes below the prefix that overlap the networks, larger ones before those inside them."""
        children = Prefix.objects.filter(overlapping(networks, "network", "broadcast"), **self._below)
        return children.order_by("network", "prefix_length")

    def counts(self, rows, column, length) -> dict[int, int]:
        """Number of rows in each network of prefix length `length`, keyed by its first address; one query."""
        grouped = (
            rows.order_by()
            .annotate(octets=_leading(column, length))
            .values("octets")
            .annotate(rows=Count("pk"))
            .order_by("octets")
            .values_list("octets", "rows")[:GROUPS_MAX]
        )
        counts: dict[int, int] = {}
        for octets, count in grouped:
            start = self._start(octets, length)
            counts[start] = counts.get(start, 0) + count
        return counts

    def dhcp_spans(self, network, length) -> set[tuple[int, int]]:
        """First and last network of prefix length `length` of each DHCP range, by first address; one query."""
        spans = (
            self.ranges([network])
            .filter(is_dhcp=True)
            .annotate(first=_leading("start_host", length), last=_leading("end_host", length))
            .values_list("first", "last")
            .distinct()[:RANGES_MAX]
        )
        return {(self._start(first, length), self._start(last, length)) for first, last in spans}

    def _start(self, octets, length):
        octets = bytes(octets)
        address = int.from_bytes(octets, "big") << (self._bits - 8 * len(octets))
        return address >> (self._bits - length) << (self._bits - length)


def _leading(column, length):
    """The octets covering `length` bits: no SQL works on both PostgreSQL and MySQL to split within an octet."""
    return Substr(column, 1, -(-length // 8), output_field=BinaryField())
