"""PVE's hooks on single addresses: take this one, find by MAC, change, release. Each acts for one cluster.

Whom an address belongs to is told by its allocation: a cluster sees and releases its own alone.
"""

from dataclasses import dataclass

import netaddr
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Q
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam import allocation, lookups, subnets
from nautobot_pve_ipam.allocation import Guest, Held, Scope, Wanted
from nautobot_pve_ipam.errors import AddressTaken, Conflict, InvalidRequest, Missing, NotOurs
from nautobot_pve_ipam.locks import locked_transaction
from nautobot_pve_ipam.models import Allocation, SDNSubnet
from nautobot_pve_ipam.occupancy import usable_span
from nautobot_pve_ipam.rights import require

RELATED = ("ip_address__status", "ip_address__parent__namespace", "subnet__vnet__zone__cluster")


@dataclass(frozen=True)
class Caller:
    """Which PVE asks: the names of its cluster and zone, either of them empty where it does not say."""

    namespace: Namespace
    user: object
    cluster: str | None = None
    zone: str | None = None

    def allocations(self):
        """The allocations of this namespace that are the caller's own."""
        try:
            own = Scope(lookups.find_cluster(self.cluster)).allocations()
        except Missing:  # a cluster that never made a subnet holds nothing
            return Allocation.objects.none()
        if self.zone:
            own = own.filter(subnet__vnet__zone__name=self.zone)
        return own.filter(ip_address__parent__namespace=self.namespace).select_related(*RELATED)

    def visible(self):
        """The caller's own allocations, and the gateways that its subnets share with those of another cluster."""
        records = SDNSubnet.objects.filter(
            prefix__namespace=self.namespace, vnet__zone__cluster__name=self.cluster or None
        )
        shared = Q(is_gateway=True, subnet__prefix__in=records.values("prefix"))
        return Allocation.objects.filter(shared | Q(pk__in=self.allocations().values("pk"))).select_related(*RELATED)


def put_address(caller: Caller, ip: netaddr.IPAddress, guest: Guest, *, adopt=False, own_subnet_only=False) -> Held:
    """Take the address `ip` for a guest or, with `guest.is_gateway`, register it as its subnet's gateway. Idempotent.

    Raises AddressTaken where somebody else holds it or, without `adopt`, where it was made by other hands; Conflict
    where the MAC holds another address of the subnet; InvalidRequest for a network, broadcast or anycast address;
    Missing where no subnet of the caller has it; Forbidden. A caller that names neither cluster nor zone may mean any
    prefix of the namespace unless `own_subnet_only`.
    """
    prefix, subnet = _home(caller, ip, own_subnet_only)
    _check_usable(prefix, ip)
    with locked_transaction() as locks:
        if guest.mac and not guest.is_gateway:
            locks.wait("mac", prefix.pk, guest.mac)
        locks.wait("address", prefix.namespace_id, int(ip))
        scope = Scope(subnet.vnet.zone.cluster if subnet else None, subnet)
        found = _address(caller.namespace, ip)
        if found is not None and hasattr(found, "pve_allocation"):
            return _hold_again(found, guest, scope, caller.user)
        if guest.mac and not guest.is_gateway:
            _check_mac_is_free(scope, prefix, ip, guest.mac)
        if found is not None:
            return _adopt(found, guest, subnet, adopt, caller.user)
        try:
            return allocation.take(prefix, int(ip), Wanted(guest), user=caller.user, scope=scope)
        except (IntegrityError, ValidationError) as error:
            # A writer who does not know our lock was faster, or Nautobot forbids an address there.
            why = " ".join(error.messages) if isinstance(error, ValidationError) else "it was just taken"
            raise AddressTaken(f"address {ip} in namespace {caller.namespace}: {why}") from error


def patch_address(caller: Caller, ip: netaddr.IPAddress, guest: Guest) -> Allocation:
    """Change hostname, MAC and vmid of an address the caller holds. Raises Missing, Conflict, Forbidden."""
    with locked_transaction() as locks:
        held = _own(caller, ip)
        prefix = held.subnet.prefix if held.subnet else held.ip_address.parent
        if guest.mac and not held.is_gateway:
            locks.wait("mac", prefix.pk, guest.mac)
        locks.wait("address", caller.namespace.pk, int(ip))
        held = _own(caller, ip)  # it may be gone by now
        if guest.mac and not held.is_gateway:
            _check_mac_is_free(Scope(lookups.find_cluster(caller.cluster), held.subnet), prefix, ip, guest.mac)
        allocation.update(held, guest)
        require(caller.user, "change", held.ip_address)
        return held


def delete_address(caller: Caller, ip: netaddr.IPAddress) -> None:
    """Release an address the caller holds; nothing to do where it is gone. Raises NotOurs, Forbidden."""
    with locked_transaction() as locks:
        locks.wait("address", caller.namespace.pk, int(ip))
        found = _address(caller.namespace, ip)
        if found is None:
            return
        own = caller.allocations().filter(ip_address=found).first()
        if own is not None:
            subnets.release(own, user=caller.user)
        elif not _shares_gateway(caller, found):
            whose = getattr(found, "pve_allocation", None)
            raise NotOurs(
                f"address {found} in namespace {caller.namespace} "
                + (f"is held by {_holder(whose, caller.user)}" if whose else "was not made by PVE")
                + ": not ours to delete"
            )


def find_by_mac(caller: Caller, mac: str) -> list[Allocation]:
    """The caller's guest allocations with that MAC, IPv4 first, ascending."""
    held = caller.allocations().filter(mac=mac, is_gateway=False)
    visible = IPAddress.objects.restrict(caller.user, "view")
    return list(held.filter(ip_address__in=visible).order_by("ip_address__ip_version", "ip_address__host"))


def _own(caller, ip) -> Allocation:
    held = caller.allocations().filter(ip_address__host=str(ip)).first()
    if held is None:
        raise Missing(f"address {ip} is not held in namespace {caller.namespace}")
    return held


def _home(caller, ip, own_subnet_only) -> tuple[Prefix, SDNSubnet | None]:
    """The caller's subnet around an address; any prefix, if allowed, for who names neither zone nor cluster."""
    visible = Prefix.objects.restrict(caller.user, "view").select_related("namespace")
    records = (
        SDNSubnet.objects.filter(
            prefix__in=visible,
            prefix__namespace=caller.namespace,
            prefix__ip_version=ip.version,
            prefix__network__lte=str(ip),
            prefix__broadcast__gte=str(ip),
            vnet__zone__cluster__name=caller.cluster or None,
        )
        .select_related("vnet__zone__cluster", "prefix__namespace")
        .order_by("-prefix__prefix_length")
    )
    if caller.zone:
        records = records.filter(vnet__zone__name=caller.zone)
    if record := records.first():
        return record.prefix, record
    if not (caller.zone or caller.cluster or own_subnet_only):
        try:
            return visible.filter(namespace=caller.namespace).get_closest_parent(str(ip), include_self=True), None
        except Prefix.DoesNotExist:
            pass
    where = f"zone {caller.zone}" if caller.zone else f"namespace {caller.namespace}"
    raise Missing(f"{where} has no subnet with address {ip}")


def _check_usable(prefix, ip):
    first, last = usable_span(prefix)
    if not first <= int(ip) <= last:
        what = "network" if int(ip) < first and ip.version == 4 else "broadcast" if ip.version == 4 else "anycast"
        raise InvalidRequest(f"address {ip} is the {what} address of {prefix.prefix}", field="ip")


def _address(namespace, ip):
    found = IPAddress.objects.filter(parent__namespace=namespace, host=str(ip))
    return found.select_related("status", "parent__namespace", "pve_allocation__subnet__vnet__zone__cluster").first()


def _hold_again(address, guest, scope, user) -> Held:
    """An address that has an allocation: the caller's own for the same guest, a gateway it shares, or taken."""
    held = address.pve_allocation
    same_gateway = guest.is_gateway and held.is_gateway
    if scope.allocations().filter(pk=held.pk).exists():
        if same_gateway or (not guest.is_gateway and not held.is_gateway and _same_guest(held, guest)):
            allocation.update(held, guest)
            require(user, "add", address)
            return Held(address, held, created=False)
    elif same_gateway and scope.subnet is not None and held.subnet and held.subnet.prefix_id == scope.subnet.prefix_id:
        return Held(address, held, created=False)  # one network, one gateway, two clusters
    raise AddressTaken(f"address {address} is held by {_holder(held, user)}")


def _same_guest(held, guest):
    """The first of MAC, vmid and hostname that both know decides; nothing known of either is the same nothing."""
    known = ((guest.mac, str(held.mac or "")), (guest.vmid, held.vmid), (guest.hostname, held.hostname))
    for asked, stored in known:
        if asked and stored:
            return asked == stored
    return not any(asked or stored for asked, stored in known)


def _holder(held, user):
    """Who holds an address, in words; nobody in particular where `user` may not see it."""
    if not IPAddress.objects.restrict(user, "view").filter(pk=held.ip_address_id).exists():
        return "somebody else"
    zone = held.subnet.vnet.zone if held.subnet else None
    facts = (
        "a gateway" if held.is_gateway else f"guest {held.hostname or held.vmid or ''}".rstrip(),
        f"with MAC {held.mac}" if held.mac else "",
        f"of zone {zone}" if zone else "",
    )
    return " ".join(fact for fact in facts if fact)


def _check_mac_is_free(scope, prefix, ip, mac):
    first, last = (str(prefix.network), str(prefix.broadcast))
    other = (
        scope.allocations()
        .filter(
            mac=mac,
            is_gateway=False,
            ip_address__parent__namespace_id=prefix.namespace_id,
            ip_address__ip_version=prefix.ip_version,
            ip_address__host__gte=first,
            ip_address__host__lte=last,
        )
        .exclude(ip_address__host=str(ip))
        .first()
    )
    if other:
        raise Conflict(f"mac {mac} holds {other.ip_address} of {prefix.prefix} already", field="mac")


def _adopt(address, guest, subnet, adopt, user) -> Held:
    if not adopt:
        raise AddressTaken(f"address {address} was not made by PVE: adopt it to use it")
    held = Allocation(
        ip_address=address,
        subnet=subnet,
        mac=guest.mac or "",
        vmid=guest.vmid,
        hostname=guest.hostname,
        is_gateway=guest.is_gateway,
        adopted=True,
    )
    held.validated_save()
    require(user, "change", address)
    return Held(address, held, created=False)


def _shares_gateway(caller, address):
    """Whether the caller's subnet names this address its gateway while another cluster's allocation holds it."""
    held = getattr(address, "pve_allocation", None)
    if held is None or not held.is_gateway or held.subnet is None:
        return False
    sharers = SDNSubnet.objects.filter(prefix=held.subnet.prefix_id)
    return sharers.filter(vnet__zone__cluster__name=caller.cluster or None).exists()
