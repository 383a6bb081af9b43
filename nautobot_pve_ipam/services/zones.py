"""Writes zones and vnets, with their cluster: all that a subnet needs before it is made. May import search and models.

Changes to a namespace's zones, vnets and subnets are made one after the other, under the lock of its subnets.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from nautobot.ipam.models import Namespace

from nautobot_pve_ipam.errors import Conflict, Forbidden
from nautobot_pve_ipam.models import PVECluster, SDNVNet, SDNZone
from nautobot_pve_ipam.permissions import is_visible, named, require
from nautobot_pve_ipam.services.allocation import delete
from nautobot_pve_ipam.services.defaults import Defaults
from nautobot_pve_ipam.services.locks import SUBNETS, Locks, locked_transaction


class Unchanged(Enum):
    """The type of UNCHANGED, as opposed to null, which clears a value."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, kw_only=True)
class ZoneFacts:
    """What PVE says about a zone. UNCHANGED keeps a value, or the default in a new record."""

    zone: str
    cluster: str | None = None
    zone_type: str | Unchanged = UNCHANGED
    zone_dhcp: str | Unchanged = UNCHANGED


@dataclass(frozen=True, kw_only=True)
class VNetFacts(ZoneFacts):
    """What PVE says about a vnet, and about its zone."""

    vnet: str = ""
    vnet_alias: str | Unchanged = UNCHANGED
    vnet_tag: int | Unchanged | None = UNCHANGED


def put_zone(namespace: Namespace, facts: ZoneFacts, *, user: Any) -> SDNZone:
    """Create or update the zone, and create its cluster if it is missing. Idempotent.

    The user needs the same rights whether or not there is anything left to do. Raises Forbidden, and Django's
    ValidationError if Nautobot rejects a value; then nothing is written.
    """
    with locked_transaction() as locks:
        locks.wait(SUBNETS, namespace.pk)
        return _zone(namespace, facts, locks, user)


def put_vnet(namespace: Namespace, facts: VNetFacts, *, user: Any) -> SDNVNet:
    """Create or update the vnet, with its zone. Idempotent. Raises as `put_zone` does."""
    with locked_transaction() as locks:
        locks.wait(SUBNETS, namespace.pk)
        return vnet_of(namespace, facts, locks, user)


def vnet_of(namespace: Namespace, facts: VNetFacts, locks: Locks, user: Any) -> SDNVNet:
    """What `put_vnet` does, for whoever has the lock."""
    zone = _zone(namespace, facts, locks, user)
    vnet = SDNVNet.objects.filter(zone=zone, name=facts.vnet).first() or SDNVNet(zone=zone, name=facts.vnet)
    return saved(vnet, {"alias": facts.vnet_alias, "tag": facts.vnet_tag}, user)


def delete_vnet(vnet: SDNVNet, *, user: Any) -> None:
    """Delete a vnet. Raises Conflict while it has subnets; Forbidden."""
    _delete_empty(vnet, "vnet", vnet.zone.namespace_id, vnet.subnets.order_by("prefix_id"), user)


def delete_zone(zone: SDNZone, *, user: Any) -> None:
    """Delete a zone. Raises Conflict while it has vnets; Forbidden."""
    _delete_empty(zone, "zone", zone.namespace_id, zone.vnets.order_by("name"), user)


def _delete_empty(thing: Any, what: str, namespace_id: Any, inside: Any, user: Any) -> None:
    with locked_transaction() as locks:
        locks.wait(SUBNETS, namespace_id)
        if not type(thing).objects.filter(pk=thing.pk).exists():
            return  # deleted by a concurrent request
        require(user, "delete", thing)
        if other := next(iter(inside[:1]), None):
            held = named(user, other, "something")
            raise Conflict(f"{what} {thing} is not empty: it has {held}")
        delete(thing, what, user=user)


def _zone(namespace: Namespace, facts: ZoneFacts, locks: Locks, user: Any) -> SDNZone:
    cluster = PVECluster.objects.filter(name=facts.cluster).first()
    if facts.cluster and not cluster:
        locks.wait("cluster", facts.cluster)  # a request in another namespace may be creating it
        cluster = PVECluster.objects.filter(name=facts.cluster).first() or made_by_default(
            PVECluster, user, name=facts.cluster
        )
    zone = SDNZone.objects.filter(namespace=namespace, cluster=cluster, name=facts.zone).first()
    if zone is None and cluster is not None:
        _check_cluster(cluster, namespace, user)
    zone = zone or SDNZone(namespace=namespace, cluster=cluster, name=facts.zone)
    return saved(zone, {"type": facts.zone_type, "dhcp": facts.zone_dhcp}, user)


def _check_cluster(cluster: PVECluster, namespace: Namespace, user: Any) -> None:
    """A cluster that has zones, but none in this namespace, gets one only from its own user or from who may view it."""
    zones = cluster.sdn_zones.all()
    is_known = cluster.user_id == user.pk or zones.filter(namespace=namespace).exists() or is_visible(user, cluster)
    if not is_known and zones.exists():
        raise Forbidden(f"cluster {cluster} belongs to another namespace, and user {user} may not view it")


def saved(thing: Any, facts: dict[str, Any], user: Any) -> Any:
    """Set what is not UNCHANGED, and save the object if it is new or differs. New or not, `user` must be allowed to add
    it.
    """
    differs = {name: new for name, new in facts.items() if new not in (UNCHANGED, getattr(thing, name))}
    for name, new in differs.items():
        setattr(thing, name, new)
    if not thing.present_in_database:
        return made(thing, user)
    require(user, "add", thing)
    return changed(thing, user) if differs else thing


def made(thing: Any, user: Any) -> Any:
    """Save a new object, which `user` must be allowed to add."""
    thing.validated_save()
    require(user, "add", thing)
    return thing


def made_by_default(model: Any, user: Any, **facts: Any) -> Any:
    """A new object with the defaults of its model, which `user` must be allowed to add."""
    thing = Defaults(model).make(**facts)
    require(user, "add", thing)
    return thing


def changed(thing: Any, user: Any) -> Any:
    """Save an object, which `user` must be allowed to change."""
    thing.validated_save()
    require(user, "change", thing)
    return thing
