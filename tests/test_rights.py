"""Nobody is told, or changes, what they may not view: every endpoint, page, panel, metric and GraphQL field.

The calls are generated from the URL configuration, and all are about bravo, a namespace of another PVE. An endpoint
that this file does not know how to call, or whose calls would not even tell a superuser anything, fails.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Q
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import URLPattern, get_resolver
from django.utils.regex_helper import normalize
from graphene_django.settings import graphene_settings
from graphql import get_named_type, get_nullable_type, is_leaf_type, is_list_type, is_required_argument
from nautobot.core.graphql import execute_query
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix
from nautobot.users.models import Token
from nautobot.virtualization.models import Cluster

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.permissions import NAMESPACE_PATHS
from nautobot_pve_ipam.services.connect import connect_pve
from nautobot_pve_ipam.views import override_views
from tests.api.available_ips.serving import serving
from tests.models import data
from tests.nightly import nightly_only
from tests.ui.users import permit

API, PAGES = "api/plugins/pve-ipam/", "plugins/pve-ipam/"
#: The endpoints that tell nobody anything of a PVE and change nothing.
SILENT = re.compile(r"(docs/|\w+/import/|netbox/|netbox/\{namespace\}/ipam/.*|netbox/.*/ipam/aggregates/|)")
#: Nautobot's own page for renaming many objects answers OPTIONS with 500.
CORES_CRASH = ("OPTIONS", "rename")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
OURS = (PVECluster, SDNZone, SDNVNet, SDNSubnet, SDNDHCPRange, Allocation)
CORE = (Prefix, IPAddressRange, IPAddress)


# What there is


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
        self.mac, self.vmid = mac, vmid

    @property
    def things(self) -> list[Any]:
        shown = (self.namespace, self.cluster, self.zone, self.vnet, self.subnet, self.link, self.allocation)
        return [*shown, self.prefix, self.range, self.gateway, self.address, self.loose]

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


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker) -> Iterator[World]:
    """Made once; all that is done to it is rolled back."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield World(get_user_model().objects)
        transaction.set_rollback(True)


# How to call it


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
        ("PUT", "namespaces/{namespace}/ips/{ip}/"): [guest, {**who, "mac": side.mac}],
        ("PATCH", "namespaces/{namespace}/ips/{ip}/"): [guest, who],
        ("DELETE", "namespaces/{namespace}/ips/{ip}/"): [who, {}],
        ("POST", "ipam/prefixes/"): [{"prefix": str(side.prefix.prefix)}, {"prefix": f"{side.net}.0/25"}],
        ("DELETE", "ipam/prefixes/{pk}/"): [{}],
        ("POST", "ipam/prefixes/{pk}/available-ips/"): [{"description": f"mac:{side.mac}", "dns_name": "stolen"}],
        ("POST", "prefixes/{pk}/available-ips/"): [{"status": {"name": "Active"}, **told} for told in ({}, guest)],
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
    }
    for (of, ending), found in known.items():
        if of == method and endpoint.route.endswith(ending):
            return found
    if endpoint.is_silent:
        return [{}]
    if endpoint.model in OURS:
        return model_bodies(endpoint, method, side)
    raise KeyError(f"bodies() of {__name__} does not know how to call {method} {endpoint}")


def model_bodies(endpoint: Endpoint, method: str, side: Side) -> list[Any]:
    """For the generic views of a model, in REST and on pages."""
    thing = next(thing for thing in side.things if isinstance(thing, endpoint.model))
    named = {"description": "stolen"} if endpoint.model is not SDNDHCPRange else {"adopted": False}
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
    }[model]


# What it does


@dataclass
class Answer:
    """What a call tells of bravo, beyond what it says itself, and whether it changes anything there."""

    call: tuple[str, str, Any]
    status: int
    told: set[str]
    changed: bool


class Asking:
    """Calls as one caller; nothing that they do is kept."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world, self._caller = world, caller
        self._marks = world.bravo.app_marks if caller.app_only else world.bravo.marks
        self._before = world.bravo.rows()
        self.answers: list[Answer] = []

    def everything(self, endpoint: Endpoint, side: Side) -> list[Answer]:
        """All calls of an endpoint about one side."""
        path, asked = path_of(endpoint, side), len(self.answers)
        for method in METHODS:
            if method in ("GET", "HEAD"):
                for query in queries(endpoint, side):
                    self.ask(method, f"{path}?{query}" if query else path)
            elif method in endpoint.methods:
                for body in bodies(endpoint, method, side):
                    self.ask(method, path, body)
            else:
                self.ask(method, path)
        return self.answers[asked:]

    def ask(self, method: str, url: str, body: Any = None) -> Answer:
        is_api = url.startswith(("/api/", "/metrics/"))
        client = self._caller.api_client if is_api else self._caller.page_client
        said = json.dumps([url, body], default=str)
        if is_api:
            options = {"data": json.dumps(body, default=str), "content_type": "application/json"}
        else:
            options = {"data": encode_multipart(BOUNDARY, body or {}), "content_type": MULTIPART_CONTENT}
        with transaction.atomic(), written() as tables:
            answer = client.generic(method, url, **(options if body is not None else {}))
            changed = bool(tables) and self._world.bravo.rows() != self._before
            transaction.set_rollback(True)
        text = " ".join([content_of(answer), *answer.headers.values(), str(answer.reason_phrase)])
        told = self.marked(text) - self.marked(said)
        self.answers.append(Answer((method, url, body), answer.status_code, told, changed))
        return self.answers[-1]

    def marked(self, text: str) -> set[str]:
        return {found.group().lower() for found in self._marks.finditer(text)}

    def faults(self) -> list[Any]:
        """The calls that crashed, told or changed something."""
        found, told = [], self._caller.told
        for answer in self.answers:
            if answer.status == 500 and (answer.call[0], answer.call[1].split("/")[-2]) != CORES_CRASH:
                found.append((*answer.call, "crashes"))
            if told is not None and answer.told - told:
                found.append((*answer.call, answer.status, "tells", sorted(answer.told - told)))
            if answer.changed and not self._caller.writes:
                found.append((*answer.call, answer.status, "changes something"))
        return found


@contextmanager
def written() -> Iterator[list[str]]:
    """Statements in the block that write to tables of core's IPAM or ours."""
    writes: list[str] = []

    def watch(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if WRITES.match(str(sql)):
            writes.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield writes


WRITES = re.compile(r"(INSERT|UPDATE|DELETE)\b.{0,20}[\"`](ipam|nautobot_pve_ipam)_", re.DOTALL)


def content_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode(errors="replace")


# The tests

CALLERS = [
    "anonymous",
    "without rights",
    "viewer of alfa",
    "all of alfa, sees namespaces",
    "PVE of alfa",
    "write-disabled",
    "superuser",
]


#: At each change, who has the most to gain, and who shows that the calls are not vacuous; all others nightly. All pages
#: are also asked for by the viewer of core, below.
EACH_CHANGE = {
    (API, "all of alfa, sees namespaces"),
    (API, "PVE of alfa"),
    (API, "superuser"),
}


@pytest.mark.parametrize(
    ("base", "name"),
    [
        pytest.param(base, name, marks=() if (base, name) in EACH_CHANGE else nightly_only)
        for base in (API, PAGES)
        for name in CALLERS
    ],
)
def test_endpoints(world, name, base):
    asking = Asking(world, world.callers[name])
    idle = []
    for endpoint in endpoints(base):
        answers = asking.everything(endpoint, world.bravo)
        if not any(answer.told or answer.changed for answer in answers) and not endpoint.is_silent:
            idle.append(str(endpoint))
    assert asking.faults() == []
    if name == "superuser":
        assert idle == [], "these calls prove nothing: queries() or bodies() does not ask for anything that exists"


@pytest.mark.parametrize("name", CALLERS)
def test_the_endpoint_of_cores_that_we_answer(world, name):
    asking = Asking(world, world.callers[name])
    with serving():
        for endpoint in endpoints("api/ipam/"):
            if endpoint.callback in override_views.values():
                asking.everything(endpoint, world.bravo)
    assert asking.faults() == []
    assert any(answer.changed for answer in asking.answers) == (name == "superuser")


@pytest.mark.parametrize("name", [pytest.param("all of alfa, sees namespaces", marks=nightly_only), "PVE of alfa"])
def test_references(world, name):
    """To bravo's objects from alfa's: in the fields of the models, and by the name of bravo's cluster."""
    asking = Asking(world, world.callers[name])
    mixed = copy(world.alfa)
    mixed.cluster = world.bravo.cluster
    for endpoint in endpoints(API):
        if endpoint.route.startswith(("namespaces/", "netbox/{", "prefixes/", "ip-address-ranges/")):
            asking.everything(endpoint, mixed)
        elif endpoint.model in OURS and endpoint.route.endswith("/{pk}/"):
            own = path_of(endpoint, world.alfa)
            for field in (*endpoint.model._meta.fields, *endpoint.model._meta.many_to_many):
                for thing in world.bravo.things:
                    if field.is_relation and isinstance(thing, field.related_model):
                        asking.ask("PATCH", own, {field.name: thing.pk})
                        listed = own.rsplit("/", 2)[0] + "/"
                        asking.ask("POST", listed, {**creation(endpoint.model, world.alfa), field.name: thing.pk})
    assert asking.faults() == []


@pytest.mark.parametrize("name", [*(pytest.param(name, marks=nightly_only) for name in CALLERS), "viewer of core"])
def test_panels_and_metrics(world, name):
    """What the App adds to Nautobot's own pages."""
    asking = Asking(world, world.callers[name])
    bravo = world.bravo
    for thing in (bravo.prefix, bravo.range, bravo.address, bravo.gateway, world.inventory):
        asking.ask("GET", thing.get_absolute_url())
    asking.ask("GET", "/")
    for endpoint in endpoints(PAGES):
        if name == "viewer of core":
            asking.everything(endpoint, bravo)
    asking.ask("GET", "/metrics/")
    assert asking.faults() == []
    if name == "superuser":
        assert [answer.call for answer in asking.answers if not answer.told] == []


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=nightly_only) for name in CALLERS[1:4]), CALLERS[4], "viewer of core", "superuser"],
)
def test_graphql(world, name):
    caller = world.callers[name]
    asking = Asking(world, caller)
    untold = []
    for query in graphql_queries():
        result = execute_query(query, user=caller.user)
        assert not result.errors, (query, result.errors)
        told = asking.marked(json.dumps(result.data, default=str))
        asking.answers.append(Answer(("GraphQL", query, None), 200, told, False))
        untold += [query] if not told else []
    assert asking.faults() == []
    if name == "superuser":
        assert untold == []


def graphql_queries() -> list[str]:
    """A query of each list of our models and of the core models around them: all fields, and those of related objects.

    Generated from the schema.
    """
    schema = graphene_settings.SCHEMA.graphql_schema

    def model_of(type_: Any) -> Any:
        return getattr(getattr(getattr(type_, "graphene_type", None), "_meta", None), "model", None)

    def fields(type_: Any, deeper: bool) -> str:
        chosen = []
        for name, field in type_.fields.items():
            inner = get_named_type(field.type)
            if any(is_required_argument(argument) for argument in field.args.values()):
                continue
            if is_leaf_type(inner):
                chosen.append(name)
            elif deeper and model_of(inner) in (*OURS, *CORE, Namespace):
                chosen.append(f"{name} {{ {fields(inner, False)} }}")
        return " ".join(chosen)

    queries_ = []
    for name, field in schema.query_type.fields.items():
        inner = get_named_type(field.type)
        if model_of(inner) in (*OURS, *CORE, Namespace, Cluster) and is_list_type(get_nullable_type(field.type)):
            queries_.append(f"{{ {name} {{ {fields(inner, True)} }} }}")
    return queries_


# What a PVE sees of its own


def test_a_pve_sees_its_own_records(world):
    """No nulls in GraphQL, no mere links in REST, where its zone, vnet and cluster stand."""
    pve, alfa = world.callers["PVE of alfa"], world.alfa
    query = """{ allocations { mac ip_address { host } subnet { prefix { prefix } vnet { name zone {
        name namespace { name } cluster { name } } } dhcp_ranges { start_host } dhcp_range_links { adopted } } } }"""
    data_ = execute_query(query, user=pve.user).data["allocations"]
    subnet = {
        "prefix": {"prefix": f"{alfa.net}.0/24"},
        "vnet": {
            "name": "alfav",
            "zone": {"name": "alfaz", "namespace": {"name": "alfa-space"}, "cluster": {"name": "alfa-pve"}},
        },
        "dhcp_ranges": [{"start_host": f"{alfa.net}.100"}],
        "dhcp_range_links": [{"adopted": True}],
    }
    assert [found["subnet"] for found in data_] == [subnet, subnet]
    base = "/api/plugins/pve-ipam"
    for kind, thing, related in (
        ("allocations", alfa.allocation, {"subnet": "gateway"}),
        ("subnets", alfa.subnet, {"vnet": "name"}),
        ("vnets", alfa.vnet, {"zone": "name"}),
        ("zones", alfa.zone, {"cluster": "name", "namespace": "name"}),
    ):
        deep = pve.api_client.get(f"{base}/{kind}/{thing.pk}/?depth=1").json()
        for name, field in related.items():
            assert deep[name][field] == getattr(getattr(thing, name), field)
    for kind in ("clusters", "zones", "vnets", "subnets", "dhcp-ranges", "allocations"):
        listed = pve.api_client.get(f"{base}/{kind}/?depth=1").json()
        assert listed["count"] == (2 if kind == "allocations" else 1), kind
