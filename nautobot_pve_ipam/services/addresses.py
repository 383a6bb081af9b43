"""PVE's operations on one address: take it, find it by MAC, change it, release it. May import search and models.

The allocation says who owns an address; a cluster sees and releases only its own.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import netaddr
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import QuerySet
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.core_internals import atomic
from nautobot_pve_ipam.errors import (
    AddressTaken,
    Conflict,
    InvalidRequest,
    Missing,
    NotOurs,
    PreconditionFailed,
    rejection,
)
from nautobot_pve_ipam.models import Allocation, SDNSubnet
from nautobot_pve_ipam.permissions import is_visible, named, require
from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.search.intervals import to_int
from nautobot_pve_ipam.search.occupancy import territory_id, usable_span
from nautobot_pve_ipam.services.allocation import (
    Guest,
    Held,
    Wanted,
    confirm,
    new_allocation,
    release,
    take,
    update,
    with_known_name,
)
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.locks import SUBNETS, Locks, change_prefixes, locked_transaction


@dataclass(frozen=True)
class Precondition:
    """By whom an address must still be held: an address alone does not say whose it is.

    A repeated request may arrive when the address has already passed to the next guest. None: any.
    """

    mac: str | None = None
    vmid: int | None = None
    allocation_ids: Collection[str] | None = None

    def check(self, allocation: Allocation, user: Any, change: Guest) -> None:
        """Raise PreconditionFailed unless it is met; a MAC or vmid may already be what `change` is to make of it."""
        wrong = []
        if self.mac and str(allocation.mac or "") not in (self.mac, change.mac):
            wrong.append(f"MAC {self.mac}")
        if self.vmid and allocation.vmid not in (self.vmid, change.vmid or self.vmid):
            wrong.append(f"VMID {self.vmid}")
        if self.allocation_ids is not None and str(allocation.pk) not in self.allocation_ids:
            wrong.append("the allocation named by If-Match")
        if wrong:
            raise PreconditionFailed(
                f"address {allocation.ip_address} is held by {holder(allocation, user)}, not by {', '.join(wrong)}"
            )


@dataclass(frozen=True)
class Holding:
    """Who is to have which address."""

    ip: netaddr.IPAddress
    guest: Guest


#: Whoever holds it.
ANYBODY = Precondition()


def put_address(caller: Caller, ip: netaddr.IPAddress, guest: Guest, *, adopt: bool = False) -> Held:
    """Take the address `ip` for a guest or, with `guest.is_gateway`, register it as its subnet's gateway. Idempotent.

    Raises AddressTaken if somebody else holds it or, without `adopt`, if it was not created by PVE, and for a guest if
    it is a subnet's gateway; Conflict if the MAC holds another address of the subnet, or if the caller has several
    records of the subnet; InvalidRequest for a network, broadcast or anycast address; Missing if no subnet of the
    caller contains it; Forbidden. A caller that names no cluster, zone or subnet may use any prefix of the namespace.
    """
    prefix, subnet = _home(caller, ip)
    caller = replace(caller, subnet=subnet)
    _check_usable(prefix, ip)
    with locked_transaction() as locks:
        if guest.mac and not guest.is_gateway:
            locks.wait("mac", prefix.pk, guest.mac)
        prefix_id = territory_id(prefix)
        if guest.is_gateway:  # its subnet's record may learn it in the same transaction, which excludes allocations
            change_prefixes([prefix_id])
        else:
            locks.wait("prefix", prefix_id)
        locks.wait("address", prefix.namespace_id, int(ip))
        found = address_in(caller.namespace, ip)
        if found is not None and hasattr(found, "pve_allocation"):
            return _hold_again(found, guest, caller)
        if not guest.is_gateway:
            _check_is_no_gateway(caller.namespace, ip)
        if guest.mac and not guest.is_gateway:
            _check_mac_is_free(caller, prefix, ip, guest.mac)
        if found is not None:
            return _adopt(found, guest, caller, adopt)
        try:
            wanted = [(int(ip), Wanted(with_known_name(guest, caller)))]
            return take(prefix, wanted, locks, caller=caller)[0]
        except (IntegrityError, ValidationError) as error:
            if not tables.closed(prefix, [int(ip)]):
                raise
            # A writer that does not use our locks was faster, or an exclusive range forbids addresses there.
            why = rejection(error) if isinstance(error, ValidationError) else "it was just taken"
            raise AddressTaken(f"address {ip} in namespace {caller.namespace}: {why}") from error


@contextmanager
def locked_addresses(
    prefix: Prefix, ips: Iterable[netaddr.IPAddress], macs: Iterable[str], *, with_subnets: bool = False
) -> Iterator[Locks]:
    """A transaction in which nobody else takes an address in `prefix`, changes or releases one of `ips`, or gives one
    to one of `macs`; `with_subnets`: nor changes zones, vnets and subnets of its namespace.

    A constant number of queries, and of locks once there are many.
    """
    with locked_transaction() as locks:
        locks.wait_all([("mac", prefix.pk, mac) for mac in sorted(set(macs))])
        if with_subnets:
            locks.wait(SUBNETS, prefix.namespace_id)
        change_prefixes([territory_id(prefix)])
        locks.wait_all([("address", prefix.namespace_id, int(ip)) for ip in sorted(set(ips))])
        yield locks


def put_addresses(
    subnet: SDNSubnet,
    holdings: Sequence[Holding],
    locks: Locks,
    *,
    user: Any,
    adopt: bool = False,
    last_seen: datetime | None = None,
) -> None:
    """Have guests and gateways hold these addresses of a subnet, all or none: within `locked_addresses`, in which the
    caller has seen that whoever holds one of them by now is that guest, or has left it.

    A constant number of queries besides those that write. `last_seen`: when PVE said so, if that is not now. Raises
    AddressTaken, Conflict, InvalidRequest and Forbidden as `put_address` does, Django's ValidationError, and
    IntegrityError.
    """
    caller, prefix, new = Caller.in_subnet(user, subnet), subnet.prefix, []
    there = _addresses_in(caller.namespace, [one.ip for one in holdings])
    with atomic():
        for one in holdings:
            found = there.get(str(one.ip))
            if found is None:
                new.append(one)
            elif hasattr(found, "pve_allocation"):
                allocation = found.pve_allocation
                require(user, "view", found)
                update(allocation, one.guest, user=user, subnet=subnet, last_seen=last_seen)
            else:
                _adopt(found, one.guest, caller, adopt)
        guests = [one for one in new if not one.guest.is_gateway]
        _check_may_be_taken(subnet, guests, user)
        for group in _by_parent(prefix, new):
            wanted = [(int(one.ip), Wanted(one.guest)) for one in group]
            take(prefix, wanted, locks, caller=caller, last_seen=last_seen)


def release_addresses(caller: Caller, ips: Sequence[netaddr.IPAddress]) -> None:
    """Release these addresses, which have allocations: within `locked_addresses`, in which the caller has seen whose.

    Raises as `release` does.
    """
    for address in _addresses_in(caller.namespace, ips).values() if ips else ():
        release(address.pve_allocation, user=caller.user)


def _check_may_be_taken(subnet: SDNSubnet, holdings: Sequence[Holding], user: Any) -> None:
    """Raise unless guests may have these free addresses of a subnet, and have none there yet."""
    prefix = subnet.prefix
    gateways = set(SDNSubnet.objects.filter(prefix=prefix).order_by().values_list("gateway", flat=True))
    macs = [one.guest.mac for one in holdings if one.guest.mac]
    held = Allocation.objects.filter(subnet=subnet, mac__in=macs, is_gateway=False).select_related("ip_address")
    having = {str(found.mac): found.ip_address for found in held.order_by()} if macs else {}
    if twice := next((mac for mac, times in Counter(macs).items() if times > 1), None):
        raise Conflict(f"mac {twice} appears twice in the list", field="mac")
    for one in holdings:
        _check_usable(prefix, one.ip)
        if str(one.ip) in gateways:
            raise _is_gateway(one.ip, prefix, prefix.namespace)
        if (mac := one.guest.mac or "") in having:
            raise _second_address(mac, having[mac], prefix, user)


def _by_parent(prefix: Prefix, holdings: Iterable[Holding]) -> Iterable[list[Holding]]:
    """The addresses of a prefix by what will be their parent: itself, or one of its child prefixes. All ascending."""
    ordered = sorted(holdings, key=lambda one: one.ip)
    if not ordered:
        return []
    parents: list[object] = [None] * len(ordered)
    hosts = [int(one.ip) for one in ordered]
    children = Prefix.objects.filter(
        namespace=prefix.namespace,
        ip_version=prefix.ip_version,
        prefix_length__gt=prefix.prefix_length,
        network__gte=prefix.network,
        network__lte=str(ordered[-1].ip),
        broadcast__gte=str(ordered[0].ip),
    )
    for id_, first, last in children.order_by("prefix_length").values_list("pk", "network", "broadcast"):
        for index in range(bisect_left(hosts, to_int(first)), bisect_right(hosts, to_int(last))):
            parents[index] = id_
    groups: dict[object, list[Holding]] = {}
    for parent, one in zip(parents, ordered, strict=True):
        groups.setdefault(parent, []).append(one)
    return groups.values()


def patch_address(
    caller: Caller, ip: netaddr.IPAddress, guest: Guest, precondition: Precondition = ANYBODY
) -> Allocation:
    """Change the hostname, MAC and vmid of an address the caller holds.

    Raises Missing, PreconditionFailed, Conflict, Forbidden.
    """
    with locked_transaction() as locks:
        allocation = _own(caller, ip)
        prefix = allocation.subnet.prefix if allocation.subnet else allocation.ip_address.parent
        if guest.mac and not allocation.is_gateway:
            locks.wait("mac", prefix.pk, guest.mac)
        locks.wait("address", caller.namespace.pk, int(ip))
        allocation = _own(caller, ip)  # it may have been released while we waited
        require(caller.user, "view", allocation.ip_address)
        require(caller.user, "change", allocation.ip_address)
        precondition.check(allocation, caller.user, guest)
        if guest.mac and not allocation.is_gateway:
            _check_mac_is_free(caller, prefix, ip, guest.mac)
        update(allocation, guest, user=caller.user)
        return allocation


def delete_address(caller: Caller, ip: netaddr.IPAddress, precondition: Precondition = ANYBODY) -> None:
    """Release an address the caller holds; does nothing if it no longer exists.

    Raises NotOurs, PreconditionFailed, Forbidden.
    """
    with locked_transaction() as locks:
        locks.wait("address", caller.namespace.pk, int(ip))
        found = address_in(caller.namespace, ip)
        if found is None:
            return
        own = getattr(found, "pve_allocation", None)
        if own is not None and caller.owns(own):
            require(caller.user, "delete", found)
            precondition.check(own, caller.user, Guest())
            release(own, user=caller.user)
        elif not _shares_gateway(caller, found):
            raise NotOurs(
                f"address {found} in namespace {caller.namespace} "
                + (f"is held by {holder(own, caller.user)}" if own else "was not created by PVE")
                + ": not ours to delete"
            )


def find_address(caller: Caller, ip: netaddr.IPAddress) -> Allocation:
    """The caller's allocation of that address. Raises Missing."""
    if found := caller.only_visible(caller.allocations(ip_address__host=str(ip))):
        return found[0]
    raise Missing(f"address {ip} is not held in namespace {caller.namespace}, or you may not view it")


def find_by_mac(caller: Caller, mac: str) -> list[Allocation]:
    """The caller's guest allocations for that MAC, IPv4 first, in ascending order."""
    return caller.only_visible(caller.allocations(mac=mac, is_gateway=False))


def _own(caller: Caller, ip: netaddr.IPAddress) -> Allocation:
    if found := caller.allocations(ip_address__host=str(ip)):
        return found[0]
    raise Missing(f"address {ip} is not held in namespace {caller.namespace}")


def _home(caller: Caller, ip: netaddr.IPAddress) -> tuple[Prefix, SDNSubnet | None]:
    """The caller's subnet containing an address; a caller without zone and cluster may get any prefix instead."""
    if record := caller.subnet or caller.subnet_around(ip):
        return record.prefix, record
    if not (caller.zone or caller.cluster):
        visible = Prefix.objects.restrict(caller.user, "view").select_related("namespace")
        around = tables.ids_around(caller.namespace.pk, ip.version, int(ip))
        for prefix in visible.filter(pk__in=around).order_by("-prefix_length"):
            return prefix, None
    where = f"zone {caller.zone}" if caller.zone else f"namespace {caller.namespace}"
    raise Missing(f"{where} has no subnet containing address {ip}")


def _check_usable(prefix: Prefix, ip: netaddr.IPAddress) -> None:
    first, last = usable_span(prefix)
    if not first <= int(ip) <= last:
        what = "network" if int(ip) < first and ip.version == 4 else "broadcast" if ip.version == 4 else "anycast"
        raise InvalidRequest(f"address {ip} is the {what} address of {prefix.prefix}", field="ip")


def address_in(namespace: Namespace, ip: netaddr.IPAddress) -> IPAddress | None:
    """The core address of a namespace, whatever its parent, with its allocation."""
    return next(iter(_with_allocations(namespace, host=str(ip))), None)


def _addresses_in(namespace: Namespace, ips: Sequence[netaddr.IPAddress]) -> dict[str, IPAddress]:
    """What `address_in` finds, for many addresses."""
    return {address.host: address for address in _with_allocations(namespace, host__in=[str(ip) for ip in ips])}


def _with_allocations(namespace: Namespace, **which: Any) -> QuerySet[IPAddress]:
    found = IPAddress.objects.filter(parent__namespace=namespace, **which).order_by()
    return found.select_related("status", "parent__namespace", "pve_allocation__subnet__vnet__zone__cluster")


def _check_is_no_gateway(namespace: Namespace, ip: netaddr.IPAddress) -> None:
    around = tables.ids_around(namespace.pk, ip.version, int(ip))
    for record in SDNSubnet.objects.filter(prefix__in=around, gateway=str(ip)).select_related("prefix"):
        raise _is_gateway(ip, record.prefix, namespace)


def _is_gateway(ip: netaddr.IPAddress, prefix: Prefix, namespace: Namespace) -> AddressTaken:
    return AddressTaken(f"address {ip} is the gateway of subnet {prefix} in namespace {namespace}")


def _hold_again(address: IPAddress, guest: Guest, caller: Caller) -> Held:
    """Handle an address that has an allocation: the caller's own for the same guest, a shared gateway, or taken."""
    allocation, subnet = address.pve_allocation, caller.subnet
    same_gateway = guest.is_gateway and allocation.is_gateway
    if caller.owns(allocation):
        if same_gateway or (not guest.is_gateway and not allocation.is_gateway and _same_guest(allocation, guest)):
            confirmed = confirm(allocation, guest, caller)
            require(caller.user, "add", address)
            return confirmed
    elif same_gateway and subnet is not None and allocation.subnet and allocation.subnet.prefix_id == subnet.prefix_id:
        require(caller.user, "view", address)
        require(caller.user, "add", address)
        return Held(address, allocation, created=False)  # one network, one gateway, two clusters
    raise AddressTaken(f"address {address} is held by {holder(allocation, caller.user)}")


def _same_guest(allocation: Allocation, guest: Guest) -> bool:
    """Compare the first of MAC, vmid and hostname that is set on both; if neither has any, they count as the same."""
    known = (
        (guest.mac, str(allocation.mac or "")),
        (guest.vmid, allocation.vmid),
        (guest.hostname, allocation.hostname),
    )
    for asked, stored in known:
        if asked and stored:
            return asked == stored
    return not any(asked or stored for asked, stored in known)


def holder(allocation: Allocation, user: Any) -> str:
    """Describe who holds an address, without details if `user` may not view it."""
    if not is_visible(user, allocation.ip_address):
        return "somebody else"
    zone = allocation.subnet.vnet.zone if allocation.subnet else None
    facts = (
        "a gateway" if allocation.is_gateway else f"guest {allocation.hostname or allocation.vmid or ''}".rstrip(),
        f"with MAC {allocation.mac}" if allocation.mac else "",
        f"of zone {zone}" if zone else "",
    )
    return " ".join(fact for fact in facts if fact)


def _check_mac_is_free(caller: Caller, prefix: Prefix, ip: netaddr.IPAddress, mac: str) -> None:
    for held in caller.allocations_in(prefix, mac=mac, is_gateway=False):
        if held.ip_address.host != str(ip):
            raise _second_address(mac, held.ip_address, prefix, caller.user)


def _second_address(mac: str, first: IPAddress, prefix: Prefix, user: Any) -> Conflict:
    return Conflict(f"mac {mac} already holds {named(user, first, 'an address')} in {prefix.prefix}", field="mac")


def _adopt(address: IPAddress, guest: Guest, caller: Caller, adopt: bool) -> Held:
    if not adopt:
        raise AddressTaken(f"address {address} was not created by PVE: adopt it to use it")
    allocation = new_allocation(address, with_known_name(guest, caller), caller.subnet, adopted=True)
    allocation.validated_save()
    require(caller.user, "view", address)
    require(caller.user, "change", address)
    return Held(address, allocation, created=False)


def _shares_gateway(caller: Caller, address: IPAddress) -> bool:
    """Whether this is the gateway of the caller's subnet too, while another cluster's allocation holds it."""
    allocation = getattr(address, "pve_allocation", None)
    if allocation is None or not allocation.is_gateway or allocation.subnet is None:
        return False
    sharers = SDNSubnet.objects.filter(prefix=allocation.subnet.prefix_id)
    return sharers.filter(vnet__zone__cluster__name=caller.cluster or None).exists()
