"""What the address map reads of a prefix: addresses, ranges and child prefixes, and how many are where.

What is counted is counted by the database, grouped by the leading octets of the address, never row by row here.
"""

import netaddr
from django.db.models import BinaryField, Count, Exists, OuterRef, Q
from django.db.models.functions import Substr
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.models import SDNDHCPRange
from nautobot_pve_ipam.search.intervals import IPV4_BITS, IPV6_BITS, to_text
from nautobot_pve_ipam.search.occupancy import DHCP_ROLE

#: The database tells at most this many groups; only an IPv6 network can have more.
GROUPS_MAX = 65_536
#: Distinct pairs of groups in which ranges start and end.
RANGES_MAX = 4096


def network_at(address: int, length: int, ip_version: int) -> netaddr.IPNetwork:
    """The network of that prefix length around an address."""
    return netaddr.IPNetwork(f"{to_text(address, ip_version)}/{length}").cidr


def overlapping(networks, first_field, last_field):
    """Condition: the interval of the two fields, which may be one and the same, touches one of the networks."""
    condition = Q()
    for network in networks:
        first, last = (to_text(at, network.version) for at in (network.first, network.last))
        condition |= Q(**{f"{first_field}__lte": last, f"{last_field}__gte": first})
    return condition


class Reads:
    """Querysets of one prefix and its namespace, without regard to permissions, unordered."""

    def __init__(self, prefix):
        self.version = prefix.ip_version
        self._bits = IPV4_BITS if self.version == 4 else IPV6_BITS
        self._inside = {"ip_version": self.version, "parent__namespace_id": prefix.namespace_id}
        self._below = {
            "ip_version": self.version,
            "namespace_id": prefix.namespace_id,
            "prefix_length__gt": prefix.prefix_length,
        }

    def addresses(self, networks):
        """IP addresses in the networks."""
        return IPAddress.objects.filter(overlapping(networks, "host", "host"), **self._inside).order_by()

    def ranges(self, networks):
        """IP address ranges that reach into the networks; `is_dhcp` says which of them guests are served from."""
        linked = SDNDHCPRange.objects.filter(ip_address_range=OuterRef("pk"))
        ranges = IPAddressRange.objects.filter(overlapping(networks, "start_host", "end_host"), **self._inside)
        return ranges.order_by().annotate(is_dhcp=Q(role__name=DHCP_ROLE) | Q(Exists(linked)))

    def children(self, networks):
        """Prefixes below the prefix that touch the networks, the larger before the smaller ones in them."""
        children = Prefix.objects.filter(overlapping(networks, "network", "broadcast"), **self._below)
        return children.order_by("network", "prefix_length")

    def counts(self, rows, column, length) -> dict[int, int]:
        """How many rows each network of prefix length `length`, by its first address, has; one query."""
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
        """First and last network of prefix length `length`, by their first addresses, of DHCP ranges; one query."""
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
    """The octets that cover `length` bits: PostgreSQL and MySQL share no way to cut an address inside an octet."""
    return Substr(column, 1, -(-length // 8), output_field=BinaryField())
