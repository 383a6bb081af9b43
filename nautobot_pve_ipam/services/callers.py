"""On whose behalf a request acts, and which allocations belong to it. May import search and models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from nautobot.ipam.choices import PrefixTypeChoices
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.core_internals import is_unrestricted
from nautobot_pve_ipam.errors import Forbidden, Missing
from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNZone
from nautobot_pve_ipam.search.tables import is_sdn_subnet

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

        Raises Missing if it names a cluster or zone that has no record of the prefix, or several; Forbidden as
        `checked` does.
        """
        # Without cluster and zone there is usually no record: find that out without joining three tables.
        if not (self.cluster or self.zone or is_sdn_subnet(prefix)):
            return self
        records = self.subnets().filter(prefix=prefix).select_related("vnet__zone__cluster").order_by()[:2]
        found = list(records)
        # The usual case, a PVE's own user, is known without another query.
        if not any(record.vnet.zone.cluster and record.vnet.zone.cluster.user_id == self.user.pk for record in found):
            self.checked()
        if len(found) != 1:
            if self.cluster or self.zone:
                raise Missing(self._not_one_record(prefix, "several subnets" if found else "no subnet"))
            return self
        (record,) = found
        # Reuse loaded objects, so that rendering the record does not query them again.
        record.prefix = prefix
        if record.vnet.zone.namespace_id == prefix.namespace_id:
            record.vnet.zone.namespace = prefix.namespace
        return replace(self, subnet=record)

    def subnets(self) -> QuerySet[SDNSubnet]:
        """The caller's own subnets."""
        own = SDNSubnet.objects.filter(prefix__namespace=self.namespace, vnet__zone__cluster__name=self.cluster)
        return own.filter(vnet__zone__name=self.zone) if self.zone else own

    def allocations(self) -> QuerySet[Allocation]:
        """The caller's own allocations: those of its subnets, and those inside its subnets that have no subnet set.

        A caller without cluster and zone owns all allocations without a subnet: most likely it created them.
        """
        if self.cluster or self.zone:
            own = Q(subnet__isnull=False, subnet__vnet__zone__cluster__name=self.cluster)
            if self.zone:
                own &= Q(subnet__vnet__zone__name=self.zone)
            own |= _loose_in(Prefix.objects.filter(sdn_subnets__in=self.subnets()))
        else:
            own = Q(subnet=None) | Q(subnet__vnet__zone__cluster=None)
        inside = Allocation.objects.filter(own, ip_address__parent__namespace=self.namespace)
        return inside.select_related(*RELATED)

    def allocations_in(self, prefix: Prefix) -> QuerySet[Allocation]:
        """The caller's own allocations of a subnet. If one has a subnet set, that counts, wherever it lies by now."""
        return self.allocations().filter(Q(subnet__prefix=prefix) | _loose_in(Prefix.objects.filter(pk=prefix.pk)))

    def visible_allocations(self) -> QuerySet[Allocation]:
        """The caller's own allocations, and the gateways that its subnets share with another cluster, as far as the
        user may view their addresses.
        """
        shared = Q(is_gateway=True, subnet__prefix__in=self.subnets().values("prefix"))
        found = Allocation.objects.filter(shared | Q(pk__in=self.allocations().values("pk")))
        return self.only_visible(found).select_related(*RELATED)

    def only_visible(self, allocations: QuerySet[Allocation]) -> QuerySet[Allocation]:
        """Those of the allocations whose addresses the user may view."""
        visible = IPAddress.objects.restrict(self.user, "view")
        return allocations if is_unrestricted(visible) else allocations.filter(ip_address__in=visible)

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

    def _not_one_record(self, prefix: Prefix, has: str) -> str:
        if self.cluster and not PVECluster.objects.filter(name=self.cluster).exists():
            return (
                f"cluster {self.cluster} is not known: if it was renamed, rename it in Nautobot; "
                "if it was just made, select it in its zones in Nautobot"
            )
        whose = " of ".join(f"{what} {name}" for what, name in (("zone", self.zone), ("cluster", self.cluster)) if name)
        return f"{whose} has {has} {prefix.prefix} in namespace {self.namespace.name}"


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
