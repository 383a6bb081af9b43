"""What people decide about differences: ignore, open again, settle. May import models, permissions and other services.

A difference is settled only as it was found: if what it is about has changed since, nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import netaddr
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from nautobot_pve_ipam.choices import DifferenceStateChoices, SettlementChoices
from nautobot_pve_ipam.errors import Conflict, InvalidRequest, Missing, quoted, rejection
from nautobot_pve_ipam.models import Allocation, Difference, SDNVNet, SDNZone
from nautobot_pve_ipam.permissions import require
from nautobot_pve_ipam.services.addresses import (
    Precondition,
    address_in,
    delete_address,
    holder,
    locked_addresses,
    put_address,
)
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.differences import lock
from nautobot_pve_ipam.services.locks import locked_transaction
from nautobot_pve_ipam.services.subnets import SubnetFacts, delete_subnet, put_subnet
from nautobot_pve_ipam.services.values import parse_line
from nautobot_pve_ipam.services.zones import delete_vnet, delete_zone

#: What a person has to do about PVE's cache, which Nautobot cannot write.
REPAIR_CACHE = "only a node of the cluster can change PVE's cache: run pve-nautobot sync --repair-cache there"


def ignore(difference: Difference, reason: str, *, user: Any) -> None:
    """Have a difference stay quiet until it changes. Raises InvalidRequest without a reason, Conflict if it is settled,
    Missing, Forbidden.
    """
    reason = parse_line(reason.strip(), "reason")
    if not reason:
        raise InvalidRequest("reason is missing: a difference is ignored for one", field="reason")
    with _decided(difference, user):
        difference.state, difference.reason = DifferenceStateChoices.ACCEPTED, reason


def reopen(difference: Difference, *, user: Any) -> None:
    """Have an ignored difference shown as open again. Raises Conflict if it is settled, Missing, Forbidden."""
    with _decided(difference, user):
        difference.state, difference.reason = DifferenceStateChoices.OPEN, ""


def settle(difference: Difference, settlement: str, *, user: Any) -> None:
    """Settle a difference in one of the ways that it offers.

    Raises InvalidRequest if it does not offer that one; Conflict if it is settled, if what it is about has changed
    since it was found, or if only the node can do it; Missing; Forbidden; and what the services raise that do it. If
    any of these is raised, nothing is written.
    """
    with _decided(difference, user):
        if settlement not in difference.settlements:
            offered = " or ".join(difference.settlements) or "nothing"
            raise InvalidRequest(f"settlement {quoted(settlement)} is not offered, but {offered}", field="settlement")
        if settlement == SettlementChoices.TAKE_NAUTOBOT:
            raise Conflict(REPAIR_CACHE)
        try:
            _WORK[settlement](difference, _caller(difference, user))
        except ValidationError as error:
            raise Conflict(f"Nautobot refuses: {rejection(error)}") from error
        difference.state = DifferenceStateChoices.SETTLED


@contextmanager
def _decided(difference: Difference, user: Any) -> Iterator[None]:
    """A block that changes a difference as it is now, which no sync changes meanwhile. It is saved at the end."""
    with locked_transaction() as locks:
        lock(difference.namespace, difference.cluster, locks)
        try:
            difference.refresh_from_db()
        except Difference.DoesNotExist as error:
            raise Missing(f"difference {difference} was just deleted") from error
        if difference.state == DifferenceStateChoices.SETTLED:
            raise Conflict(f"difference {difference} is settled already")
        yield
        difference.validated_save()
        require(user, "change", difference)


def _caller(difference: Difference, user: Any) -> Caller:
    """The user, acting for the difference's cluster as far as their permissions go, whoever it is bound to."""
    return Caller(user, difference.namespace, difference.cluster.name if difference.cluster else None)


def _release(difference: Difference, caller: Caller) -> None:
    """Let go of what PVE does not have any more. What is gone by now needs nothing."""
    if difference.ip:
        if held := _unchanged(difference, caller):
            _release_address(held, caller)
    elif difference.network:
        network = netaddr.IPNetwork(difference.network)
        there = replace(caller, zone=difference.zone).subnets().filter(vnet__name=difference.vnet)
        found = there.filter(prefix__network=str(network.network), prefix__prefix_length=network.prefixlen)
        for record in found.select_related("prefix__namespace", "vnet__zone__cluster"):
            delete_subnet(record, user=caller.user)
    elif difference.vnet:
        for vnet in SDNVNet.objects.filter(zone__in=_zones(difference), name=difference.vnet).select_related("zone"):
            delete_vnet(vnet, user=caller.user)
    else:
        for zone in _zones(difference):
            delete_zone(zone, user=caller.user)


def _zones(difference: Difference) -> QuerySet[SDNZone]:
    of = {"namespace": difference.namespace, "cluster": difference.cluster}
    return SDNZone.objects.filter(**of, name=difference.zone).order_by()


def _adopt(difference: Difference, caller: Caller) -> None:
    """Take over the prefix, or the address, that PVE did not make."""
    after = difference.after
    if difference.ip:
        place = replace(caller, zone=after["zone"])
        put_address(place, netaddr.IPAddress(after["ip"]), _guest(after), adopt=True)
    else:
        facts = SubnetFacts(zone=after["zone"], vnet=after["vnet"], cluster=caller.cluster, adopt=True)
        put_subnet(difference.namespace, netaddr.IPNetwork(after["network"]), facts, user=caller.user)


def _take_pve(difference: Difference, caller: Caller) -> None:
    """Have the guest hold the address that PVE has for it, instead of the one that it has in Nautobot."""
    after = difference.after
    held = _unchanged(difference, caller)
    subnet = held.subnet if held else caller.record_of(netaddr.IPNetwork(after["network"]))
    if subnet is None:
        raise Conflict(f"subnet {after['network']} is not there any more: sync again")
    wanted = netaddr.IPAddress(after["ip"])
    old = [netaddr.IPAddress(held.ip_address.host)] if held else []
    with locked_addresses(subnet.prefix, [wanted, *old], [after["mac"]]):
        if held:
            _release_address(held, caller)
        put_address(replace(caller, subnet=subnet), wanted, _guest(after))


_WORK: dict[str, Callable[[Difference, Caller], None]] = {
    SettlementChoices.RELEASE: _release,
    SettlementChoices.ADOPT: _adopt,
    SettlementChoices.TAKE_PVE: _take_pve,
}


def _guest(fact: dict[str, Any]) -> Guest:
    return Guest(fact["mac"] or None, fact["vmid"], fact["hostname"], fact["is_gateway"])


def _unchanged(difference: Difference, caller: Caller) -> Allocation | None:
    """The allocation of the address in `before`, None if nobody has it any more.

    Raises Conflict if somebody else has it by now, or if PVE has spoken of it since the difference was found.
    """
    before = difference.before or {}
    ip = netaddr.IPAddress(before.get("ip", difference.ip))
    address = address_in(difference.namespace, ip)
    if address is None:
        return None
    held = getattr(address, "pve_allocation", None)
    if held is None:
        raise Conflict(f"address {address} has no allocation any more: sync again")
    network = str(held.subnet.prefix.prefix) if held.subnet else None
    facts = {"mac": str(held.mac or ""), "vmid": held.vmid, "is_gateway": held.is_gateway, "network": network}
    if facts != {name: before.get(name) for name in facts}:
        raise Conflict(f"address {address} is held by {holder(held, caller.user)} by now: sync again")
    if held.last_seen and held.last_seen > difference.last_seen:
        raise Conflict(f"PVE has asked for address {address} since then: sync again")
    return held


def _release_address(held: Allocation, caller: Caller) -> None:
    """Release it, unless it has passed to somebody else at the last moment."""
    same = Precondition(str(held.mac or "") or None, held.vmid, [str(held.pk)])
    delete_address(caller, netaddr.IPAddress(held.ip_address.host), same)
