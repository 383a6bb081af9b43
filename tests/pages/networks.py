"""Believable networks for the tests of the pages, made by Nautobot's own models."""

from nautobot.ipam.models import IPAddress, Prefix

from tests.models import data


def fill(prefix, hosts):
    """Addresses at these offsets of a prefix, written in bulk: `clean()` would take minutes for tens of thousands."""
    status, network, length = data.active(IPAddress), prefix.prefix.network, prefix.prefix_length
    IPAddress.objects.bulk_create(
        (IPAddress(address=f"{network + at}/{length}", parent=prefix, status=status, type="host") for at in hosts),
        batch_size=5000,
    )


def prefix(text, **fields):
    return data.saved(
        Prefix(**{"prefix": text, "namespace": data.namespace(), "status": data.active(Prefix), **fields})
    )
