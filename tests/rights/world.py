"""Two PVEs, and everybody who calls. All calls are about bravo, the namespace of the other PVE."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.apps import apps
from django.db.models import Q
from django.test import Client
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix
from nautobot.users.models import Token
from nautobot.virtualization.models import Cluster

from nautobot_pve_ipam.models import Allocation, Difference, PVECluster, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.permissions import NAMESPACE_PATHS
from nautobot_pve_ipam.services.connect import connect_pve
from tests.models import data
from tests.ui.users import permit

OURS = (PVECluster, SDNZone, SDNVNet, SDNSubnet, SDNDHCPRange, Allocation, Difference)
CORE = (Prefix, IPAddressRange, IPAddress)
#: Who calls, but for the viewer of core.
CALLERS = [
    "anonymous",
    "without rights",
    "viewer of alfa",
    "all of alfa, sees namespaces",
    "PVE of alfa",
    "write-disabled",
    "superuser",
]


class Side:
    """The network of one PVE: everything in it is named after `word`, and all its addresses begin with `net`."""

    def __init__(self, word: str, net: str, mac: str, vmid: int, inventory: Cluster) -> None:
        self.word, self.net = word, net
        self.namespace = data.namespace(f"{word}-space")
        self.cluster = data.saved(
            PVECluster(
                name=f"{word}-pve",
                description=f"{word}-text",
                status=data.active(PVECluster),
                virtualization_cluster=inventory,
            )
        )
        self.zone = data.saved(SDNZone(name=f"{word}z", cluster=self.cluster, namespace=self.namespace))
        self.vnet = data.saved(SDNVNet(name=f"{word}v", zone=self.zone, alias=f"{word}-alias"))
        core = {"namespace": self.namespace, "status": data.active(Prefix)}
        self.prefix = data.saved(Prefix(prefix=f"{net}.0/24", **core))
        self.subnet = data.saved(
            SDNSubnet(vnet=self.vnet, prefix=self.prefix, gateway=f"{net}.1", dns_zone_prefix=f"{word}-dns")
        )
        self.range = data.saved(IPAddressRange(start_address=f"{net}.100", end_address=f"{net}.199", **core))
        self.link = data.saved(SDNDHCPRange(subnet=self.subnet, ip_address_range=self.range, adopted=True))
        self.gateway, self.address, self.loose = (
            data.saved(IPAddress(address=f"{net}.{last}/24", dns_name=f"{word}-{last}.example.com", **core))
            for last in (1, 100, 50)
        )
        data.saved(
            Allocation(ip_address=self.gateway, subnet=self.subnet, is_gateway=True, hostname=f"{self.vnet.name}-gw")
        )
        self.allocation = data.saved(
            Allocation(ip_address=self.address, subnet=self.subnet, mac=mac, vmid=vmid, hostname=f"{word}-web")
        )
        self.difference = data.difference(1, self.allocation, evidence=f"PVE has no {word}-web.")
        self.mac, self.vmid = mac, vmid

    @property
    def things(self) -> list[Any]:
        shown = (self.namespace, self.cluster, self.zone, self.vnet, self.subnet, self.link, self.allocation)
        return [*shown, self.difference, self.prefix, self.range, self.gateway, self.address, self.loose]

    @cached_property
    def marks(self) -> re.Pattern[str]:
        """Whatever identifies something of this side."""
        names = [rf"{self.word}[\w-]*", re.escape(self.net) + r"\.\d+", re.escape(self.mac), rf"\b{self.vmid}\b"]
        return re.compile("|".join([*names, *(str(thing.pk) for thing in self.things)]), re.IGNORECASE)

    @cached_property
    def app_marks(self) -> re.Pattern[str]:
        """Whatever only the App's own models say."""
        names = (self.cluster, self.zone.name, self.vnet.name, f"{self.word}-(alias|web|dns|text)", self.mac, self.vmid)
        own = [thing for thing in self.things if isinstance(thing, OURS)]
        return re.compile("|".join([*map(str, names), *(str(thing.pk) for thing in own)]), re.IGNORECASE)

    def rows(self) -> dict[str, list[Any]]:
        """All that belongs to this side, or refers to it."""
        found = {}
        for label, path in NAMESPACE_PATHS.items():
            model = apps.get_model(label)
            mine = Q(**{f"{path}pk": self.namespace.pk}) | Q(pk__in=[t.pk for t in self.things if isinstance(t, model)])
            for field in model._meta.fields if model in OURS else ():
                if ids := [t.pk for t in self.things if field.is_relation and isinstance(t, field.related_model)]:
                    mine |= Q(**{f"{field.name}__in": ids})
            found[label] = sorted(map(repr, model.objects.filter(mine).order_by().distinct().values()))
        return found


@dataclass
class Caller:
    """Who calls. `told`: what it may be told of bravo (None: everything); `writes`: whether it may change bravo."""

    name: str
    user: Any = None
    token: str | None = None
    told: frozenset[str] | None = frozenset()
    writes: bool = False
    app_only: bool = False

    @cached_property
    def page_client(self) -> Client:
        client = Client(raise_request_exception=False)
        if self.user:
            client.force_login(self.user)
        return client

    @cached_property
    def api_client(self) -> Client:
        headers = {"Authorization": f"Token {self.token}"} if self.token else {}
        return Client(raise_request_exception=False, headers=headers)


class World:
    """Two PVEs, alfa and bravo, and everybody who calls."""

    def __init__(self, users: Any) -> None:
        self.inventory = data.virtualization_cluster("inventory")
        self.alfa = Side("alfa", "10.55.44", "BC:24:11:AA:AA:AA", 123_456, self.inventory)
        self.bravo = Side("bravo", "10.66.77", "BC:24:11:BB:BB:BB", 987_654, self.inventory)
        self.callers = {caller.name: caller for caller in self._callers(users)}

    def _callers(self, users: Any) -> Iterator[Caller]:
        def user(name: str) -> dict[str, Any]:
            made = users.create_user(name)
            return {"name": name, "user": made, "token": Token.objects.create(user=made).key}

        def permit_in_alfa(made: Any, *actions: str, without: Any = ()) -> None:
            for label, path in NAMESPACE_PATHS.items():
                if (model := apps.get_model(label)) not in without:
                    permit(made, model, *actions, **{f"{path}name": self.alfa.namespace.name})

        yield Caller("anonymous")
        yield Caller(**user("without rights"))
        viewer = Caller(**user("viewer of alfa"))
        permit_in_alfa(viewer.user, "view")
        permit(viewer.user, Cluster, "view")
        yield viewer
        namespaces = Caller(**user("all of alfa, sees namespaces"))
        namespaces.told = frozenset({"bravo-space", str(self.bravo.namespace.pk)})
        permit_in_alfa(namespaces.user, "view", "add", "change", "delete", without=[Namespace])
        permit(namespaces.user, Namespace, "view")
        permit(namespaces.user, Cluster, "view")
        yield namespaces
        pve = connect_pve(self.alfa.namespace.name, "pve")
        yield Caller("PVE of alfa", users.get(username="pve"), pve.token)
        # Reads all of core and nothing of ours: sees what PVE and Nautobot both know, on Nautobot's own pages.
        core = Caller(**user("viewer of core"), app_only=True)
        for model in (*CORE, Namespace, Cluster):
            permit(core.user, model, "view")
        yield core
        root = users.create_superuser("root")
        read_only = Token.objects.create(user=root, write_enabled=False).key
        yield Caller("write-disabled", token=read_only, told=None)
        yield Caller("superuser", root, Token.objects.create(user=root).key, told=None, writes=True)
