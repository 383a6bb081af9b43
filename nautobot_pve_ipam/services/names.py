"""The names of guests for whom PVE asks without telling the name. May import search and models.

PVE's page for the addresses of a vnet changes an address by releasing it and taking another one, and it tells no name.
So that of a guest just released is remembered in Redis for a while. It is a mere hint: without it, the guest has no
name here until PVE tells it again.
"""

from django.core.cache import cache
from django.db import transaction

from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.services.callers import Caller

SECONDS = 3600


def known_name(caller: Caller, mac: str) -> str:
    """The name under which this MAC holds other addresses of the caller, or held one until recently; may be empty."""
    if tables.is_known_mac(mac):
        held = caller.allocations(mac=mac, is_gateway=False)
        if name := next((found.hostname for found in held if found.hostname), None):
            return str(name)
    return str(cache.get(_key(caller.namespace.pk, caller.cluster, mac), ""))


def remember_name(allocation: Allocation) -> None:
    """Remember the name of a guest that is being released."""
    if allocation.mac and allocation.hostname and not allocation.is_gateway:
        cluster = allocation.subnet.vnet.zone.cluster if allocation.subnet else None
        namespace_id, name = allocation.ip_address.parent.namespace_id, allocation.hostname
        key = _key(namespace_id, cluster.name if cluster else None, str(allocation.mac))
        transaction.on_commit(lambda: cache.set(key, name, SECONDS), robust=True)


def _key(namespace_id: object, cluster: str | None, mac: str) -> str:
    return f"pve-ipam:name:{namespace_id}:{cluster or ''}:{mac}"
