"""Reads what Nautobot has, as a plan and its steps have to know it: in a constant number of queries, row by row.

What the caller may not view is there, because it is in the way, but says nothing of itself. May import services, search
and models.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, F, OuterRef, QuerySet, Value
from nautobot.extras.choices import ObjectChangeActionChoices
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import IPAddress as CoreAddress
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.core_internals import is_unrestricted
from nautobot_pve_ipam.models import Allocation, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services import differences
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.subject import Subject
from nautobot_pve_ipam.sync.changes import (
    Known,
    KnownAddress,
    KnownSubnet,
    KnownVNet,
    KnownZone,
    subject_of,
)
from nautobot_pve_ipam.sync.snapshot import IPAddress, Network, Range, Snapshot

#: Rows that the database hands over at once.
CHUNK = 2000

#: The cluster of what the caller may not view: nobody's.
SOMEBODY = ""

#: Since when something has been gone, by its cluster and subject.
GoneSince = dict[tuple[str | None, Subject], datetime]


def read(caller: Caller, snapshot: Snapshot) -> Known:
    """What the caller's namespace has, as far as the caller's plan for that snapshot depends on it."""
    since = differences.gone_since(caller.namespace)
    own = caller.subnets()
    held = {one.ip: one for one in _addresses(caller, since, pve_allocation__subnet__in=own)}
    held |= {one.ip: one for one in addresses_at(caller, since, snapshot.addresses())}
    return Known(
        namespace=caller.namespace.name,
        cluster=caller.cluster,
        zones=list(zones(caller, since)),
        vnets=list(vnets(caller, since)),
        subnets=list(subnets(caller, since)),
        addresses=list(held.values()),
        prefixes=_prefixes(caller, {subnet.network for subnet in snapshot.subnets}),
        released=_released(
            [(mac, ip) for mac, entry in snapshot.cache.items() for ip in entry.addresses if ip not in held],
            own,
        ),
    )


def zones(caller: Caller, gone: GoneSince, **which: Any) -> Iterator[KnownZone]:
    """The zones of the caller's cluster that the user may view, and that match."""
    visible = SDNZone.objects.restrict(caller.user, "view")
    own = visible.filter(namespace=caller.namespace, cluster__name=caller.cluster, **which).order_by()
    for name, kind, dhcp in own.values_list("name", "type", "dhcp"):
        yield KnownZone(caller.cluster, name, kind, dhcp, gone.get((caller.cluster, Subject(name))))


def vnets(caller: Caller, gone: GoneSince, **which: Any) -> Iterator[KnownVNet]:
    """The vnets of the caller's cluster that the user may view, and that match."""
    visible = SDNVNet.objects.restrict(caller.user, "view")
    own = visible.filter(zone__namespace=caller.namespace, zone__cluster__name=caller.cluster, **which).order_by()
    for zone, name, alias, tag in own.values_list("zone__name", "name", "alias", "tag"):
        since = gone.get((caller.cluster, Subject(zone, name)))
        yield KnownVNet(caller.cluster, zone, name, alias, tag, since)


def subnets(caller: Caller, gone: GoneSince, **which: Any) -> Iterator[KnownSubnet]:
    """The subnets of the namespace that match, whosever they are."""
    found = SDNSubnet.objects.filter(prefix__namespace=caller.namespace, **which).order_by()
    ranges: dict[Any, list[Range]] = {}
    links = SDNDHCPRange.objects.filter(subnet__in=found).order_by()
    for id_, start, end in links.values_list("subnet_id", "ip_address_range__start_host", "ip_address_range__end_host"):
        ranges.setdefault(id_, []).append((ipaddress.ip_address(start), ipaddress.ip_address(end)))
    rows = _with_visibility(found, Prefix, "prefix_id", caller.user).values_list(
        "pk",
        "is_visible",
        "vnet__zone__cluster__name",
        "vnet__zone__name",
        "vnet__name",
        "prefix__network",
        "prefix__prefix_length",
        "gateway",
        "snat",
        "dns_zone_prefix",
        "adopted",
    )
    for id_, is_visible, cluster, zone, vnet, address, length, gateway, snat, dns_zone_prefix, adopted in rows:
        network = _network(address, length)
        if not is_visible:
            yield KnownSubnet(SOMEBODY, "", "", network, is_visible=False)
            continue
        yield KnownSubnet(
            cluster,
            zone,
            vnet,
            network,
            ipaddress.ip_address(gateway) if gateway else None,
            snat,
            dns_zone_prefix,
            tuple(sorted(ranges.get(id_, []), key=lambda pair: int(pair[0]))),
            adopted,
            gone.get((cluster, Subject(zone, vnet, str(network)))),
        )


class _Row(NamedTuple):
    """An IP address with its allocation, whose columns are NULL if there is none."""

    host: str
    is_visible: bool
    allocation: Any
    cluster: str | None
    zone: str | None
    vnet: str | None
    network: str | None
    length: int | None
    mac: Any
    vmid: int | None
    hostname: str | None
    is_gateway: bool | None
    adopted: bool | None
    last_seen: datetime | None


_SUBNET = "pve_allocation__subnet__"
#: Where the columns of a row are, from an IP address.
_COLUMNS = (
    "host",
    "is_visible",
    "pve_allocation__pk",
    f"{_SUBNET}vnet__zone__cluster__name",
    f"{_SUBNET}vnet__zone__name",
    f"{_SUBNET}vnet__name",
    f"{_SUBNET}prefix__network",
    f"{_SUBNET}prefix__prefix_length",
    "pve_allocation__mac",
    "pve_allocation__vmid",
    "pve_allocation__hostname",
    "pve_allocation__is_gateway",
    "pve_allocation__adopted",
    "pve_allocation__last_seen",
)


def addresses_at(caller: Caller, gone: GoneSince, ips: Collection[IPAddress]) -> Iterator[KnownAddress]:
    """Those of these addresses that the namespace has, whosever they are."""
    return _addresses(caller, gone, host__in=[str(ip) for ip in ips])


def _addresses(caller: Caller, gone: GoneSince, **which: Any) -> Iterator[KnownAddress]:
    found = CoreAddress.objects.filter(parent__namespace=caller.namespace, **which)
    # Of several with one host, on different parents, the one with an allocation comes last, and counts.
    rows = _with_visibility(found, CoreAddress, "pk", caller.user).order_by(F("pve_allocation").asc(nulls_first=True))
    for values in rows.values_list(*_COLUMNS).iterator(CHUNK):
        known = _address(_Row(*values))
        since = gone.get((known.cluster, subject_of(known))) if gone else None
        yield replace(known, gone_since=since) if since else known


def _address(row: _Row) -> KnownAddress:
    ip = ipaddress.ip_address(row.host)
    if not row.is_visible:
        return KnownAddress(ip, is_visible=False)
    if row.allocation is None:
        return KnownAddress(ip, allocated=False)
    return KnownAddress(
        ip=ip,
        cluster=row.cluster,
        zone=row.zone or "",
        vnet=row.vnet or "",
        network=_network(row.network, row.length) if row.network and row.length is not None else None,
        mac=str(row.mac or ""),
        vmid=row.vmid,
        hostname=row.hostname or "",
        is_gateway=bool(row.is_gateway),
        adopted=bool(row.adopted),
        last_seen=row.last_seen,
    )


def _with_visibility(found: QuerySet[Any], model: Any, key: str, user: Any) -> QuerySet[Any]:
    """The same rows with `is_visible`: whether the user may view the object of the model that `key` names."""
    visible = model.objects.restrict(user, "view").order_by()
    is_visible = Value(True) if is_unrestricted(visible) else Exists(visible.filter(pk=OuterRef(key)))
    return found.annotate(is_visible=is_visible)


@cache
def _network(address: str, length: int) -> Network:
    return ipaddress.ip_network(f"{address}/{length}")


def _prefixes(caller: Caller, networks: Iterable[Network]) -> frozenset[Network]:
    """Those of the networks that are prefixes which the user may view."""
    wanted = set(networks)
    visible = Prefix.objects.restrict(caller.user, "view").filter(namespace=caller.namespace)
    begin = visible.filter(network__in={str(network.network_address) for network in wanted}).order_by()
    found = (_network(*row) for row in begin.values_list("network", "prefix_length"))
    return frozenset(wanted.intersection(found))


def _released(pairs: Collection[tuple[str, IPAddress]], own: QuerySet[SDNSubnet]) -> frozenset[tuple[str, IPAddress]]:
    """Those MACs and free addresses that one of these subnets had an allocation for, by the change log."""
    if not pairs:
        return frozenset()
    by_text = {(mac, str(ip)): (mac, ip) for mac, ip in pairs}
    deletions = ObjectChange.objects.filter(
        changed_object_type=ContentType.objects.get_for_model(Allocation),
        action=ObjectChangeActionChoices.ACTION_DELETE,
        object_data__mac__in=sorted({mac for mac, _ in pairs}),
        object_data__subnet__in=[str(id_) for id_ in own.order_by().values_list("pk", flat=True)],
    )
    found = deletions.order_by().values_list("object_data__mac", "object_repr").iterator(CHUNK)
    # An allocation's name begins with its address, `10.0.0.9/24 web1`.
    texts = ((mac, name.partition("/")[0]) for mac, name in found)
    return frozenset(by_text[text] for text in texts if text in by_text)
