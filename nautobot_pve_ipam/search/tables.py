"""Hand-written SQL: rows of Nautobot's IPAM tables as NamedTuples, in index order. May import models.

A search makes five small queries, and composing each with Django takes several times as long as executing it. Addresses
are integers here; `id`, `parent_id` and the like are primary keys as stored by the database (`database_id`).
"""

# ruff: noqa: S608  (SQL composed of constants; values are parameters)
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from nautobot.ipam.models import IPAddressRange, Prefix

from nautobot_pve_ipam.search.intervals import IPV4_BITS, IPV6_BITS, Interval, to_int, to_text

DatabaseID = UUID | str

#: SQL: whether an IP address range, here called `own`, is a DHCP range of a PVE subnet.
IS_OF_PVE = "EXISTS (SELECT 1 FROM nautobot_pve_ipam_sdndhcprange WHERE ip_address_range_id = own.id)"
#: Ranges before an address among which one may reach over it. A range with more ranges inside it, which core would only
#: leave by mistake, is not seen by a search that begins behind all of them: there is no index that finds it without
#: reading them. Core does that for exclusive ranges whenever an address is made, so that nobody is given one in those.
LOOK_BACK = 64


class ChildRow(NamedTuple):
    """A prefix below another: its first and last address, its length, and core's prefix type."""

    id: DatabaseID
    first: int
    last: int
    length: int
    type: str


class RangeRow(NamedTuple):
    """An IP address range, or a gateway as a range of one address: its inclusive start and end, and whether it is
    closed, which means that no address in it is free: exclusive ranges and gateways are, guarded ranges may be.
    """

    start: int
    end: int
    is_closed: bool


class AroundRow(NamedTuple):
    """A prefix that contains an address, and core's prefix type."""

    id: DatabaseID
    length: int
    type: str


def database_id(uuid: UUID) -> DatabaseID:
    """A primary key in the form in which rows have it, and in which the database takes it."""
    value = Prefix._meta.pk.get_db_prep_value(uuid, connection)
    # MariaDB has had a type for UUIDs since 10.7, whose values come as text.
    return str(value) if connection.vendor == "mysql" else value


def possible_networks(address: int, ip_version: int, longer_than: int = -1) -> set[int]:
    """The network addresses of all prefixes longer than `longer_than` that could contain `address`; never empty.

    For exact lookups: `network <= .. AND broadcast >= ..` would read every prefix that starts before the address.
    """
    bits = IPV4_BITS if ip_version == 4 else IPV6_BITS
    return {address >> (bits - length) << (bits - length) for length in range(longer_than + 1, bits + 1)} or {address}


class Children:
    """The prefixes of one namespace and family that are longer than `longer_than`, by network and then by length."""

    _COLUMNS = "id, network, broadcast, prefix_length, type"
    _INSIDE = "namespace_id = %s AND ip_version = %s AND prefix_length > %s"

    def __init__(self, namespace_id: UUID, ip_version: int, longer_than: int) -> None:
        self._namespace_id = namespace_id
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
        begin = _packed(address, self._version)
        return _at(
            [(self._namespace_id, self._version, network) for network in networks],
            self._COLUMNS,
            "prefix_length > %s AND ipam_prefix.network < %s AND broadcast >= %s",
            [self._longer_than, begin, begin],
        )

    def _page(self, first: int, last: int, after: tuple[int, int], limit: int) -> tuple[str, list[Any]]:
        sql = (
            f"SELECT {self._COLUMNS} FROM ipam_prefix WHERE {self._INSIDE} AND network >= %s AND network <= %s"
            " AND (network > %s OR prefix_length > %s) ORDER BY network, prefix_length LIMIT %s"
        )
        begin, end, network = (_packed(address, self._version) for address in (first, last, after[0]))
        return sql, [*self._inside, begin, end, network, after[1], limit]

    @staticmethod
    def _read(*queries: tuple[str, list[Any]]) -> list[ChildRow]:
        sql = " UNION ALL ".join(f"({query})" for query, _ in queries)
        rows = _rows(sql, [value for _, values in queries for value in values])
        return [
            ChildRow(id_, _number(network), _number(broadcast), length, type_)
            for id_, network, broadcast, length, type_ in rows
        ]


def read_ranges(
    parent_ids: list[DatabaseID],
    ip_version: int,
    interval: Interval,
    limit: int,
    *,
    guarded: bool = False,
    only_closed: bool = False,
) -> list[RangeRow]:
    """The IP address ranges and gateways of some prefixes by their start: for each prefix, up to `limit` ranges that
    start in the interval, those of the last LOOK_BACK before it that reach into it, and the gateways of PVE's subnets
    in it.

    Ranges may overlap and nest: core checks only new ones, not those that move up when a child prefix is deleted.
    `guarded`: the DHCP ranges of PVE's subnets are closed, too. `only_closed`: no others.
    """
    closed = f"(is_exclusive OR {IS_OF_PVE})" if guarded else "is_exclusive"
    condition = closed if only_closed else "TRUE"
    columns = f"SELECT start_host, end_host, {closed}"
    of_parent = "FROM ipam_ipaddressrange own WHERE parent_id = %s AND ip_version = %s AND"
    # Two plain index lookups: the planner need not guess where the second one starts, and the first one does not scan
    # backwards for a range that matches the condition.
    sql = (
        f"({columns} FROM (SELECT * {of_parent} start_host < %s ORDER BY start_host DESC LIMIT {LOOK_BACK})"
        f" AS own WHERE end_host >= %s AND {condition}) UNION ALL ({columns} {of_parent}"
        f" start_host >= %s AND start_host <= %s AND {condition} ORDER BY start_host LIMIT %s) UNION ALL"
        f" (SELECT {_gateway()}, {_gateway()}, TRUE FROM nautobot_pve_ipam_sdnsubnet"
        f" WHERE prefix_id = %s AND {_gateway()} >= %s AND {_gateway()} <= %s)"
    )
    begin, end = (_packed(address, ip_version) for address in interval)
    values: list[Any] = []
    for id_ in parent_ids:
        values += [id_, ip_version, begin, begin, id_, ip_version, begin, end, limit, id_, begin, end]
    rows = _rows(" UNION ALL ".join([sql] * len(parent_ids)), values)
    return sorted(RangeRow(_number(start), _number(end), bool(is_closed)) for start, end, is_closed in rows)


def read_ranges_with_role(
    parent_ids: list[DatabaseID], ip_version: int, first: int, last: int, role: str
) -> list[Interval]:
    """The IP address ranges of some prefixes that have the role and overlap `first`..`last`."""
    has_role = "role_id = (SELECT id FROM extras_role WHERE name = %s)"
    rows = _overlapping_ranges("start_host, end_host", parent_ids, ip_version, (first, last), has_role, role)
    return sorted((_number(start), _number(end)) for start, end in rows)


def sdn_ranges_around(parent_ids: list[DatabaseID], ip_version: int, host: int) -> list[DatabaseID]:
    """The IDs of the IP address ranges of some prefixes that contain `host` and are DHCP ranges of PVE's subnets."""
    return [id_ for (id_,) in _overlapping_ranges("id", parent_ids, ip_version, (host, host), IS_OF_PVE)]


def _overlapping_ranges(
    columns: str, parent_ids: list[DatabaseID], ip_version: int, interval: Interval, condition: str, *values: Any
) -> list[tuple[Any, ...]]:
    """These columns of the IP address ranges of some prefixes that overlap the interval and match the SQL condition."""
    sql = (
        f"(SELECT {columns} FROM (SELECT * FROM ipam_ipaddressrange WHERE parent_id = %s AND ip_version = %s"
        f" AND start_host <= %s ORDER BY start_host DESC LIMIT %s) AS own WHERE end_host >= %s AND {condition})"
    )
    first, last = interval
    limit, parameters = last - first + 1 + LOOK_BACK, []
    for id_ in parent_ids:
        parameters += [id_, ip_version, _packed(last, ip_version), limit, _packed(first, ip_version), *values]
    return _rows(" UNION ALL ".join([sql] * len(parent_ids)), parameters) if parent_ids else []


def closed_in_ranges(range_ids: Sequence[UUID]) -> list[tuple[UUID, Interval]]:
    """What is never free in IP address ranges, with the ranges' IDs: child networks, exclusive ranges, and gateways."""
    if not range_ids:
        return []
    inside = f"own.id IN ({', '.join(['%s'] * len(range_ids))})"
    of_range = (
        "FROM ipam_ipaddressrange own JOIN ipam_prefix parent ON parent.id = own.parent_id"
        " JOIN ipam_prefix other ON other.namespace_id = parent.namespace_id AND other.ip_version = own.ip_version"
    )
    overlaps = "other.network <= own.end_host AND other.broadcast >= own.start_host"
    sql = (
        f"SELECT own.id, other.network, other.broadcast {of_range} AND {overlaps} AND other.network >= parent.network"
        f" AND other.prefix_length > parent.prefix_length AND other.type <> 'pool' WHERE {inside} UNION ALL"
        f" SELECT own.id, closed.start_host, closed.end_host {of_range} JOIN ipam_ipaddressrange closed"
        " ON closed.parent_id = other.id AND closed.is_exclusive AND closed.start_host <= own.end_host"
        f" AND closed.end_host >= own.start_host WHERE {inside} UNION ALL"
        f" SELECT own.id, {_gateway()}, {_gateway()} {of_range} AND {overlaps}"
        " JOIN nautobot_pve_ipam_sdnsubnet subnet ON subnet.prefix_id = other.id"
        f" AND {_gateway()} >= other.network AND {_gateway()} <= other.broadcast"
        f" AND {_gateway()} >= own.start_host AND {_gateway()} <= own.end_host WHERE {inside}"
    )
    rows = _rows(sql, [database_id(id_) for id_ in range_ids] * 3)
    return [(UUID(str(id_)), (_number(first), _number(last))) for id_, first, last in rows]


def count_in_use(spans: Sequence[tuple[UUID, int, Interval]]) -> list[int]:
    """How many addresses of each span (namespace ID, IP version, interval) exist, whatever their parent; one query."""
    if not spans:
        return []
    each = " UNION ALL ".join(
        ["SELECT %s AS position, id AS namespace_id, %s AS first, %s AS last FROM ipam_namespace WHERE id = %s"]
        * len(spans)
    )
    sql = (
        f"SELECT span.position, COUNT(DISTINCT address.host) FROM ({each}) AS span"
        " JOIN ipam_ipaddress address ON address.host >= span.first AND address.host <= span.last"
        " JOIN ipam_prefix parent ON parent.id = address.parent_id AND parent.namespace_id = span.namespace_id"
        " GROUP BY span.position"
    )
    values: list[Any] = []
    for position, (namespace_id, ip_version, (first, last)) in enumerate(spans):
        values += [position, _packed(first, ip_version), _packed(last, ip_version), database_id(namespace_id)]
    counted = dict(_rows(sql, values))
    return [counted.get(position, 0) for position in range(len(spans))]


def read_hosts(parent_ids: Sequence[DatabaseID], ip_version: int, first: int, last: int, limit: int) -> list[int]:
    """The first `limit` hosts in `first`..`last` of addresses whose parent is one of these prefixes, ascending."""
    of_parent = "SELECT host FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s"
    of_parent += " ORDER BY host LIMIT %s"
    begin, end = _packed(first, ip_version), _packed(last, ip_version)
    sql, values = of_parent, [value for id_ in parent_ids for value in (id_, begin, end, limit)]
    if len(parent_ids) > 1:
        each = " UNION ".join([f"({of_parent})"] * len(parent_ids))
        sql, values = f"SELECT host FROM ({each}) AS hosts ORDER BY host LIMIT %s", [*values, limit]
    return [_number(host) for (host,) in _rows(sql, values)]


def count_hosts(parent_id: DatabaseID, ip_version: int, first: int, last: int) -> int:
    """The number of addresses in `first`..`last` whose parent is this prefix."""
    sql = "SELECT COUNT(*) FROM ipam_ipaddress WHERE parent_id = %s AND host >= %s AND host <= %s"
    return int(_rows(sql, [parent_id, _packed(first, ip_version), _packed(last, ip_version)])[0][0])


def prefixes_around(namespace_id: UUID, ip_version: int, host: int) -> list[AroundRow]:
    """The prefixes of a namespace that contain `host`."""
    return [AroundRow(*row) for row in _rows(*_around("id, prefix_length, type", namespace_id, ip_version, host))]


def ids_around(namespace_id: UUID, ip_version: int, host: int) -> list[DatabaseID]:
    """The IDs of `prefixes_around`."""
    return [row.id for row in prefixes_around(namespace_id, ip_version, host)]


def hosts_in_use(prefix: Prefix, hosts: Sequence[int]) -> set[int]:
    """Those of `hosts` that any address in the namespace of `prefix` has, whatever its parent."""
    condition, values = _with_host(prefix, hosts)
    return {_number(host) for (host,) in _rows(f"SELECT address.host {condition}", values)}


def prefixes_at(places: Iterable[tuple[UUID, int, int]]) -> list[tuple[UUID, UUID, int, Interval]]:
    """The prefixes with these network addresses, as (namespace ID, IP version, network address), and maybe some more.

    As (ID, namespace ID, IP version, interval).
    """
    places = list(places)
    if not places:
        return []
    rows = _rows(*_at(places, "id, namespace_id, ip_version, network, broadcast", "TRUE", []))
    return [
        (UUID(str(id_)), UUID(str(namespace_id)), version, (_number(network), _number(broadcast)))
        for id_, namespace_id, version, network, broadcast in rows
    ]


def around_and_in_use(prefix: Prefix, hosts: Sequence[int]) -> tuple[list[AroundRow], set[int]]:
    """`prefixes_around` the first of `hosts`, and `hosts_in_use`; one query."""
    columns = "0 AS is_address, id, prefix_length, type, network"
    around, of_around = _around(columns, prefix.namespace_id, prefix.ip_version, hosts[0])
    with_host, of_hosts = _with_host(prefix, hosts)
    sql = f"{around} UNION ALL SELECT 1, address.parent_id, address.mask_length, address.type, address.host {with_host}"
    rows = _rows(sql, [*of_around, *of_hosts])
    return (
        [AroundRow(*row) for is_address, *row, _ in rows if not is_address],
        {_number(row[-1]) for row in rows if row[0]},
    )


def _around(columns: str, namespace_id: UUID, ip_version: int, host: int) -> tuple[str, list[Any]]:
    """A query of the prefixes around an address, and its parameters."""
    places = [(namespace_id, ip_version, network) for network in possible_networks(host, ip_version)]
    return _at(places, columns, "broadcast >= %s", [_packed(host, ip_version)])


def _at(
    places: Iterable[tuple[UUID, int, int]], columns: str, condition: str, values: Sequence[Any]
) -> tuple[str, list[Any]]:
    """A query of the prefixes in these places, as (namespace ID, IP version, network address), that meet a condition
    with these values, and its parameters. It looks each place up in an index.

    MySQL finds those that have the namespace of one place, and the network address of another, too.
    """
    namespaces = [database_id(namespace_id) for namespace_id, _, _ in places]
    networks = [_packed(network, version) for _, version, network in places]
    if connection.vendor == "mysql":
        return (
            f"SELECT {columns} FROM ipam_prefix WHERE namespace_id IN %s AND network IN %s AND {condition}",
            [list(set(namespaces)), list(set(networks)), *values],
        )
    # OFFSET 0 makes PostgreSQL do so. It would rather read a whole namespace of some hundred prefixes.
    return (
        "SELECT found.* FROM unnest(%s::uuid[], %s::bytea[]) AS place (namespace_id, network), LATERAL"
        f" (SELECT {columns} FROM ipam_prefix WHERE ipam_prefix.namespace_id = place.namespace_id"
        f" AND ipam_prefix.network = place.network AND {condition} OFFSET 0) AS found",
        [namespaces, networks, *values],
    )


def _with_host(prefix: Prefix, hosts: Sequence[int]) -> tuple[str, list[Any]]:
    """A condition for the addresses that have one of the hosts."""
    sql = (
        "FROM ipam_ipaddress address JOIN ipam_prefix parent ON parent.id = address.parent_id"
        f" WHERE address.host IN ({', '.join(['%s'] * len(hosts))}) AND parent.namespace_id = %s"
    )
    return sql, [*(_packed(host, prefix.ip_version) for host in hosts), database_id(prefix.namespace_id)]


def _gateway() -> str:
    """SQL: the gateway of PVE's subnet in the form of `VarbinaryIPField`."""
    return "INET6_ATON(gateway)" if connection.vendor == "mysql" else "substring(inet_send(gateway) from 5)"


def is_sdn_subnet(prefix_id: DatabaseID) -> bool:
    """Whether any PVE has a subnet on this prefix."""
    sql = "SELECT 1 FROM nautobot_pve_ipam_sdnsubnet WHERE prefix_id = %s LIMIT 1"
    return bool(_rows(sql, [prefix_id]))


def is_known_mac(mac: str) -> bool:
    """Whether any allocation has this MAC, which must be in stored form."""
    return bool(_rows("SELECT 1 FROM nautobot_pve_ipam_allocation WHERE mac = %s LIMIT 1", [mac]))


def closed(prefix: Prefix, hosts: Sequence[int]) -> set[int]:
    """Those of `hosts` that core would refuse in the namespace of `prefix`: they exist already, or lie in an exclusive
    range.
    """
    if not hosts:
        return set()
    exclusive = IPAddressRange.objects.filter(
        parent__namespace_id=prefix.namespace_id,
        ip_version=prefix.ip_version,
        is_exclusive=True,
        start_host__lte=to_text(max(hosts), prefix.ip_version),
        end_host__gte=to_text(min(hosts), prefix.ip_version),
    )
    ends = [(to_int(start), to_int(end)) for start, end in exclusive.values_list("start_host", "end_host")]
    in_range = {host for host in hosts if any(start <= host <= end for start, end in ends)}
    return hosts_in_use(prefix, hosts) | in_range


def _rows(sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _packed(address: int, ip_version: int) -> bytes:
    """An address as stored by `VarbinaryIPField`: 4 or 16 bytes, which sort in numeric order."""
    return address.to_bytes(4 if ip_version == 4 else 16, "big")


def _number(stored: bytes) -> int:
    return int.from_bytes(stored, "big")
