"""Edits of core's objects and of PVE's records that concern each other: the records follow, or the edit is refused
with a sentence.

A zone belongs to one namespace, and so do all its subnets with their addresses and ranges; whatever would tear them
apart is refused. The checks raise Django's ValidationError. They cost nothing for objects that are new or whose place
is unchanged, and few queries for those that PVE does not use. May import search, models and core_internals.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import netaddr
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.core_internals import value_before_save
from nautobot_pve_ipam.errors import InvalidRequest, LateRefusal
from nautobot_pve_ipam.models import Allocation, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone, range_within
from nautobot_pve_ipam.search.intervals import to_text
from nautobot_pve_ipam.search.occupancy import territory_id, usable_span
from nautobot_pve_ipam.services.locks import change_namespaces, change_prefixes
from nautobot_pve_ipam.services.subnets import check_gateway


def check_prefix(prefix: Prefix) -> None:
    """A prefix with PVE's subnets is moved with whole zones only, and keeps what is in it when it is resized."""
    if not prefix.present_in_database:
        return
    if _changed(prefix, "namespace_id"):
        if not _is_taken_along(prefix):
            _check_move(prefix, value_before_save(prefix, "namespace_id"))
    elif _changed(prefix, "network") or _changed(prefix, "prefix_length"):
        _check_resize(prefix)


def check_prefix_again(prefix: Prefix) -> None:
    """Check a changed prefix once more, just before it is saved: no PVE makes a subnet of it from now on.

    Raises LateRefusal.
    """
    if not _is_taken_along(prefix):
        change_namespaces({value_before_save(prefix, "namespace_id"), prefix.namespace_id})
        with late_refusals():
            check_prefix(prefix)


def check_subnet_again(record: SDNSubnet) -> None:
    """Check a subnet once more, just before it is saved: nobody moves or resizes its prefix, or hands out its gateway,
    from now on. Raises LateRefusal.
    """
    known = SDNSubnet.objects.filter(pk=record.pk, vnet=record.vnet_id, prefix=record.prefix_id)
    is_placed = not known.exists()
    with late_refusals():
        if is_placed:
            change_namespaces({record.prefix.namespace_id})
            record.vnet, record.prefix = _as_they_are(record)
        if record.gateway:
            change_prefixes([territory_id(record.prefix)])
        if is_placed or record.gateway:
            record.clean()


def _as_they_are(record: SDNSubnet) -> tuple[SDNVNet, Prefix]:
    vnet = SDNVNet.objects.select_related("zone__namespace").filter(pk=record.vnet_id).first()
    prefix = Prefix.objects.select_related("namespace").filter(pk=record.prefix_id).first()
    if vnet is None or prefix is None:
        raise ValidationError(f"Subnet {record} cannot be saved: its vnet or its prefix was just deleted.")
    return vnet, prefix


@contextmanager
def late_refusals() -> Iterator[None]:
    """What does not validate just before it is saved is refused as that: a LateRefusal."""
    try:
        yield
    except ValidationError as error:
        raise LateRefusal(error) from error


def _is_taken_along(prefix: Prefix) -> bool:
    """Whether core moves a prefix because it has just moved the one around it, with which it was checked."""
    parent = Prefix.objects.filter(children=prefix.pk, namespace=prefix.namespace_id)
    return _changed(prefix, "namespace_id") and parent.exists()


def check_address(address: IPAddress) -> None:
    """An address that is held in a subnet stays in the subnet's namespace."""
    if not address.present_in_database or not _changed(address, "parent_id"):
        return
    held = Allocation.objects.filter(ip_address=address.pk, subnet__isnull=False)
    torn = held.exclude(subnet__prefix__namespace=address.parent.namespace_id).select_related(*_SUBNET).first()
    if torn:
        raise ValidationError(f"Address {address} is held in {_named(torn.subnet)}: release it first.")


def check_range(found: IPAddressRange) -> None:
    """A DHCP range stays within its subnets."""
    if not found.present_in_database or not any(
        _changed(found, name) for name in ("parent_id", "start_host", "end_host")
    ):
        return
    for link in SDNDHCPRange.objects.filter(ip_address_range=found.pk).select_related(*_SUBNET):
        if not range_within(found, link.subnet.prefix):
            raise ValidationError(f"Range {found} would leave {_named(link.subnet)}, whose DHCP range it is.")


def take_zones_along(prefix: Prefix) -> None:
    """Move the zones of a prefix that has just been saved, and was checked, to its new namespace."""
    before = value_before_save(prefix, "namespace_id")
    if before == prefix.namespace_id:
        return
    inside = _tree(prefix, before) | Q(pk=prefix.pk)
    zones = SDNZone.objects.filter(namespace=before, vnets__subnets__prefix__in=Prefix.objects.filter(inside))
    for zone in zones.order_by().distinct():
        zone.namespace = prefix.namespace
        zone.save()


_SUBNET = ("subnet__prefix__namespace", "subnet__vnet__zone__cluster")


def _check_move(prefix: Prefix, before: Any) -> None:
    tree = Prefix.objects.filter(_tree(prefix, before))
    where = f"Prefix {prefix} cannot move to namespace {prefix.namespace}"
    if torn := _parted(Allocation, "ip_address", tree):
        raise ValidationError(f"{where}: it would part {torn.ip_address} from {_named(torn.subnet)}, which holds it.")
    if link := _parted(SDNDHCPRange, "ip_address_range", tree):
        raise ValidationError(f"{where}: it would part DHCP range {link} from {_named(link.subnet)}.")
    records = SDNSubnet.objects.filter(prefix__in=tree)
    if not records.exists():
        return
    zones = SDNZone.objects.filter(namespace=before, vnets__subnets__prefix__in=tree).order_by().distinct()
    stays = SDNSubnet.objects.filter(vnet__zone__in=zones).exclude(prefix__in=tree)
    if stray := stays.select_related("prefix__namespace", "vnet__zone__cluster").first():
        raise ValidationError(f"{where}: zone {stray.vnet.zone} would be left with {_named(stray)}.")
    twins = SDNZone.objects.filter(namespace=prefix.namespace_id, name__in=zones.values("name"))
    ours = {(zone.cluster_id, zone.name) for zone in zones}
    if twin := next((zone for zone in twins.select_related("cluster") if (zone.cluster_id, zone.name) in ours), None):
        raise ValidationError(f"{where}, which has a zone {twin} already.")
    met = _overlapping(prefix.namespace_id, prefix.prefix).filter(
        Exists(
            records.filter(
                prefix__network__lte=OuterRef("prefix__broadcast"), prefix__broadcast__gte=OuterRef("prefix__network")
            )
        )
    )
    if other := met.select_related("prefix__namespace", "vnet__zone__cluster").first():
        raise ValidationError(f"Prefix {prefix} would overlap {_named(other)}.")


def _parted(model: Any, field: str, tree: QuerySet[Prefix]) -> Any:
    """One that has its address or range in one of the prefixes, but not its subnet, or the other way round; or None.

    Most are in a pool inside their subnet, but the gateway of a point-to-point subnet may be anywhere.
    """
    within, subnet_within = Q(**{f"{field}__parent__in": tree}), Q(subnet__prefix__in=tree)
    found = model.objects.filter(subnet__isnull=False).select_related(field, *_SUBNET).order_by()
    sides = (found.filter(within).exclude(subnet_within), found.filter(subnet_within).exclude(within))
    return next((torn for side in sides for torn in side[:1]), None)


def _check_resize(prefix: Prefix) -> None:
    records = list(prefix.sdn_subnets.all())
    if not records:
        return
    network = prefix.prefix
    for record in records:
        if record.gateway:
            try:
                check_gateway(network, netaddr.IPAddress(record.gateway))
            except InvalidRequest as error:
                raise ValidationError(f"Prefix {network} is a subnet of PVE: {error.sentence}.") from error
    first, last = (to_text(end, network.version) for end in usable_span(prefix))
    inside = Q(ip_address__ip_version=network.version, ip_address__host__gte=first, ip_address__host__lte=last)
    held = Allocation.objects.filter(subnet__prefix=prefix.pk).exclude(inside)
    if network.size == 1:
        held = held.exclude(is_gateway=True)
    if torn := held.select_related("ip_address").first():
        raise ValidationError(f"Prefix {network} would leave no room for {torn.ip_address}, which PVE holds.")
    for link in SDNDHCPRange.objects.filter(subnet__prefix=prefix.pk).select_related("ip_address_range__parent"):
        if not range_within(link.ip_address_range, prefix):
            raise ValidationError(f"Prefix {network} would leave out {link}, a DHCP range of PVE.")
    others = _overlapping(prefix.namespace_id, network).exclude(prefix=prefix.pk)
    if other := others.select_related("prefix__namespace", "vnet__zone__cluster").first():
        raise ValidationError(f"Prefix {network} would overlap {_named(other)}.")


def _overlapping(namespace_id: Any, network: netaddr.IPNetwork) -> QuerySet[SDNSubnet]:
    """PVE's subnets of a namespace that overlap a network."""
    return SDNSubnet.objects.filter(
        prefix__namespace=namespace_id,
        prefix__ip_version=network.version,
        prefix__network__lte=to_text(network.last, network.version),
        prefix__broadcast__gte=to_text(network.first, network.version),
    )


def _tree(prefix: Prefix, namespace_id: Any) -> Q:
    """Q: the prefixes of a namespace that are inside a prefix, or the same."""
    return Q(
        namespace=namespace_id,
        ip_version=prefix.ip_version,
        network__gte=prefix.network,
        broadcast__lte=prefix.broadcast,
    )


def _changed(thing: Any, name: str) -> bool:
    return bool(value_before_save(thing, name) != getattr(thing, name))


def _named(subnet: SDNSubnet) -> str:
    return f"subnet {subnet} in namespace {subnet.prefix.namespace}"
