"""How to call every endpoint. The calls are generated from the URL configuration.

An endpoint that this file does not know how to call fails its tests.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, get_resolver
from django.utils.regex_helper import normalize

from nautobot_pve_ipam.models import Allocation, Difference, PVECluster, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from tests.rights.world import OURS, Side

API, PAGES = "api/plugins/pve-ipam/", "plugins/pve-ipam/"
#: The endpoints that tell nobody anything of a PVE and change nothing.
SILENT = re.compile(r"(docs/|\w+/import/|netbox/|netbox/\{namespace\}/ipam/.*|netbox/.*/ipam/aggregates/|)")


@dataclass(frozen=True)
class Endpoint:
    """`route`: its path below API or PAGES, with the names of its parameters: `prefixes/{pk}/next-free-ip/`."""

    base: str
    route: str
    callback: Any

    def __str__(self) -> str:
        return self.base[:3] + ":" + self.route

    @property
    def is_silent(self) -> bool:
        return bool(SILENT.fullmatch(self.route))

    @property
    def model(self) -> Any:
        """The model of a generic view, or None."""
        queryset = getattr(getattr(self.callback, "cls", None), "queryset", None)
        return getattr(queryset, "model", None)

    @property
    def methods(self) -> set[str]:
        """The methods that do something of their own."""
        if actions := getattr(self.callback, "actions", None):
            names = set(actions)
        else:
            view = getattr(self.callback, "cls", None) or self.callback.view_class
            names = {name for name in view.http_method_names if hasattr(view, name)}
        return {name.upper() for name in names} - {"HEAD", "OPTIONS"}


def endpoints(base: str) -> list[Endpoint]:
    """All endpoints below a base URL, without those that only add `.json` to another."""

    def walk(patterns: Any, before: str) -> Iterator[Endpoint]:
        for pattern in patterns:
            ((text, _names), *_alternatives) = normalize(pattern.pattern.regex.pattern)
            route = before + re.sub(r"%\((\w+)\)s", r"{\1}", text)
            if isinstance(pattern, URLPattern):
                if route.startswith(base) and "{format}" not in route:
                    yield Endpoint(base, route.removeprefix(base), pattern.callback)
            elif base.startswith(route) or route.startswith(base):
                yield from walk(pattern.url_patterns, route)

    return list(walk(get_resolver().url_patterns, ""))


def pk_of(side: Side, route: str) -> Any:
    """The object that `{pk}` in a route means."""
    facade = route.startswith("netbox/")
    things = {
        "clusters": side.cluster,
        "zones": side.zone,
        "vnets": side.vnet,
        "subnets": side.subnet,
        "dhcp-ranges": side.link,
        "allocations": side.allocation,
        "differences": side.difference,
        "prefixes": side.subnet if facade else side.prefix,
        "ip-address-ranges": side.range,
        "ip-addresses": side.allocation,
    }
    return things[re.search(r"([\w-]+)/\{pk\}", route)[1]].pk


def path_of(endpoint: Endpoint, side: Side) -> str:
    values = {
        "namespace": side.namespace.name,
        "cluster": side.cluster.name,
        "subnet": side.subnet.pve_id,
        "ip": side.address.host,
        "vmid": side.vmid,
        "start": side.range.start_host,
        "end": side.range.end_host,
        "settlement": "release",
    }
    if "{pk}" in endpoint.route:
        values["pk"] = pk_of(side, endpoint.route)
    return f"/{endpoint.base}{endpoint.route.format(**values)}"


def queries(endpoint: Endpoint, side: Side) -> list[str]:
    """The query strings with which to call it."""
    first, last = side.range.start_host, side.range.end_host
    known = {
        "ips/": [f"mac={side.mac}&cluster={side.cluster}"],
        "ipam/prefixes/": [f"q={side.prefix.network}"],
        "ipam/ip-ranges/": [f"start_address={first}&end_address={last}"],
        "ipam/ip-addresses/": [
            f"q={side.address.host}",
            f"description__ic={side.mac}",
            f"parent={side.prefix.prefix}",
        ],
    }
    for ending, found in known.items():
        if endpoint.route.endswith(ending):
            return found
    if endpoint.route.startswith("namespaces/"):
        return ["", f"cluster={side.cluster}&zone={side.zone.name}"]
    return ["", "depth=1"] if endpoint.base == API else [""]


def bodies(endpoint: Endpoint, method: str, side: Side) -> list[Any]:
    """The bodies with which to call it. Raises KeyError if this file does not know any."""
    who = {"cluster": side.cluster.name, "zone": side.zone.name}
    guest = {"mac": side.mac, "hostname": "stolen", **who}
    place = {**who, "vnet": side.vnet.name}
    known = {
        ("POST", "next-free-ip/"): [{}, guest],
        ("PUT", "namespaces/{namespace}/subnets/{subnet}/"): [{**place, "dhcp_ranges": []}, place],
        ("DELETE", "namespaces/{namespace}/subnets/{subnet}/"): [who],
        ("POST", "namespaces/{namespace}/sync/"): [
            {"cluster": side.cluster.name, "snapshot": snapshot(side, zones), **what}
            for zones in ([], [side.zone.name])
            for what in ({}, {"dry_run": False, "adopt": True, "zones": zones})
        ],
        ("PUT", "namespaces/{namespace}/ips/{ip}/"): [guest, {**who, "mac": side.mac}],
        ("PATCH", "namespaces/{namespace}/ips/{ip}/"): [guest, who],
        ("DELETE", "namespaces/{namespace}/ips/{ip}/"): [who, {}],
        ("POST", "ipam/prefixes/"): [{"prefix": str(side.prefix.prefix)}, {"prefix": f"{side.net}.0/25"}],
        ("DELETE", "ipam/prefixes/{pk}/"): [{}],
        ("POST", "ipam/prefixes/{pk}/available-ips/"): [{"description": f"mac:{side.mac}", "dns_name": "stolen"}],
        ("POST", "{pk}/available-ips/"): [{"status": {"name": "Active"}, **told} for told in ({}, guest)],
        ("POST", "ipam/ip-ranges/"): [{"start_address": f"{side.net}.20/24", "end_address": f"{side.net}.29/24"}],
        ("DELETE", "ipam/ip-ranges/{start}-{end}/"): [{}],
        ("POST", "ipam/ip-ranges/{start}-{end}/available-ips/"): [
            {"description": f"mac:{side.mac}", "dns_name": "stolen"}
        ],
        ("POST", "ipam/ip-addresses/"): [
            {"address": f"{side.net}.{last}/24", "description": f"mac:{side.mac}", "dns_name": "stolen"}
            for last in (100, 60)
        ],
        ("PATCH", "ipam/ip-addresses/{pk}/"): [{"description": f"mac:{side.mac}", "dns_name": "stolen"}],
        ("DELETE", "ipam/ip-addresses/{pk}/"): [{}],
        ("POST", "/allocate/"): [{"mac": side.mac, "hostname": "stolen"}, {"_preview": "1"}],
        ("POST", "/release/"): [{"confirm": "true"}],
        ("POST", "/settle/"): [{"settlement": "release"}, {}],
        ("POST", "/settle/{settlement}/"): [{}],
        ("POST", "/ignore/"): [{"reason": "stolen"}, {}],
        ("POST", "/reopen/"): [{}],
    }
    for (of, ending), found in known.items():
        if of == method and endpoint.route.endswith(ending):
            return found
    if endpoint.is_silent:
        return [{}]
    if endpoint.model in OURS:
        return model_bodies(endpoint, method, side)
    raise KeyError(f"bodies() of {__name__} does not know how to call {method} {endpoint}")


def snapshot(side: Side, zones: list[str]) -> dict[str, Any]:
    """What a cluster says that has these zones, with that vnet and subnet, a guest with that MAC, nothing else."""
    subnet = {"subnet": f"{side.zone.name}-{side.subnet.pve_id}", "vnet": side.vnet.name}
    net0 = f"name=eth0,bridge={side.vnet.name},hwaddr={side.mac},ip={side.net}.60/24"
    return {
        "version": 1,
        "taken": "2036-11-26T20:00:00Z",
        "cluster": [{"type": "node", "name": "node1", "nodeid": 0, "online": 1}],
        "vmlist": {},
        "zones": [{"zone": zone, "type": "simple"} for zone in zones],
        "vnets": [{"vnet": side.vnet.name, "zone": zone} for zone in zones],
        "subnets": [subnet for _ in zones],
        "ipams": [],
        "guests": [{"vmid": 300, "type": "lxc", "node": "node1", "config": {"net0": net0}} for _ in zones],
        "mac-cache": {},
        "pve-ipam-state": [{"zone": zone, "subnet": str(side.prefix.prefix), "ip": f"{side.net}.60"} for zone in zones],
        "unread": [],
    }


def model_bodies(endpoint: Endpoint, method: str, side: Side) -> list[Any]:
    """For the generic views of a model, in REST and on pages."""
    thing = next(thing for thing in side.things if isinstance(thing, endpoint.model))
    changes = {SDNDHCPRange: {"adopted": False}, Difference: {"state": "accepted", "reason": "stolen"}}
    named = changes.get(endpoint.model, {"description": "stolen"})
    if endpoint.base == API:
        one = "{pk}" in endpoint.route
        if endpoint.route.endswith("/notes/"):
            return [{"note": "stolen"}]
        if method == "POST":
            return [creation(endpoint.model, side)]
        changed = {**creation(endpoint.model, side), **named} if method == "PUT" else named
        return [changed if one else [{"id": str(thing.pk), **(changed if method != "DELETE" else {})}]]
    shown = {**creation(endpoint.model, side), "pk": [str(thing.pk)], **named, "find": side.word, "replace": "stolen"}
    return [shown, {**shown, "confirm": "true", "_confirm": "1", "_apply": "1"}]


def creation(model: Any, side: Side) -> dict[str, Any]:
    """What makes another object of a model on this side."""
    return {
        PVECluster: {"name": f"{side.cluster}2", "status": str(side.cluster.status.pk)},
        SDNZone: {"name": "new", "type": "vlan", "namespace": side.namespace.pk, "cluster": side.cluster.pk},
        SDNVNet: {"name": "new", "zone": side.zone.pk},
        SDNSubnet: {"vnet": side.vnet.pk, "prefix": side.prefix.pk},
        SDNDHCPRange: {"subnet": side.subnet.pk, "ip_address_range": side.range.pk},
        Allocation: {"ip_address": side.loose.pk, "subnet": side.subnet.pk},
        Difference: {"namespace": side.namespace.pk, "cluster": side.cluster.pk},
    }[model]
