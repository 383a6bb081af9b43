"""Realistic networks for the page tests."""

from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.search.intervals import runs
from tests.models import data
from tests.search.fill import Ground


def fill(prefix, offsets):
    """Use the addresses at these offsets of a prefix."""
    ground = Ground(prefix.namespace.name)
    for first, last in runs(offsets):
        ground.use(prefix, range(first, last + 1))


def prefix(text, **fields):
    return data.saved(
        Prefix(**{"prefix": text, "namespace": data.namespace(), "status": data.active(Prefix), **fields})
    )
