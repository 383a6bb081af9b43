"""Core objects by the thousand, made in SQL: what a prefix looks like after years, in a second."""

import netaddr
from django.db import connection
from nautobot.extras.models import Role, Status
from nautobot.ipam.models import Namespace, Prefix

from nautobot_pve_ipam.occupancy import to_int

_OBJECT = "id, created, last_updated, _custom_field_data, status_id"
_VALUES = "gen_random_uuid(), now(), now(), '{}', %(status)s"
_STARTS = "generate_series(%(start)s::bigint, %(start)s + (%(count)s - 1) * %(every)s, %(every)s)"


class Ground:
    """A namespace of one test. Places are told as numbers: how far from the prefix's network address."""

    def __init__(self, name):
        self.active = Status.objects.get(name="Active")
        self.namespace = Namespace.objects.create(name=name)

    def prefix(self, text, **fields):
        # Not saved one by one: core then looks through all addresses for some that the prefix takes over.
        made = Prefix(prefix=text, namespace=self.namespace, status=self.active, **fields)
        (made,) = Prefix.objects.bulk_create([made])
        return Prefix.objects.select_related("namespace").get(pk=made.pk)

    def use(self, prefix, numbers):
        """Use the addresses at `numbers`, SQL for a set of bigint such as `generate_series(1, 1000)`."""
        self._execute(
            f"INSERT INTO ipam_ipaddress ({_OBJECT}, host, mask_length, dns_name, description, ip_version, parent_id,"
            f" type) SELECT {_VALUES}, {_host(prefix, 'n')}, %(length)s, '', '', %(version)s, %(parent)s, 'host'"
            f" FROM {numbers} AS n",
            prefix,
        )

    def children(self, prefix, count, *, every, size, type, start=0):
        """`count` child prefixes of `size` addresses (a power of 2), one `every` so many addresses from `start` on."""
        self._execute(
            "INSERT INTO ipam_prefix (id, created, last_updated, _custom_field_data, status_id, network, broadcast,"
            " prefix_length, description, type, ip_version, namespace_id, parent_id)"
            f" SELECT {_VALUES}, {_host(prefix, 'n')}, {_host(prefix, 'n + %(size)s - 1')}, %(child)s, '', %(type)s,"
            f" %(version)s, %(namespace)s, %(parent)s FROM {_STARTS} AS n",
            prefix,
            **_children(count, every, size, start),
            type=type,
        )

    def use_children(self, prefix, count, *, every, size, start=0):
        """Use all addresses of child prefixes that `children` made."""
        self._execute(
            f"INSERT INTO ipam_ipaddress ({_OBJECT}, host, mask_length, dns_name, description, ip_version, parent_id,"
            f" type) SELECT {_VALUES}, {_host(prefix, 'n + m')}, %(length)s, '', '', %(version)s, child.id, 'host'"
            f" FROM {_STARTS} AS n JOIN ipam_prefix child ON child.namespace_id = %(namespace)s"
            f" AND child.network = {_host(prefix, 'n')} AND child.prefix_length = %(child)s,"
            " generate_series(0, %(size)s - 1) AS m",
            prefix,
            **_children(count, every, size, start),
        )

    def ranges(self, prefix, numbers, *, size, is_exclusive=False, role=None):
        """IP address ranges of `size` addresses that begin at `numbers`."""
        self._execute(
            f"INSERT INTO ipam_ipaddressrange ({_OBJECT}, role_id, name, start_host, end_host, ip_version, description,"
            f" count_as_utilized, is_exclusive, parent_id) SELECT {_VALUES}, %(role)s, '', {_host(prefix, 'n')},"
            f" {_host(prefix, 'n + %(size)s - 1')}, %(version)s, '', false, %(exclusive)s, %(parent)s"
            f" FROM {numbers} AS n",
            prefix,
            size=size,
            exclusive=is_exclusive,
            role=role and Role.objects.get(name=role).pk,
        )

    def _execute(self, statement, prefix, **values):
        with connection.cursor() as cursor:
            cursor.execute(
                statement,
                {
                    "status": self.active.pk,
                    "network": to_int(prefix.network) if prefix.ip_version == 4 else _upper_half(prefix),
                    "length": prefix.prefix_length,
                    "version": prefix.ip_version,
                    "parent": prefix.pk,
                    "namespace": self.namespace.pk,
                    **values,
                },
            )


def settle():
    """Give the planner its statistics."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ipam_ipaddress, ipam_prefix, ipam_ipaddressrange, ipam_namespace, extras_role")


def _host(prefix, number):
    if prefix.ip_version == 4:
        return f"int4send((%(network)s + {number})::int4)"
    return f"%(network)s::bytea || int8send({number})"


def _children(count, every, size, start):
    return {"count": count, "every": every, "size": size, "start": start, "child": 33 - size.bit_length()}


def _upper_half(prefix):
    return netaddr.IPAddress(prefix.network).packed[:8]
