"""On whose behalf a request acts, and which allocations belong to it. May import search and models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import netaddr
from django.db.models import Exists, OuterRef, Q, QuerySet
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.core_internals import is_unrestricted
from nautobot_pve_ipam.errors import Conflict, Forbidden, Missing
from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNZone
from nautobot_pve_ipam.search.tables import containing, is_sdn_subnet

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
        if not (self.cluster or self.zone or is_sdn_subnet(prefix)):
            return self
        found = self._records_of(prefix)
        # The usual case, a PVE's own user, is known without another query.
        if not any(record.vnet.zone.cluster and record.vnet.zone.cluster.user_id == self.user.pk for record in found):
            self.checked()
        try:
            record = self._only(found)
        except Conflict:
            if self.cluster or self.zone:
                raise
            return self
        if record is None:
            if self.cluster or self.zone:
                raise Missing(self._has("no subnet", prefix))
            return self
        return replace(self, subnet=record)

    def record_of(self, prefix: Prefix) -> SDNSubnet | None:
        """The caller's record of `prefix`. Raises Conflict if there are several: only the zone can tell them apart."""
        return self._only(self._records_of(prefix))

    def _records_of(self, prefix: Prefix) -> list[SDNSubnet]:
        found = list(self.subnets().filter(prefix=prefix).select_related("vnet__zone__cluster").order_by()[:2])
        for record in found:
            # Reuse loaded objects, so that rendering the record does not query them again.
            record.prefix = prefix
            if record.vnet.zone.namespace_id == prefix.namespace_id:
                record.vnet.zone.namespace = prefix.namespace
        return found

    def subnet_around(self, ip: netaddr.IPAddress) -> SDNSubnet | None:
        """The caller's smallest subnet containing an address, if its user may view the prefix. Raises Conflict."""
        around = self.visible_subnets().filter(containing(int(ip), ip.version, "prefix__"))
        return self.first_of(around.order_by("-prefix__prefix_length"))

    def first_of(self, records: QuerySet[SDNSubnet]) -> SDNSubnet | None:
        """The first of the caller's ordered records. Raises Conflict if the next one is of the same prefix."""
        return self._only(list(records[:2]))

    def _only(self, records: list[SDNSubnet]) -> SDNSubnet | None:
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

    def allocations(self) -> QuerySet[Allocation]:
        """The caller's own allocations: those of its subnets, and those inside its subnets that have no subnet set.

        A caller without cluster and zone owns all allocations without a subnet: most likely it created them.
        """
        return self._allocations(self._own())

    def allocations_in(self, prefix: Prefix) -> QuerySet[Allocation]:
        """The caller's own allocations of a subnet. If one has a subnet set, that counts, wherever it lies by now."""
        return self.allocations().filter(Q(subnet__prefix=prefix) | _loose_in(Prefix.objects.filter(pk=prefix.pk)))

    def visible_allocations(self) -> QuerySet[Allocation]:
        """The caller's own allocations, and the gateways that its subnets share with another cluster, as far as the
        user may view their addresses.
        """
        shared = Exists(self.subnets().filter(prefix=OuterRef("subnet__prefix")))
        return self.only_visible(self._allocations(self._own() | Q(shared, is_gateway=True)))

    def only_visible(self, allocations: QuerySet[Allocation]) -> QuerySet[Allocation]:
        """Those of the allocations whose addresses the user may view."""
        visible = IPAddress.objects.restrict(self.user, "view")
        return allocations if is_unrestricted(visible) else allocations.filter(ip_address__in=visible)

    def _allocations(self, which: Q) -> QuerySet[Allocation]:
        inside = Allocation.objects.filter(which, ip_address__parent__namespace=self.namespace)
        return inside.select_related(*RELATED)

    def _own(self) -> Q:
        if not (self.cluster or self.zone):
            return Q(subnet=None) | Q(subnet__vnet__zone__cluster=None)
        own = Q(subnet__isnull=False, subnet__vnet__zone__cluster__name=self.cluster)
        if self.zone:
            own &= Q(subnet__vnet__zone__name=self.zone)
        return own | _loose_in(Prefix.objects.filter(sdn_subnets__in=self.subnets()))

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


def _loose_in(prefixes: QuerySet[Prefix]) -> Q:
    """Q: the allocation has no subnet, and its address lies in one of the prefixes, but in no child network of it.

    By the address itself: core sometimes leaves it on another parent than the closest.
    """
    family, host = OuterRef("ip_address__ip_version"), OuterRef("ip_address__host")
    around = prefixes.filter(ip_version=family, network__lte=host, broadcast__gte=host)
    child = Prefix.objects.exclude(type=PrefixTypeChoices.TYPE_POOL).filter(
        namespace=OuterRef("namespace"),
        ip_version=OuterRef("ip_version"),
        prefix_length__gt=OuterRef("prefix_length"),
        network__lte=OuterRef(host),
        broadcast__gte=OuterRef(host),
    )
    return Q(subnet=None) & Q(Exists(around.filter(~Exists(child))))
