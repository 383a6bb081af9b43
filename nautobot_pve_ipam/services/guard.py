"""The guard of DHCP ranges, a setting: who may create an address inside a DHCP range of a PVE subnet.

PVE's calls may, those who name the range in a call of ours, and users with an object permission on the range itself.
`ipam.add_ipaddress` with constraints cannot say that: a constraint describes the address and knows no ranges, it has no
"not", other permissions of the user add to it, and it does not tell by which call the address is made. May import
search and models.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.exceptions import ValidationError
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.core_internals import value_before_save
from nautobot_pve_ipam.errors import Forbidden
from nautobot_pve_ipam.permissions import require
from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.search.intervals import to_int
from nautobot_pve_ipam.services import defaults

SETTING = "guard_dhcp_ranges"
#: An "additional action" of object permissions on IP address ranges, as Nautobot calls those that are not its own.
ACTION = "allocate"

_chosen: ContextVar[Collection[int]] = ContextVar("pve_ipam_chosen", default=())


def is_on() -> bool:
    """Whether DHCP ranges are guarded; no query."""
    return defaults.is_on(SETTING)


@contextmanager
def chosen(hosts: Collection[int]) -> Iterator[None]:
    """Let addresses pass that our services have chosen: for PVE, or for somebody who has named their range."""
    before = _chosen.set(hosts)
    try:
        yield
    finally:
        _chosen.reset(before)


def check(address: IPAddress, user: Any) -> None:
    """Raise Django's ValidationError if `user` may not put the address, which is about to be saved, where it is.

    Only if it comes there: it is new, or comes from another namespace. Its parent must be known. Costs nothing but the
    look at the setting while that is off, and two queries while it is on, whatever the number of ranges.
    """
    if not _comes(address) or (host := to_int(address.host)) in _chosen.get() or not is_on():
        return
    version = address.ip_version
    found = tables.sdn_ranges_around(tables.ids_around(address.parent.namespace_id, version, host), version, host)
    if not found or _stays_in_namespace(address):
        return
    try:
        require(user, ACTION, *IPAddressRange.objects.filter(pk__in=found))
    except Forbidden as error:
        raise ValidationError(
            f"Address {address} is in a DHCP range of Proxmox VE: {error.sentence}. "
            "Ask for the next free IP of that range instead."
        ) from error


def _comes(address: IPAddress) -> bool:
    if address.parent_id is None or not address.host:
        return False  # it is invalid, as others will say
    return not address.present_in_database or value_before_save(address, "parent_id") != address.parent_id


def _stays_in_namespace(address: IPAddress) -> bool:
    before = Prefix.objects.filter(pk=value_before_save(address, "parent_id"))
    return address.present_in_database and before.filter(namespace=address.parent.namespace_id).exists()
