"""Believable networks for the tests of the pages, made by Nautobot's own models."""

from django.db import connection
from nautobot.ipam.models import IPAddress, Prefix

from tests.models import data


def fill(prefix, offsets):
    """Addresses at these offsets of a prefix of 10.0.0.0/8 or a /64, written in one statement: thousands a second."""
    network = prefix.prefix.network
    if prefix.ip_version == 4:
        host, base = "int4send((%s + n)::int4)", int(network)
    else:
        host, base = "%s::bytea || int8send(n)", network.packed[:8]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ipam_ipaddress (id, created, last_updated, _custom_field_data, host, mask_length, dns_name,"
            " description, status_id, ip_version, parent_id, type)"
            f" SELECT gen_random_uuid(), now(), now(), '{{}}', {host}, %s, '', '', %s, %s, %s, 'host'"
            " FROM unnest(%s::bigint[]) AS n",
            [base, prefix.prefix_length, data.active(IPAddress).pk, prefix.ip_version, prefix.pk, list(offsets)],
        )


def prefix(text, **fields):
    return data.saved(
        Prefix(**{"prefix": text, "namespace": data.namespace(), "status": data.active(Prefix), **fields})
    )
