"""Creates core objects by the thousand in SQL: a prefix as it looks after years of use, in a second.

Works on PostgreSQL and MariaDB. Positions are numbers: offsets from the prefix's network address.
"""

import netaddr
from django.db import connection
from nautobot.extras.models import Role, Status
from nautobot.ipam.models import Namespace, Prefix

from nautobot_pve_ipam.search.intervals import to_int

_OBJECT = "id, created, last_updated, _custom_field_data, status_id"


class Ground:
    """A namespace for one test."""

    def __init__(self, name):
        self.active = Status.objects.get(name="Active")
        self.namespace, _ = Namespace.objects.get_or_create(name=name)

    def prefix(self, text, **fields):
        # Not saved individually: core would search all addresses for those to reparent to the prefix.
        made = Prefix(prefix=text, namespace=self.namespace, status=self.active, **fields)
        (made,) = Prefix.objects.bulk_create([made])
        return Prefix.objects.select_related("namespace").get(pk=made.pk)

    def use(self, prefix, numbers, where="1 = 1"):
        """Use the addresses at `numbers` (a range), limited to those `n` that match the SQL condition `where`."""
        self._execute(
            f"INSERT INTO ipam_ipaddress ({_OBJECT}, host, mask_length, dns_name, description, ip_version, parent_id,"
            f" type) SELECT {_new()}, {_host(prefix, 'n')}, %(length)s, '', '', %(version)s, %(parent)s, 'host'"
            f" FROM {_series(numbers)} AS places WHERE {where}",
            prefix,
        )

    def children(self, prefix, starts, *, size, type):
        """Child prefixes of `size` addresses (a power of 2) that start at `starts` (a range)."""
        self._execute(
            "INSERT INTO ipam_prefix (id, created, last_updated, _custom_field_data, status_id, network, broadcast,"
            " prefix_length, description, type, ip_version, namespace_id, parent_id)"
            f" SELECT {_new()}, {_host(prefix, 'n')}, {_host(prefix, 'n + %(size)s - 1')}, %(child)s, '', %(type)s,"
            f" %(version)s, %(namespace)s, %(parent)s FROM {_series(starts)} AS places",
            prefix,
            size=size,
            child=_length(size),
            type=type,
        )

    def use_children(self, prefix, starts, *, size):
        """Use all addresses of child prefixes created by `children`."""
        self._execute(
            f"INSERT INTO ipam_ipaddress ({_OBJECT}, host, mask_length, dns_name, description, ip_version, parent_id,"
            f" type) SELECT {_new()}, {_host(prefix, 'n + m')}, %(length)s, '', '', %(version)s, child.id, 'host'"
            f" FROM {_series(starts)} AS places JOIN ipam_prefix child ON child.namespace_id = %(namespace)s"
            f" AND child.network = {_host(prefix, 'n')} AND child.prefix_length = %(child)s"
            f" CROSS JOIN {_series(range(size), 'm')} AS inside",
            prefix,
            child=_length(size),
        )

    def ranges(self, prefix, starts, *, size, is_exclusive=False, role=None):
        """IP address ranges of `size` addresses that start at `starts` (a range)."""
        self._execute(
            f"INSERT INTO ipam_ipaddressrange ({_OBJECT}, role_id, name, start_host, end_host, ip_version, description,"
            f" count_as_utilized, is_exclusive, parent_id) SELECT {_new()}, %(role)s, '', {_host(prefix, 'n')},"
            f" {_host(prefix, 'n + %(size)s - 1')}, %(version)s, '', false, %(exclusive)s, %(parent)s"
            f" FROM {_series(starts)} AS places",
            prefix,
            size=size,
            exclusive=is_exclusive,
            role=role and _id(Role.objects.get(name=role)),
        )

    def _execute(self, statement, prefix, **values):
        with connection.cursor() as cursor:
            cursor.execute(
                statement,
                {
                    "status": _id(self.active),
                    "network": to_int(prefix.network) if prefix.ip_version == 4 else _upper_half(prefix),
                    "length": prefix.prefix_length,
                    "version": prefix.ip_version,
                    "parent": _id(prefix),
                    "namespace": _id(self.namespace),
                    **values,
                },
            )


def settle():
    """Update the planner's statistics."""
    if connection.vendor == "mysql":  # InnoDB updates them automatically; ANALYZE would commit the test's transaction
        return
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ipam_ipaddress, ipam_prefix, ipam_ipaddressrange, ipam_namespace, extras_role")


def _new():
    """Values of the columns that all objects have in common."""
    make_id = "UUID()" if connection.vendor == "mysql" else "gen_random_uuid()"
    return f"{make_id}, now(), now(), '{{}}', %(status)s"


def _series(numbers, name="n"):
    """A table with one column containing the numbers of a range."""
    if not numbers:  # MariaDB's sequence would count downwards
        return f"(SELECT 0 AS {name} FROM ipam_namespace WHERE 1 = 0)"
    if connection.vendor == "mysql":
        return f"(SELECT seq AS {name} FROM seq_{numbers[0]}_to_{numbers[-1]}_step_{numbers.step})"
    return f"(SELECT generate_series({numbers[0]}::bigint, {numbers[-1]}, {numbers.step}) AS {name})"


def _host(prefix, number):
    """A position as stored by `VarbinaryIPField`."""
    if connection.vendor == "mysql":
        if prefix.ip_version == 4:
            return f"UNHEX(LPAD(HEX(%(network)s + {number}), 8, '0'))"
        return f"CONCAT(%(network)s, UNHEX(LPAD(HEX({number}), 16, '0')))"
    if prefix.ip_version == 4:
        return f"int4send((%(network)s + {number})::int4)"
    return f"%(network)s::bytea || int8send({number})"


def _length(size):
    return 33 - size.bit_length()


def _upper_half(prefix):
    return netaddr.IPAddress(prefix.network).packed[:8]


def _id(thing):
    return str(thing.pk)
