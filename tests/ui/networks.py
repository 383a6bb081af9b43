"""Realistic networks for the page tests, created through Nautobot's own models."""

from nautobot.ipam.models import IPAddress, Prefix

from tests.models import data

BATCH = 5000


def fill(prefix, offsets):
    """Addresses at these offsets in a prefix, created in bulk: ten thousand per second."""
    network, status = prefix.prefix, data.active(IPAddress)
    addresses = (
        IPAddress(
            host=str(network[offset]),
            mask_length=prefix.prefix_length,
            ip_version=prefix.ip_version,
            parent=prefix,
            status=status,
        )
        for offset in offsets
    )
    IPAddress.objects.bulk_create(addresses, batch_size=BATCH)


def prefix(text, **fields):
    return data.saved(
        Prefix(**{"prefix": text, "namespace": data.namespace(), "status": data.active(Prefix), **fields})
    )
