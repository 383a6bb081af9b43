"""Random requests to core's method and to ours, in the same database state, get the same answer and do the same.

Left out is what differs on purpose: gateways of PVE's subnets, exclusive ranges that begin outside of the prefix, and
pages of more than Nautobot's maximum. What makes core crash is an error to us, too.
"""

import json
import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import netaddr
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nautobot.extras.models import CustomField, ObjectChange, Role, Status, Tag
from nautobot.ipam.models import IPAddress, Prefix
from nautobot.tenancy.models import Tenant

from nautobot_pve_ipam.search import occupancy
from nautobot_pve_ipam.search.search import Search
from tests.api.available_ips.serving import serving
from tests.nightly import NIGHTLY, examples
from tests.search.test_search_properties import BITS, SUBNET, V4, Network, Scenario, build, scenarios
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

USERS = ("superuser", "adder", "constrained", "viewer", "sees no prefix", "anonymous")
#: So many requests in each scenario, which takes longer to build than they do.
EACH = 10 if NIGHTLY else 2
#: Values that differ from one request to the next.
FLEETING = ("created", "last_updated", "natural_slug", "time", "request_id")
OWN_PREFIX, OTHER_PREFIX, STATUS, USED = "<own prefix>", "<other prefix>", "<status>", "<address>"


@dataclass(frozen=True)
class Request:
    method: str
    user: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"


def usually(value, *others):
    return st.sampled_from([value] * 3 * len(others) + list(others))


FIELDS = {
    "type": usually("host", "dhcp", "slaac", "bogus", {"value": "host"}),
    "role": usually({"name": "Guest"}, {"name": "Nope"}, None),
    "tenant": usually({"name": "Hosting"}, None, "bad"),
    "dns_name": usually("web1.example.com", "bad name!", "", None, "UPPER.example.com"),
    "description": usually("mine", "other", "x" * 300, None, 5, "nul \0"),
    "tags": usually([{"name": "blue"}], ["nope"], None, []),
    "custom_fields": usually({"owner": "me"}, {"unknown": 1}, {"owner": 5}, None, "x"),
    "nat_inside": usually(USED, {"host": "203.0.113.77"}, "x"),
    "address": usually("203.0.113.9/24", "x", None),
    "namespace": usually("x", None),
    "parent": usually(OWN_PREFIX, OTHER_PREFIX, "x", None),
    "id": usually("7e1b0ca0-0000-4000-8000-00000000abcd", "x", None),
    "relationships": usually({}, "x", {"nope": {}}),
    "ip_version": st.just(6),
    "mask_length": st.just(3),
    "bogus": st.just(["x"]),
}


@st.composite
def items(draw):
    """One object of a body; now and then something else."""
    if draw(st.integers(0, 30)) == 0:
        return draw(st.sampled_from(["x", 5, None, [], [{}]]))
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=4, unique=True))
    item = {name: draw(FIELDS[name]) for name in names}
    status = draw(usually(STATUS, {"name": "Active"}, "Active", {"name": "Nope"}, None, 7, "left out"))
    return item if status == "left out" else {**item, "status": status}


@st.composite
def requests(draw, scenario):
    prefix = scenario.prefix
    method = draw(usually("POST", "GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
    last = min(2 ** BITS[prefix.version] - 1, prefix.last + 3)
    window = min(last, prefix.first + 260)
    near = st.one_of(st.integers(max(0, prefix.first - 3), window), st.integers(prefix.last - 3, last))
    addresses = st.one_of(
        *[near.map(lambda number: str(netaddr.IPAddress(number, prefix.version)))] * 4,
        st.sampled_from(["2001:db8::1", "10.1.0.7", "10.1.0.5/24", "x", "", "0.0.0.0", "::", "255.255.255.255"]),
    )
    # All free addresses of a large prefix are too many for core.
    limits = [
        "1",
        "3",
        "1000",
        "2000",
        "x",
        "",
        " 4 ",
        "1.5",
        *(["0", "-1"] if prefix.last - prefix.first < 999 else []),
    ]
    values = {
        "range_start": addresses,
        "range_end": addresses,
        "limit": st.sampled_from(limits),
        "depth": st.sampled_from(["0", "1", "11", "x"]),
        "exclude_m2m": st.sampled_from(["true", "false", "x"]),
        "include": st.sampled_from(["computed_fields", "relationships"]),
        "format": st.sampled_from(["json", "csv", "api", "x"]),
        "api_version": st.sampled_from(["2.0", "3.2", "9.9"]),
        "bogus": st.just("x"),
    }
    often = ("range_start", "range_end", "limit")
    names = draw(st.lists(st.sampled_from([*often * 3, *values]), max_size=3, unique=True))
    body, content_type = None, "application/json"
    if method in ("POST", "PUT"):
        body = draw(st.one_of(*[items()] * 3, *[st.lists(items(), max_size=5)] * 2))
        if draw(st.integers(0, 12)) == 0:
            body, content_type = draw(
                st.sampled_from(
                    [
                        (b"", "application/json"),
                        (b"", "application/x-www-form-urlencoded"),
                        (b"{", "application/json"),
                        (b"status__name,description\nActive,mine\n", "text/csv"),
                        (b"description\n", "text/csv"),
                        (b"a=b", "application/x-www-form-urlencoded"),
                        (b"x", "text/plain"),
                        (b'{"status": {"name": "Active"}, "custom_fields": {"owner": "\\u0000"}}', "application/json"),
                        (b'{"status": {"name": "Active"}, "dns_name": "\\ud800"}', "application/json"),
                    ]
                )
            )
    return Request(
        method,
        draw(usually("superuser", *USERS[1:])),
        tuple((name, draw(values[name])) for name in names),
        body,
        content_type,
        draw(usually("application/json", "text/csv", "text/html", "application/json; version=2.0", "image/png")),
    )


def of_core_alone(scenario):
    """Without what differs on purpose."""
    ranges = tuple(found for found in scenario.ranges if found.last <= scenario.prefix.last)
    return replace(scenario, gateways=(), ranges=ranges, bounds=(), exclude=(), offset=0)


@st.composite
def cases(draw):
    scenario = of_core_alone(draw(scenarios()))
    return scenario, [draw(requests(scenario)) for _ in range(EACH)]


@pytest.fixture
def clients(django_user_model):
    """A client for each of USERS."""
    users = {name: django_user_model.objects.create_user(name) for name in USERS[1:-1]}
    users["superuser"] = django_user_model.objects.create_superuser("superuser")
    for name in ("adder", "constrained", "viewer"):
        permit(users[name], Prefix, "view")
        permit(users[name], IPAddress, "view")
        permit(users[name], Status, "view")
    permit(users["adder"], IPAddress, "add")
    permit(users["sees no prefix"], IPAddress, "add", "view")
    permit(users["constrained"], IPAddress, "add", description="mine")
    made = {name: Client(raise_request_exception=False) for name in USERS}
    for name, user in users.items():
        made[name].force_login(user)
    return made


@pytest.fixture
def _things():
    content_type = ContentType.objects.get_for_model(IPAddress)
    for thing in (
        Role.objects.create(name="Guest"),
        Tag.objects.create(name="blue"),
        CustomField.objects.create(key="owner", label="Owner", type="text"),
    ):
        thing.content_types.add(content_type)
    Tenant.objects.create(name="Hosting")


def sent(request, prefix):
    """The body with the placeholders filled in."""
    if isinstance(request.body, bytes):
        return request.body
    other = Prefix.objects.exclude(pk=prefix.pk).first()
    used = IPAddress.objects.first()
    text = json.dumps(request.body)
    for mark, thing in ((OWN_PREFIX, prefix), (OTHER_PREFIX, other), (USED, used)):
        text = text.replace(mark, str(thing.pk))
    return text.replace(STATUS, str(Status.objects.get(name="Active").pk))


def outcome(client, request, prefix):
    """What the request gets and does; undone again."""
    with transaction.atomic():
        before = set(IPAddress.objects.values_list("pk", flat=True))
        answer = client.generic(
            request.method,
            f"/api/ipam/prefixes/{prefix.pk}/available-ips/?{urlencode(request.query)}",
            sent(request, prefix),
            content_type=request.content_type,
            headers={"Accept": request.accept},
        )
        made = list(IPAddress.objects.exclude(pk__in=before).order_by("host"))
        ids = {str(address.pk): f"<{address.host}>" for address in made}
        rows = [
            [
                address.host,
                address.mask_length,
                str(address.parent),
                address.cf,
                [str(tag) for tag in address.tags.all()],
            ]
            for address in made
        ]
        changes = ObjectChange.objects.order_by("object_repr").values(
            "action", "object_repr", "object_data", "object_data_v2", "user_name", "change_context_detail"
        )
        found = {
            "status": answer.status_code,
            "headers": {name: answer.headers.get(name) for name in ("Content-Type", "Allow", "API-Version")},
            "data": getattr(answer, "data", None),
            "rows": rows,
            "changes": list(changes),
        }
        if request.accept == "text/csv" and answer.status_code < 300:
            found["text"] = re.sub(r"[\d-]+T[\d:.+]+|_[0-9a-f]{4}\b", "", answer.content.decode())
        transaction.set_rollback(True)
    text = json.dumps(without_fleeting(found), default=str, sort_keys=True)
    for id_, name in ids.items():
        text = text.replace(id_, name)
    return json.loads(text)


def without_fleeting(data):
    if isinstance(data, dict):
        return {name: without_fleeting(value) for name, value in data.items() if name not in FLEETING}
    return [without_fleeting(value) for value in data] if isinstance(data, (list, tuple)) else data


@settings(
    max_examples=examples(24, 500),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cases())
@example((Scenario(SUBNET), [Request("POST", "superuser", body=[{"status": STATUS}] * 3)]))
@example((Scenario(Network(V4, 30, 4, "network")), [Request("POST", "constrained", body=[{"status": STATUS}] * 3)]))
@example((Scenario(Network(V4, 32, 4, "network")), [Request("POST", "superuser", body=["x", {"status": STATUS}])]))
@example((Scenario(SUBNET), [Request("POST", "superuser", (("range_start", "2001:db8::1"),), {"status": STATUS})]))
@pytest.mark.usefixtures("_things")
def test_requests(clients, case):
    scenario, asked = case
    with transaction.atomic():
        prefix = build(scenario)
        for request in asked:
            client = clients[request.user]
            with serving(False):
                cores = outcome(client, request, prefix)
            with serving(), patch.multiple(occupancy, **scenario.paging):
                ours = outcome(client, request, prefix)
            if cores["status"] == 500:
                # Core's own serializers and renderers crash in our hands, too.
                assert ours["status"] >= 400, (request, cores["data"], ours)
            else:
                assert ours == cores, request
        transaction.set_rollback(True)


@settings(
    max_examples=examples(40, 2000),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scenarios().map(of_core_alone))
def test_the_search_by_cores_rule(scenario):
    """Against the set that core computes."""
    with transaction.atomic(), patch.multiple(occupancy, **scenario.paging):
        prefix = build(scenario)
        cores = [int(address) for address in islice(prefix.get_available_ips(), 300)]
        assert Search(prefix, by_core=True).first(300) == cores
        transaction.set_rollback(True)
