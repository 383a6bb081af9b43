"""Hand-written SQL: rows of Nautobot's IPAM tables as NamedTuples, in index order. May import models.

A search makes five small queries, and composing each with Django takes several times as long as executing it. Addresses
are integers here; `id`, `parent_id` and the like are primary keys as stored by the database (`database_id`).
"""

from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.search.intervals import IPV4_BITS, IPV6_BITS, Interval, to_text

DatabaseID = UUID | str


class ChildRow(NamedTuple):
    """A prefix below another: its first and last address, its length, and core's prefix type."""

    id: DatabaseID
    first: int
    last: int
    length: int
    type: str


class RangeRow(NamedTuple):
    """An IP address range: its inclusive start and end, and whether core forbids addresses in it."""

    start: int
    end: int
    is_exclusive: bool


class AroundRow(NamedTuple):
    """A prefix that contains an address."""

    id: DatabaseID
    length: int


def database_id(uuid: UUID) -> DatabaseID:
    """A primary key in the form in which the database stores it."""
    return Prefix._meta.pk.get_db_prep_value(uuid, connection)


def possible_networks(address: int, ip_version: int, longer_than: int = -1) -> set[int]:
    """The network addresses of all prefixes longer than `longer_than` that could contain `address`; never empty.

    For exact lookups: `network <= .. AND broadcast >= ..` would read every prefix that starts before the address.
    """
    bits = IPV4_BITS if ip_version == 4 else IPV6_BITS
    return {address >> (bits - length) << (bits - length) for length in range(longer_than + 1, bits + 1)} or {address}


class Children:
    """The prefixes of one namespace and family that are longer than `longer_than`, by network and then by length."""

    _SELECT = "SELECT id, network, broadcast, prefix_length, type FROM ipam_prefix"
    _INSIDE = "WHERE namespace_id = %s AND ip_version = %s AND prefix_length > %s"

    def __init__(self, namespace_id: UUID, ip_version: int, longer_than: int) -> None:
        self._version = ip_version
        self._longer_than = longer_than
        self._inside = [database_id(namespace_id), ip_version, longer_than]

    def around_and_from(self, first: int, last: int, limit: int) -> tuple[list[ChildRow], list[ChildRow]]:
        """Children around `first` starting before it, and the first `limit` starting in `first`..`last`; one query."""
        rows = self._read(self._around(first), self._page(first, last, (first, 0), limit))
        before = [row for row in rows if row.first < first]
        return before, sorted((row for row in rows if row.first >= first), key=lambda row: (row.first, row.length))

    def page(self, last: int, after: tuple[int, int], limit: int) -> list[ChildRow]:
        """The first `limit` children after a network and length that start no later than `last`; one query."""
        return self._read(self._page(after[0], last, after, limit))

    def _around(self, address: int) -> tuple[str, list[Any]]:
        networks = possible_networks(address, self._version, self._longer_than)
        condition = f"network IN ({', '.join(['%s'] * len(networks))}) AND network < %s AND broadcast >= %s"
        begin = _packed(address, self._version)
        return condition, [*(_packed(network, self._version) for network in networks), begin, begin]

    def _page(self, first: int, last: int, after: tuple[int, int], limit: int) -> tuple[str, list[Any]]:
        condition = (
            "network >= %s AND network <= %s AND (network > %s OR prefix_length > %s)"
            " ORDER BY network, prefix_length LIMIT %s"
        )
        begin, end, network = (_packed(address, self._version) for address in (first, last, after[0]))
        return condition, [begin, end, network, after[1], limit]

    def _read(self, *parts: tuple[str, list[Any]]) -> list[ChildRow]:
        """The children that match any of the parts; each part is a condition and its parameters."""
        sql = " UNION ALL ".join(f"({self._SELECT} {self._INSIDE} AND {condition})" for condition, _ in parts)
        parameters = [value for _, own in parts for value in (*self._inside, *own)]
        return [
            ChildRow(id_, _number(network), _number(broadcast), length, type_)
            for id_, network, broadcast, length, type_ in _rows(sql, parameters)
        ]


def read_ranges(
    parent_ids: list[DatabaseID],
    ip_version: int,
    interval: Interval,
    limit: int,
    condition: str = "TRUE",
    *parameters: Any,
) -> list[RangeRow]:
    """For each prefix, up to `limit` IP address ranges that start in the interval, and the last one before it.

    The ranges of one prefix never overlap: of those that start before the interval, only the last can overlap it.
    """
    columns = "SELECT start_host, end_host, is_exclusive"
    of_parent = "FROM ipam_ipaddressrange WHERE parent_id = %s AND ip_version = %s AND"
    # Two plain index lookups: the planner need not guess where the second one starts, and the first one does not scan
    # backwards for a range that matches `condition`.
    sql = (
        f"({columns} FROM (SELECT * {of_parent} start_host < %s ORDER BY start_host DESC LIMIT 1) AS before_it"
        f" WHERE {condition}) UNION ALL"
        f" ({columns} {of_parent} start_host >= %s AND start_host <= %s AND {condition} ORDER BY start_host LIMIT %s)"
    )
    begin, end = (_packed(address, ip_version) for address in interval)
    values: list[Any] = []
    for id_ in parent_ids:
        values += [id_, ip_version, begin, *parameters, id_, ip_version, begin, end, *parameters, limit]
    rows = _rows(" UNION ALL ".join([sql] * len(parent_ids)), values)
    return sorted(RangeRow(_number(start), _number(end), is_exclusive) for start, end, is_exclusive in rows)


def read_exclusive_ranges(
    parent_ids: list[DatabaseID], ip_version: int, interval: Interval, limit: int
) -> list[RangeRow]:
    """Like `read_ranges`, but only exclusive ranges, in which core forbids addresses."""
    return read_ranges(parent_ids, ip_version, interval, limit, "is_exclusive")


def read_ranges_with_role(
    parent_ids: list[DatabaseID], ip_version: int, interval: Interval, limit: int, role: str
) -> list[RangeRow]:
    """Like `read_ranges`, but only those with the given role."""
    has_role = "role_id = (SELECT id FROM extras_role WHERE name = %s)"
    return read_ranges(parent_ids, ip_version, interval, limit, has_role, role)


def read_hosts(parent_id: DatabaseID, ip_version: int, first: int, last: int, limit: int) -> list[int]:
    """The first `limit` addresses in `first`..`last` whose parent is this prefix, ascending."""
    sql = "SELECT host FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s ORDER BY host LIMIT %s"
    rows = _rows(sql, [parent_id, _packed(first, ip_version), _packed(last, ip_version), limit])
    return [_number(host) for (host,) in rows]


def count_hosts(parent_id: DatabaseID, ip_version: int, first: int, last: int) -> int:
    """The number of addresses in `first`..`last` whose parent is this prefix."""
    sql = "SELECT COUNT(*) FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s"
    return int(_rows(sql, [parent_id, _packed(first, ip_version), _packed(last, ip_version)])[0][0])


def prefixes_around(prefix: Prefix, host: int) -> list[AroundRow]:
    """The prefixes in the namespace of `prefix` that contain `host`, including `prefix` if it still exists."""
    version = prefix.ip_version
    networks = possible_networks(host, version)
    sql = "SELECT id, prefix_length FROM ipam_prefix WHERE namespace_id = %s AND ip_version = %s"
    sql += f" AND network IN ({', '.join(['%s'] * len(networks))}) AND broadcast >= %s"
    packed = (_packed(address, version) for address in (*networks, host))
    return [AroundRow(*row) for row in _rows(sql, [database_id(prefix.namespace_id), version, *packed])]


def is_sdn_subnet(prefix: Prefix) -> bool:
    """Whether any PVE has a subnet on this prefix."""
    sql = "SELECT 1 FROM nautobot_pve_ipam_sdnsubnet WHERE prefix_id = %s LIMIT 1"
    return bool(_rows(sql, [database_id(prefix.pk)]))


def is_known_mac(mac: str) -> bool:
    """Whether any allocation has this MAC, which must be in stored form."""
    return bool(_rows("SELECT 1 FROM nautobot_pve_ipam_allocation WHERE mac = %s LIMIT 1", [mac]))


def is_closed(prefix: Prefix, host: int) -> bool:
    """Whether core would refuse `host` in the prefix's namespace: it already exists, or lies in an exclusive range."""
    address = to_text(host, prefix.ip_version)
    there = IPAddress.objects.filter(parent__namespace_id=prefix.namespace_id, host=address)
    exclusive = IPAddressRange.objects.filter(
        parent__namespace_id=prefix.namespace_id,
        ip_version=prefix.ip_version,
        is_exclusive=True,
        start_host__lte=address,
        end_host__gte=address,
    )
    return there.exists() or exclusive.exists()


def _rows(sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _packed(address: int, ip_version: int) -> bytes:
    """An address as stored by `VarbinaryIPField`: 4 or 16 bytes, which sort in numeric order."""
    return address.to_bytes(4 if ip_version == 4 else 16, "big")


def _number(stored: bytes) -> int:
    return int.from_bytes(stored, "big")
