"""On whose behalf a request acts, and which allocations belong to it. May import search and models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import netaddr
from django.db.models import Q, QuerySet
from nautobot.ipam.models import Namespace, Prefix

from nautobot_pve_ipam.core_internals import is_unrestricted
from nautobot_pve_ipam.errors import Conflict, Forbidden, Missing
from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNZone
from nautobot_pve_ipam.permissions import permitted
from nautobot_pve_ipam.search.intervals import to_int
from nautobot_pve_ipam.search.occupancy import homes
from nautobot_pve_ipam.search.tables import DatabaseID, database_id, ids_around, is_sdn_subnet, prefixes_at

RELATED = ("ip_address__status", "ip_address__parent__namespace", "subnet__vnet__zone__cluster")


@dataclass(frozen=True)
class Caller:
    """A user, and the PVE on whose behalf it acts in a namespace.

    `cluster` and `zone` are names, as given in the request. A caller without a cluster acts for the only PVE in the
    namespace, whose zones belong to no cluster. `subnet` is the record that the request is about, if there is one.
    """

    user: Any
    namespace: Namespace
    cluster: str | None = None
    zone: str | None = None
    subnet: SDNSubnet | None = None

    @classmethod
    def in_subnet(cls, user: Any, subnet: SDNSubnet) -> Caller:
        """A user acting for the PVE that this subnet belongs to."""
        zone = subnet.vnet.zone
        cluster = zone.cluster.name if zone.cluster else None
        return cls(user, subnet.prefix.namespace, cluster, zone.name, subnet)

    def checked(self) -> Caller:
        """The same caller. Raises Forbidden if its user is bound to clusters, but names none of them, or if the cluster
        that it names is bound to somebody else; superusers may act for all.
        """
        if self.user.is_superuser:
            return self
        bound = dict(
            PVECluster.objects.filter(Q(user=self.user) | Q(name=self.cluster, user__isnull=False))
            .order_by("name")
            .values_list("name", "user_id")
        )
        own = [name for name, user_id in bound.items() if user_id == self.user.pk]
        if own and self.cluster not in own:
            named = f"cluster {self.cluster}" if self.cluster else "no cluster"
            raise Forbidden(f"user {self.user} acts for cluster {' or '.join(own)} only, but the request names {named}")
        if not own and bound:
            raise Forbidden(f"cluster {self.cluster} is bound to another user than {self.user}")
        return self

    def in_prefix(self, prefix: Prefix) -> Caller:
        """The same caller with its record of `prefix` as `subnet`, if there is exactly one.

        Raises Missing if it names a cluster or zone that has no record of the prefix, Conflict if that has several;
        Forbidden as `checked` does.
        """
        # Without cluster and zone there is usually no record: find that out without joining three tables.
        if not (self.cluster or self.zone or is_sdn_subnet(database_id(prefix.pk))):
            return self
        found = list(self.subnets().filter(prefix=prefix).select_related("vnet__zone__cluster").order_by()[:2])
        for record in found:
            # Reuse loaded objects, so that rendering the record does not query them again.
            record.prefix = prefix
            if record.vnet.zone.namespace_id == prefix.namespace_id:
                record.vnet.zone.namespace = prefix.namespace
        # The usual case, a PVE's own user, is known without another query.
        if not any(record.vnet.zone.cluster and record.vnet.zone.cluster.user_id == self.user.pk for record in found):
            self.checked()
        try:
            record = self.first_of(found)
        except Conflict:
            if self.cluster or self.zone:
                raise
            return self
        if record is None:
            if self.cluster or self.zone:
                raise Missing(self._has("no subnet", prefix))
            return self
        return replace(self, subnet=record)

    def record_of(self, network: netaddr.IPNetwork) -> SDNSubnet | None:
        """The caller's record of a subnet, if its user may view the prefix. Raises Conflict if there are several: only
        the zone can tell them apart.
        """
        return self.first_of(self.subnets_at(network.network).filter(prefix__prefix_length=network.prefixlen))

    def subnet_around(self, ip: netaddr.IPAddress) -> SDNSubnet | None:
        """The caller's smallest subnet containing an address, if its user may view the prefix. Raises Conflict."""
        around = ids_around(self.namespace.pk, ip.version, int(ip))
        return self.first_of(self.visible_subnets().filter(prefix__in=around).order_by("-prefix__prefix_length"))

    def subnets_at(self, network: netaddr.IPAddress) -> QuerySet[SDNSubnet]:
        """The caller's subnets that begin at this address, largest first, if its user may view their prefixes."""
        ids = [id_ for id_, *_ in prefixes_at([(self.namespace.pk, network.version, int(network))])]
        return self.visible_subnets().filter(prefix__in=ids).order_by("prefix__prefix_length")

    def first_of(self, records: Iterable[SDNSubnet]) -> SDNSubnet | None:
        """The first of the caller's ordered records, which are few. Raises Conflict if the next one is of the same
        prefix.
        """
        first, second = (*records, None, None)[:2]
        if first and second and first.prefix_id == second.prefix_id:
            raise Conflict(self._has("several subnets", first.prefix))
        return first

    def visible_subnets(self) -> QuerySet[SDNSubnet]:
        """The caller's own subnets whose prefixes its user may view."""
        visible, own = Prefix.objects.restrict(self.user, "view"), self.subnets()
        if not is_unrestricted(visible):
            own = own.filter(prefix__in=visible)
        return own.select_related("prefix__namespace", "vnet__zone__cluster")

    def subnets(self) -> QuerySet[SDNSubnet]:
        """The caller's own subnets."""
        own = SDNSubnet.objects.filter(prefix__namespace=self.namespace, vnet__zone__cluster__name=self.cluster)
        return own.filter(vnet__zone__name=self.zone) if self.zone else own

    def allocations(self, **which: Any) -> list[Allocation]:
        """The caller's own allocations that match, by address. `which` is one address, MAC or ID, so they are few.

        Own are those of its subnets, and those inside its subnets that have no subnet set. A caller without cluster and
        zone owns all allocations without a subnet: most likely it created them.
        """
        return [found for found in self._allocations(which) if self.owns(found)]

    def allocations_in(self, prefix: Prefix, **which: Any) -> list[Allocation]:
        """Those of a subnet. If an allocation has a subnet set, that counts, wherever its address lies by now."""
        id_ = database_id(prefix.pk)
        return [
            found
            for found in self.allocations(**which)
            if (found.subnet.prefix_id == prefix.pk if found.subnet else id_ in _homes(found))
        ]

    def visible_allocations(self, **which: Any) -> list[Allocation]:
        """Those whose addresses the user may view, and such gateways that its subnets share with another cluster."""
        return self.only_visible(
            [found for found in self._allocations(which) if self.owns(found) or self._shares(found)]
        )

    def only_visible(self, allocations: Sequence[Allocation]) -> list[Allocation]:
        """Those of the allocations whose addresses the user may view."""
        visible = permitted(self.user, "view", [found.ip_address for found in allocations]) if allocations else ()
        return [found for found in allocations if found.ip_address_id in visible]

    def owns(self, allocation: Allocation) -> bool:
        """Whether an allocation of the namespace is the caller's; see `allocations`."""
        if allocation.subnet is None:
            return not (self.cluster or self.zone) or self._has_subnet_on(_homes(allocation))
        zone = allocation.subnet.vnet.zone
        return self.cluster == (zone.cluster and zone.cluster.name) and (not self.zone or self.zone == zone.name)

    def _shares(self, allocation: Allocation) -> bool:
        """Whether an allocation is the gateway of one of the caller's subnets, but held by another cluster's."""
        return bool(allocation.is_gateway and allocation.subnet) and self._has_subnet_on([allocation.subnet.prefix_id])

    def _has_subnet_on(self, prefix_ids: Sequence[Any]) -> bool:
        return bool(self.subnets().filter(prefix__in=prefix_ids).order_by().values_list("pk"))

    def _allocations(self, which: dict[str, Any]) -> QuerySet[Allocation]:
        """All allocations of the namespace that match.

        Whose they are is looked up afterwards. Asked for both at once, the database might begin with all that are the
        caller's.
        """
        inside = Allocation.objects.filter(**which, ip_address__parent__namespace=self.namespace)
        return inside.select_related(*RELATED)

    def stranger(self) -> str | None:
        """A sentence if zones of the namespace belong to others, but none to the caller's cluster; None otherwise.

        To us, a cluster that was renamed, or just made of a single node, is a new one.
        """
        zones = SDNZone.objects.restrict(self.user, "view").filter(namespace=self.namespace).order_by()
        owners = set(zones.values_list("cluster__name", flat=True).distinct())
        if not owners or self.cluster in owners:
            return None
        named = sorted(f"cluster {name}" if name else "no cluster" for name in owners)
        theirs = f"zones of namespace {self.namespace.name} belong to {' and '.join(named[:3])}"
        if not self.cluster:
            return (
                f"this PVE is no cluster, but {theirs}: if it has left its cluster, clear the cluster of its zones in "
                "Nautobot; if it is another PVE, give it its own namespace"
            )
        return (
            f"cluster {self.cluster} is new here, but {theirs}: if it was renamed, rename it in Nautobot; if it was "
            "made of a single node, select it in the zones in Nautobot; if it is another PVE, nothing is to do"
        )

    def _has(self, what: str, prefix: Prefix) -> str:
        """A sentence: who has no, or several, subnets on the prefix."""
        if self.cluster and not PVECluster.objects.filter(name=self.cluster).exists():
            return (
                f"cluster {self.cluster} is not known: if it was renamed, rename it in Nautobot; "
                "if it was just made, select it in its zones in Nautobot"
            )
        named = (("zone", self.zone), ("cluster", self.cluster))
        whose = " of ".join(f"{kind} {name}" for kind, name in named if name) or "this PVE"
        return f"{whose} has {what} {prefix.prefix} in namespace {self.namespace.name}"


def _homes(allocation: Allocation) -> list[DatabaseID]:
    """The IDs of the prefixes in whose subnet an allocation lies if it has none set."""
    address = allocation.ip_address
    return homes(address.parent.namespace_id, address.ip_version, to_int(address.host), address.mask_length)
