"""Finding things by namespace and value, as far as a user may see them; never by the first hit of a search."""

import netaddr
from django.core.exceptions import ValidationError
from nautobot.ipam.models import Namespace, Prefix

from nautobot_pve_ipam.allocation import Scope
from nautobot_pve_ipam.errors import InvalidRequest, Missing
from nautobot_pve_ipam.models import PVECluster, SDNSubnet
from nautobot_pve_ipam.occupancy import is_sdn_subnet


def visible(queryset, user, what, **lookup):
    """The one object of `queryset` that matches and that `user` may view. Raises Missing."""
    try:
        return queryset.restrict(user, "view").get(**lookup)
    except (queryset.model.DoesNotExist, ValidationError) as error:
        named = ", ".join(str(value) for value in lookup.values())
        raise Missing(f"{what} {named} does not exist, or may not be seen") from error


def visible_namespace(user, name) -> Namespace:
    """The namespace of that name. Raises Missing."""
    return visible(Namespace.objects.all(), user, "namespace", name=name)


def visible_prefix(user, **lookup) -> Prefix:
    """The one prefix that matches, with its namespace. Raises Missing."""
    return visible(Prefix.objects.select_related("namespace"), user, "prefix", **lookup)


def parse_subnet(subnet: str) -> netaddr.IPNetwork:
    """PVE's way to write a subnet, `10.0.0.0-24` or `2001:db8::-64`. Raises InvalidRequest."""
    network, dash, length = subnet.rpartition("-")
    try:
        if not dash or not length.isdigit():
            raise netaddr.AddrFormatError
        parsed = netaddr.IPNetwork(f"{network}/{length}")
    except (netaddr.AddrFormatError, ValueError) as error:
        raise InvalidRequest(f"subnet '{subnet}' is not of the form 10.0.0.0-24", field="subnet") from error
    if parsed.ip != parsed.network:
        raise InvalidRequest(f"subnet '{subnet}' has host bits set, the network is {parsed.cidr}", field="subnet")
    return parsed


def visible_subnet_prefix(user, namespace: str, subnet: str) -> Prefix:
    """The prefix of `namespace` that is exactly `subnet` (`10.0.0.0-24`). Raises Missing, InvalidRequest."""
    network = parse_subnet(subnet)
    prefixes = Prefix.objects.restrict(user, "view").select_related("namespace").order_by()
    try:
        return prefixes.get(namespace__name=namespace, network=str(network.network), prefix_length=network.prefixlen)
    except Prefix.DoesNotExist:
        visible_namespace(user, namespace)
        raise Missing(f"namespace {namespace} has no prefix {network.cidr}, or it may not be seen") from None


def find_cluster(name) -> PVECluster | None:
    """The cluster of that name; None for no name. Raises Missing."""
    if not name:
        return None
    try:
        return PVECluster.objects.get(name=name)
    except PVECluster.DoesNotExist as error:
        raise Missing(f"cluster {name} is not known") from error


def find_subnet(prefix, cluster: PVECluster | None, zone: str | None) -> SDNSubnet | None:
    """The record that `cluster` (None: no cluster) has of `prefix`, in `zone` if one is named.

    None where there is no such record, or several and no zone to choose by.
    """
    # Who names neither asks most often where there is no record; and to join three tables is not the way to ask that.
    if not (cluster or zone or is_sdn_subnet(prefix)):
        return None
    records = SDNSubnet.objects.filter(prefix=prefix, vnet__zone__cluster=cluster)
    if zone:
        records = records.filter(vnet__zone__name=zone)
    found = list(records.select_related("vnet__zone").order_by()[:2])
    if len(found) != 1:
        return None
    (record,) = found
    # What is known already need not be read again when the record is shown.
    record.prefix, record.vnet.zone.cluster = prefix, cluster
    if record.vnet.zone.namespace_id == prefix.namespace_id:
        record.vnet.zone.namespace = prefix.namespace
    return record


def scope_of(prefix, *, cluster=None, zone=None) -> Scope:
    """On whose behalf a caller acts who names these. Raises Missing when it names what has no record here."""
    owner = find_cluster(cluster)
    subnet = find_subnet(prefix, owner, zone)
    if subnet is None and (owner or zone):
        whose = " of ".join(f"{what} {name}" for what, name in (("zone", zone), ("cluster", cluster)) if name)
        raise Missing(f"{whose} has no subnet {prefix.prefix} in namespace {prefix.namespace.name}")
    return Scope(owner, subnet)
