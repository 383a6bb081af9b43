"""Writes subnets: a PVE subnet as a core Prefix, with its DHCP ranges as core IPAddressRanges.

PVE never destroys what it did not create. An existing prefix or range is adopted only on request, and later released
instead of deleted. Whatever two clusters share is deleted with the last of them. May import search and models.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import netaddr
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddressRange, Namespace, Prefix

from nautobot_pve_ipam.core_internals import atomic
from nautobot_pve_ipam.errors import AddressTaken, Conflict, InvalidRequest, SubnetNotEmpty, rejection
from nautobot_pve_ipam.models import Allocation, SDNDHCPRange, SDNSubnet, SDNVNet
from nautobot_pve_ipam.permissions import is_visible, named, require
from nautobot_pve_ipam.search.intervals import Interval, to_text, usable
from nautobot_pve_ipam.search.occupancy import range_span, territory_id
from nautobot_pve_ipam.search.search import check_family
from nautobot_pve_ipam.search.tables import ids_around
from nautobot_pve_ipam.services.addresses import address_in, holder
from nautobot_pve_ipam.services.allocation import delete, release
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.locks import SUBNETS, change_prefixes, locked_transaction
from nautobot_pve_ipam.services.zones import (
    UNCHANGED,
    Unchanged,
    VNetFacts,
    changed,
    made,
    made_by_default,
    saved,
    vnet_of,
)


@dataclass(frozen=True, kw_only=True)
class SubnetFacts(VNetFacts):
    """What PVE says about a subnet, and about its vnet and zone.

    `dhcp_ranges`: inclusive `(first, last)` integers. `adopt`: adopt an existing prefix and existing ranges.
    """

    gateway: netaddr.IPAddress | Unchanged | None = UNCHANGED
    dhcp_ranges: list[Interval] | Unchanged = UNCHANGED
    snat: bool | Unchanged = UNCHANGED
    dns_zone_prefix: str | Unchanged = UNCHANGED
    adopt: bool = False


def put_subnet(
    namespace: Namespace, network: netaddr.IPNetwork, facts: SubnetFacts, *, user: Any
) -> tuple[SDNSubnet, bool]:
    """Create or update the subnet; returns its record and whether it is new. Idempotent.

    The user needs the same rights whether or not there is anything left to do. Raises InvalidRequest if a gateway or
    range is outside the subnet, or ranges are reversed or overlap; AddressTaken if the gateway cannot be had; Conflict
    if another subnet of the namespace overlaps, or if the prefix or a range was not created by PVE and `adopt` is not
    set; Forbidden. If any of these is raised, nothing is written.
    """
    check_gateway(network, facts.gateway)
    if facts.dhcp_ranges is not UNCHANGED:
        check_ranges(network, facts.dhcp_ranges)
    with locked_transaction() as locks:
        # No unique constraint can prevent overlaps, so changes to a namespace's subnets are serialized.
        locks.wait(SUBNETS, namespace.pk)
        vnet = vnet_of(namespace, facts, locks, user)
        record, created = _record(namespace, network, vnet, facts, user)
        _set(record, facts, user)
        if facts.dhcp_ranges is not UNCHANGED:
            _replace_ranges(record, facts.dhcp_ranges, facts.adopt, user, created=created)
        return record, created


def move_subnet(record: SDNSubnet, vnet: SDNVNet, *, user: Any) -> None:
    """Move a subnet, with its allocations, to another vnet. Raises Forbidden, and Django's ValidationError if the vnet
    has it already.
    """
    with locked_transaction() as locks:
        locks.wait(SUBNETS, record.prefix.namespace_id)
        record.vnet = vnet
        changed(record, user)


def delete_subnet(record: SDNSubnet, *, user: Any, take_back: bool = False) -> None:
    """Delete the subnet's record with its gateways, and the prefix and ranges if PVE created them.

    `take_back`: PVE never completed it, so addresses that PVE did not create return to the parent prefix, if any.
    Raises SubnetNotEmpty while it has guest allocations, or otherwise if the prefix would be deleted but contains an
    address that PVE did not create; Forbidden.
    """
    with locked_transaction() as locks:
        prefix = record.prefix
        locks.wait(SUBNETS, prefix.namespace_id)
        # Allocations in the prefix come before or after, never in between. An address that core creates references the
        # prefix when it commits: either we see it below, or it fails.
        change_prefixes([territory_id(prefix)])
        Prefix.objects.select_for_update().filter(pk=prefix.pk).first()
        if not SDNSubnet.objects.filter(pk=record.pk).exists():
            return  # deleted by a concurrent request
        require(user, "delete", record)
        if guest := guest_in(record, user):
            held = named(user, guest.ip_address, "an address")
            raise SubnetNotEmpty(f"subnet {prefix} is not empty: a guest holds {held}")
        others = SDNSubnet.objects.filter(prefix=prefix).exclude(pk=record.pk)
        deletes_prefix = not record.adopted and not others.exists()
        keeps_addresses = deletes_prefix and not (take_back and prefix.parent_id)
        others_addresses = prefix.get_all_ips().exclude(pve_allocation__subnet=record).order_by("host")
        if keeps_addresses and (foreign := _any(others_addresses)):
            held = named(user, foreign, "an address")
            raise SubnetNotEmpty(f"subnet {prefix} still holds {held}, which this PVE did not create")
        for gateway in record.allocations.filter(is_gateway=True).select_related("ip_address"):
            release(gateway, user=user)
        for link in record.dhcp_range_links.select_related("ip_address_range"):
            _let_go_of_range(link, user)
        delete(record, "subnet", user=user)
        if deletes_prefix:
            require(user, "delete", prefix)
            delete(prefix, "prefix", user=user)


def guest_in(record: SDNSubnet, user: Any) -> Allocation | None:
    """Any allocation of a subnet but gateways, or any guest that has lost it: it was deleted and made anew."""
    guest = Q(mac__gt="") | Q(vmid__isnull=False)
    others = Caller.in_subnet(user, record).subnets().filter(prefix=record.prefix).exclude(pk=record.pk).order_by()
    lost = [*(_held_in(other) for other in others), _held_without_subnet_in(record.prefix)]
    found = map(_any, (_held_in(record), *(held.filter(guest) for held in lost)))
    return next((one for one in found if one), None)


def _held_in(record: SDNSubnet) -> QuerySet[Allocation]:
    """The allocations of a subnet but gateways, in the order of an index."""
    return record.allocations.filter(is_gateway=False).order_by("ip_address_id")


def _held_without_subnet_in(prefix: Prefix) -> QuerySet[Allocation]:
    """The allocations without a subnet whose addresses belong to a prefix, as `occupancy.homes` has it; by address."""
    child = Prefix.objects.exclude(type=PrefixTypeChoices.TYPE_POOL).filter(
        Q(prefix_length__lte=OuterRef("ip_address__mask_length")) | Q(sdn_subnets__isnull=False),
        namespace=prefix.namespace,
        ip_version=prefix.ip_version,
        prefix_length__gt=prefix.prefix_length,
        network__gte=prefix.network,
        network__lte=OuterRef("ip_address__host"),
        broadcast__gte=OuterRef("ip_address__host"),
    )
    inside = Allocation.objects.filter(
        ip_address__parent__namespace=prefix.namespace,
        ip_address__ip_version=prefix.ip_version,
        ip_address__host__gte=prefix.network,
        ip_address__host__lte=prefix.broadcast,
    )
    return inside.filter(~Exists(child), subnet=None, is_gateway=False).order_by("ip_address__host")


def check_deletion(record: SDNSubnet, *, user: Any) -> None:
    """Raise what `delete_subnet` would raise, but delete nothing: it is tried and rolled back.

    For PVE's stock plugin, which deletes a subnet's gateway and ranges before the subnet itself.
    """
    with atomic():
        delete_subnet(record, user=user)
        transaction.set_rollback(True)


def learn_gateway(record: SDNSubnet, gateway: str | None, vnet_name: str | None = None, *, user: Any) -> None:
    """Set or clear the gateway of a subnet. With `vnet_name`, move the subnet from its placeholder vnet to that one.

    For PVE's stock plugin, which sends neither along with the subnet. The placeholder is deleted with its last subnet.
    Raises Forbidden.
    """
    with atomic():
        record.gateway = gateway
        placeholder = record.vnet if vnet_name else None
        if placeholder:
            vnet = SDNVNet.objects.filter(zone=placeholder.zone, name=vnet_name).first()
            record.vnet = vnet or made(SDNVNet(zone=placeholder.zone, name=vnet_name), user)
        changed(record, user)
        if placeholder and not _any(placeholder.subnets.order_by("prefix_id")):
            placeholder.delete()


def check_gateway(network: netaddr.IPNetwork, gateway: netaddr.IPAddress | Unchanged | None) -> None:
    """A gateway must be a usable address of its subnet; a point-to-point /32 or /128 may have any gateway."""
    if gateway is UNCHANGED or gateway is None:
        return
    check_family("gateway", gateway, network)
    if network.size == 1:
        return
    first, last = usable(
        network.first, network.last, prefix_length=network.prefixlen, ip_version=network.version, is_pool=False
    )
    if not first <= int(gateway) <= last:
        raise InvalidRequest(f"gateway {gateway} is not a usable address of {network.cidr}", field="gateway")


def check_ranges(network: netaddr.IPNetwork, ranges: list[Interval]) -> None:
    """DHCP ranges must lie in their subnet, start before they end, and not overlap."""
    before: int | None = None
    for first, last in sorted(ranges):
        text = f"{to_text(first, network.version)}-{to_text(last, network.version)}"
        if first > last:
            raise InvalidRequest(f"dhcp_ranges {text} ends before it starts", field="dhcp_ranges")
        if first < network.first or last > network.last:
            raise InvalidRequest(f"dhcp_ranges {text} is outside {network.cidr}", field="dhcp_ranges")
        if before is not None and first <= before:
            raise InvalidRequest(f"dhcp_ranges {text} overlaps the one before it", field="dhcp_ranges")
        before = last


def _record(
    namespace: Namespace, network: netaddr.IPNetwork, vnet: SDNVNet, facts: SubnetFacts, user: Any
) -> tuple[SDNSubnet, bool]:
    prefix = Prefix.objects.filter(
        namespace=namespace, network=str(network.network), prefix_length=network.prefixlen
    ).first()
    if prefix:
        require(user, "view", prefix)
        if record := SDNSubnet.objects.filter(vnet=vnet, prefix=prefix).first():
            return record, False
    _check_overlap(namespace, network, vnet, user)
    adopted = False
    if prefix is None:
        prefix = made_by_default(Prefix, user, prefix=str(network.cidr), namespace=namespace)
    else:
        sharers = SDNSubnet.objects.filter(prefix=prefix)
        if not sharers.filter(adopted=False).exists():
            adopted = True
            if not facts.adopt:
                raise Conflict(
                    f"prefix {prefix} already exists in namespace {namespace} and was not created by PVE: "
                    "adopt it to use it"
                )
    return SDNSubnet(vnet=vnet, prefix=prefix, adopted=adopted), True


def _check_overlap(namespace: Namespace, network: netaddr.IPNetwork, vnet: SDNVNet, user: Any) -> None:
    """Subnets of a namespace must not overlap, except for the same subnet in two clusters."""
    first, last = (to_text(end, network.version) for end in (network.first, network.last))
    known = SDNSubnet.objects.filter(prefix__namespace=namespace, prefix__ip_version=network.version)
    known = known.select_related("prefix", "vnet__zone__cluster")
    # Two queries, because one for both would read every subnet of the namespace.
    around = known.filter(prefix__in=ids_around(namespace.pk, network.version, network.first))
    inside = known.filter(prefix__network__gte=first, prefix__network__lte=last)
    for other in chain(around, inside):
        same = other.prefix.prefix_length == network.prefixlen
        if not same or other.vnet.zone.cluster_id == vnet.zone.cluster_id:
            met = f"{other.prefix} of vnet {other.vnet}" if is_visible(user, other.prefix) else "another one"
            raise Conflict(f"subnet {network.cidr} overlaps {met} in namespace {namespace}")


def _set(record: SDNSubnet, facts: SubnetFacts, user: Any) -> None:
    gateway = facts.gateway
    if isinstance(gateway, netaddr.IPAddress) and str(gateway) != record.gateway:
        _check_gateway_can_be_had(record.prefix, gateway, facts.adopt, user)
    saved(
        record,
        {
            "gateway": str(gateway) if isinstance(gateway, netaddr.IPAddress) else gateway,
            "snat": facts.snat,
            "dns_zone_prefix": facts.dns_zone_prefix,
        },
        user,
    )


def _check_gateway_can_be_had(prefix: Prefix, gateway: netaddr.IPAddress, adopt: bool, user: Any) -> None:
    """Whether PVE's next request, which registers the gateway's address, would succeed. Raises AddressTaken."""
    if gateway not in prefix.prefix:  # a point-to-point subnet's
        return
    change_prefixes([territory_id(prefix)])
    found = address_in(prefix.namespace, gateway)
    if found is None:
        return
    allocation = getattr(found, "pve_allocation", None)
    if allocation is None and not adopt:
        raise AddressTaken(f"gateway {gateway} already exists and was not created by PVE: adopt it", field="gateway")
    if allocation is not None and not allocation.is_gateway_of(prefix.pk):
        raise AddressTaken(f"gateway {gateway} is held by {holder(allocation, user)}", field="gateway")


def _replace_ranges(record: SDNSubnet, wanted: list[Interval], adopt: bool, user: Any, *, created: bool) -> None:
    prefix = record.prefix
    links = {
        range_span(link.ip_address_range): link for link in record.dhcp_range_links.select_related("ip_address_range")
    }
    if not created and set(links) != set(wanted):
        require(user, "change", record)
    # Remove the old ranges first: the new ones may overlap them.
    for interval, link in links.items():
        if interval not in wanted:
            _let_go_of_range(link, user)
    for first, last in wanted:
        if (first, last) not in links:
            start, end = to_text(first, prefix.ip_version), to_text(last, prefix.ip_version)
            found = IPAddressRange.objects.filter(parent=prefix, start_host=start, end_host=end).first()
            if found is not None:
                require(user, "view", found)
            adopted = found is not None and not found.sdn_subnet_links.filter(adopted=False).exists()
            if adopted and not adopt:
                raise Conflict(f"IP address range {found} of {prefix} was not created by PVE: adopt it to use it")
            SDNDHCPRange.objects.create(
                subnet=record, ip_address_range=found or _make_range(prefix, start, end, user), adopted=adopted
            )


def _make_range(prefix: Prefix, start: str, end: str, user: Any) -> IPAddressRange:
    try:
        return made_by_default(IPAddressRange, user, start_address=start, end_address=end, namespace=prefix.namespace)
    except ValidationError as error:
        why = f"dhcp_ranges {start}-{end} of {prefix}: {rejection(error)}"
        if _is_occupied(prefix, start, end):
            raise Conflict(why, field="dhcp_ranges") from error
        raise InvalidRequest(why, field="dhcp_ranges") from error


def _is_occupied(prefix: Prefix, start: str, end: str) -> bool:
    """Whether Nautobot would refuse a range because of another range or a child prefix."""
    ranges = IPAddressRange.objects.filter(parent=prefix, start_host__lte=end, end_host__gte=start)
    return ranges.exists() or prefix.children.filter(network__lte=end, broadcast__gte=start).exists()


def _let_go_of_range(link: SDNDHCPRange, user: Any) -> None:
    found, adopted = link.ip_address_range, link.adopted
    link.delete()
    if not adopted and not found.sdn_subnet_links.exists():
        require(user, "delete", found)
        delete(found, "IP address range", user=user)


def _any(queryset: Any) -> Any:
    """Any one of its objects, or None. Without an order that an index has, the database might read a whole table."""
    return next(iter(queryset[:1]), None)
