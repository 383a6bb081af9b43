"""Prefixes with many used addresses, child prefixes and ranges, made in the database itself: seconds, not hours.

Each is in a namespace of its own, so that nothing that one measure does is seen by another.
"""

import dataclasses
import ipaddress
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import psycopg2.errors

from benchmarks.load import CREATED, Request, Server

IPV4_NETWORK = "10.0.0.0"
IPV6_NETWORK = "2001:db8:10::"
# A child /29 and then as many addresses of the parent's own: a search has to look at each of these gaps.
CHILD_LENGTH = 29
CHILD_SIZE = 8
CHILD_EVERY = 16
ZONE = "bench"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Subnet:
    """A prefix in its namespace, both known to Nautobot by their ids.

    `bounded`: requests name its hosts as bounds. `zone`: that of PVE's subnet on it, if there is one.
    """

    namespace: str
    namespace_id: str
    prefix_id: str
    network: Network
    bounded: bool = True
    hole: Address | None = None
    part: Network | None = None
    zone: str | None = None
    _known_free: Iterator[int] = field(repr=False, default_factory=itertools.count)

    @property
    def bounds(self) -> tuple[Address, Address]:
        """First and last host, of the subnet or of its part that this is about."""
        network = self.part or self.network
        return network[1], network[-2]

    def known_address(self) -> str:
        """An address that is free, with its length; another one each time, but for a subnet with one hole."""
        # From the far end, which no search for the lowest free address reaches.
        address = self.hole or self.bounds[1] - next(self._known_free)
        return f"{address}/{self.network.prefixlen}"

    def parts(self, count: int) -> list["Subnet"]:
        """`count` (a power of 2) disjoint ranges of the same prefix, each with free addresses of its own."""
        networks = self.network.subnets(prefixlen_diff=count.bit_length() - 1)
        return [dataclasses.replace(self, part=network, _known_free=itertools.count()) for network in networks]


class Filler:
    """Makes subnets: namespace and prefix over the API, what is in them in SQL, on a connection in autocommit mode."""

    def __init__(self, server: Server, connection: "psycopg2.extensions.connection") -> None:
        self._server = server
        self._connection = connection
        self._active = self._query("SELECT id FROM extras_status WHERE name = 'Active'")

    def empty(self, name: str, length: int, *, network: str = IPV4_NETWORK, **properties: Any) -> Subnet:
        """An empty prefix of that length in a new namespace."""
        cidr = ipaddress.ip_network(f"{network}/{length}")
        namespace = self._create("namespaces", {"name": f"bench-{name}"})
        prefix = self._create(
            "prefixes", {"prefix": str(cidr), "namespace": namespace, "status": "Active", "type": "network"}
        )
        return Subnet(f"bench-{name}", namespace, prefix, cidr, **properties)

    def dense(self, name: str, length: int, used: int, *, network: str = IPV4_NETWORK) -> Subnet:
        """`used` addresses from the first host on."""
        subnet = self.empty(name, length, network=network)
        self._use(subnet, "generate_series(1, %(used)s) AS n", used=used)
        return subnet

    def hole_in_full(self, name: str, length: int) -> Subnet:
        """Every host used but one in the middle."""
        size = 2 ** (32 - length)
        hole = ipaddress.ip_address(IPV4_NETWORK) + size // 2
        subnet = self.empty(name, length, hole=hole)
        self._use(subnet, "generate_series(1, %(last)s) AS n WHERE n <> %(hole)s", last=size - 2, hole=size // 2)
        return subnet

    def alternating(self, name: str, length: int, used: int) -> Subnet:
        """Every other address used."""
        subnet = self.empty(name, length)
        self._use(subnet, "generate_series(1, %(last)s, 2) AS n", last=2 * used - 1)
        return subnet

    def many_children(self, name: str, length: int, children: int, ranges: int) -> Subnet:
        """Child networks with gaps between them, each gap closed by an IP address range or by used addresses.

        Requests name no bounds, so that both children and ranges are in their way.
        """
        subnet = self.empty(name, length, bounded=False)
        first = int(subnet.network[0])
        values = {
            "first": first, "every": CHILD_EVERY, "size": CHILD_SIZE, "length": CHILD_LENGTH, "children": children,
            "ranges": ranges, "active": self._active, "parent": subnet.prefix_id, "namespace": subnet.namespace_id,
        }  # fmt: skip
        self._execute(
            """INSERT INTO ipam_prefix (id, created, last_updated, _custom_field_data, network, broadcast,
                   prefix_length, description, status_id, type, ip_version, namespace_id, parent_id)
               SELECT gen_random_uuid(), now(), now(), '{}', int4send(%(first)s + i * %(every)s),
                   int4send(%(first)s + i * %(every)s + %(size)s - 1), %(length)s, '', %(active)s, 'network', 4,
                   %(namespace)s, %(parent)s
               FROM generate_series(0, %(children)s - 1) AS i""",
            values,
        )
        self._execute(
            """INSERT INTO ipam_ipaddressrange (id, created, last_updated, _custom_field_data, name, start_host,
                   end_host, ip_version, description, count_as_utilized, is_exclusive, parent_id, status_id)
               SELECT gen_random_uuid(), now(), now(), '{}', '', int4send(%(first)s + i * %(every)s + %(size)s),
                   int4send(%(first)s + (i + 1) * %(every)s - 1), 4, '', false, false, %(parent)s, %(active)s
               FROM generate_series(0, %(ranges)s - 1) AS i""",
            values,
        )
        self._use(
            subnet,
            "generate_series(%(ranges)s * %(every)s, %(children)s * %(every)s - 1) AS n"
            " WHERE n %% %(every)s >= %(size)s",
            **values,
        )
        return subnet

    def pve(self, name: str, length: int, used: int) -> Subnet:
        """A subnet that PVE made, with `used` addresses behind its gateway."""
        network = ipaddress.ip_network(f"{IPV4_NETWORK}/{length}")
        namespace = self._create("namespaces", {"name": f"bench-{name}"})
        self._server.expect(CREATED, put_subnet(f"bench-{name}", network))
        prefix = self._query("SELECT id FROM ipam_prefix WHERE namespace_id = %s", namespace)
        subnet = Subnet(f"bench-{name}", namespace, prefix, network, zone=ZONE)
        self._use(subnet, "generate_series(2, %(last)s) AS n", last=used + 1)
        return subnet

    def crowd(self, subnet: Subnet, subnets: int, allocations: int) -> None:
        """As many further subnets of PVE in the namespace, and allocations in this subnet.

        Each is a copy of one that PVE's hooks make, whatever columns that has.
        """
        ip = subnet.network[2]
        guest = {"zone": ZONE, "mac": "02:00:00:00:00:00", "vmid": 100, "hostname": "guest"}
        path = f"/api/plugins/pve-ipam/namespaces/{subnet.namespace}/ips/{ip}/"
        self._server.expect(CREATED, Request("PUT", path, guest))
        self._use(subnet, "generate_series(3, %(last)s) AS n", last=allocations + 1)
        self._copy(
            "nautobot_pve_ipam_allocation",
            "jsonb_build_object('ip_address_id', a.id, 'mac', upper(regexp_replace("
            "'020001' || lpad(to_hex(row_number() OVER (ORDER BY a.host)), 6, '0'), '(..)(?!$)', '\\1:', 'g')))",
            "ipam_ipaddress a",
            "t.ip_address_id = (SELECT id FROM ipam_ipaddress WHERE parent_id = %(parent)s AND mask_length = %(mask)s"
            " AND host = %(host)s) AND a.parent_id = %(parent)s AND a.host > %(host)s",
            parent=subnet.prefix_id,
            mask=subnet.network.prefixlen,
            host=ip.packed,
        )
        first = int(subnet.network.broadcast_address) + 1
        self._copy(
            "ipam_prefix",
            "jsonb_build_object('network', int4send((%(first)s + n * 256)::int4),"
            " 'broadcast', int4send((%(first)s + n * 256 + 255)::int4), 'prefix_length', 24)",
            "generate_series(0, %(last)s) AS n",
            "t.id = %(parent)s",
            first=first,
            last=subnets - 2,
            parent=subnet.prefix_id,
        )
        self._copy(
            "nautobot_pve_ipam_sdnsubnet",
            "jsonb_build_object('prefix_id', p.id)",
            "ipam_prefix p",
            "t.prefix_id = %(parent)s AND p.namespace_id = %(namespace)s AND p.id <> %(parent)s",
            parent=subnet.prefix_id,
            namespace=subnet.namespace_id,
        )

    def _copy(self, table: str, changes: str, source: str, condition: str, **values: object) -> None:
        """Insert copies of a row `t` with new ids and the `changes` (a JSON object), one for each row of the source."""
        self._execute(
            f"""INSERT INTO {table} SELECT (jsonb_populate_record(
                    NULL::{table}, to_jsonb(t) || jsonb_build_object('id', gen_random_uuid()) || {changes})).*
                FROM {table} t CROSS JOIN {source} WHERE {condition}""",
            values,
        )

    def settle(self) -> None:
        """Give the planner its statistics, and get the writing over before anything is timed."""
        self._execute(
            "VACUUM (ANALYZE) ipam_ipaddress, ipam_prefix, ipam_ipaddressrange, nautobot_pve_ipam_allocation,"
            " nautobot_pve_ipam_sdnsubnet, nautobot_pve_ipam_sdndhcprange",
            {},
        )
        try:
            self._execute("CHECKPOINT", {})
        except psycopg2.errors.InsufficientPrivilege:
            print("The database's user may not ask for a checkpoint: one may come in between.")

    def _use(self, subnet: Subnet, offsets: str, **values: object) -> None:
        """Use the addresses at the offsets `n` that the SQL text after FROM tells."""
        if subnet.network.version == 4:
            host, network = "int4send((%(network)s + n)::int4)", int(subnet.network[0])
        else:
            host, network = "%(network)s::bytea || int8send(n)", subnet.network[0].packed[:8]
        self._execute(
            f"""INSERT INTO ipam_ipaddress (id, created, last_updated, _custom_field_data, host, mask_length, dns_name,
                    description, status_id, ip_version, parent_id, type)
                SELECT gen_random_uuid(), now(), now(), '{{}}', {host}, %(mask)s, '', '', %(active)s, %(version)s,
                    %(parent)s, 'host'
                FROM {offsets}""",
            {
                **values, "network": network, "mask": subnet.network.prefixlen, "active": self._active,
                "version": subnet.network.version, "parent": subnet.prefix_id,
            },
        )  # fmt: skip

    def _create(self, kind: str, body: dict) -> str:
        return self._server.expect(CREATED, Request("POST", f"/api/ipam/{kind}/", body)).body["id"]

    def _execute(self, statement: str, values: dict) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)

    def _query(self, statement: str, *values: str) -> str:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()[0]


def put_subnet(namespace: str, network: Network) -> Request:
    """What PVE sends when a subnet is made, here with one DHCP range for all of its hosts but the gateway."""
    dhcp_range = {"start": str(network[2]), "end": str(network[-2])}
    body = {"zone": ZONE, "vnet": "bench", "gateway": str(network[1]), "dhcp_ranges": [dhcp_range]}
    return Request("PUT", subnet_path(namespace, network), body)


def subnet_path(namespace: str, network: Network) -> str:
    """Path of a subnet in the App's API, by natural key."""
    name = f"{network.network_address}-{network.prefixlen}"
    return f"/api/plugins/pve-ipam/namespaces/{namespace}/subnets/{name}/"
