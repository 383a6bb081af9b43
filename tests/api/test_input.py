"""What every endpoint of ours makes of unknown, empty and unfit input.

The tests are made from the URLs and from what the serializers declare: a new endpoint or field is tested, or missed.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.urls import resolve
from django.utils import timezone
from nautobot.extras.models import Role, Status, Tag
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix
from nautobot.tenancy.models import Tenant

from nautobot_pve_ipam.api import requests, urls
from nautobot_pve_ipam.api.differences import SettleSerializer
from nautobot_pve_ipam.api.next_free_ip import PreviewSerializer, QuerySerializer
from nautobot_pve_ipam.models import Allocation, Difference, SDNSubnet, SDNVNet, SDNZone
from tests.models import data
from tests.ui.users import logged_in, permit

pytestmark = pytest.mark.django_db

API = "/api/plugins/pve-ipam/"
SUBNET, IP = "namespaces/pve/subnets/10.0.0.0-24/", "namespaces/pve/ips/10.0.0.9/"
MAC = "BC:24:11:00:00:09"
SNAPSHOT = {"version": 1, "taken": "2026-11-26T20:00:00Z"}
PVE = {"zone": "zone1", "vnet": "vnet1"}


@dataclass(frozen=True)
class Endpoint:
    """A call with just what it needs, in the query for GET and DELETE; `{prefix}` and `{range}` are IDs."""

    method: str
    path: str
    serializer: Any
    needs: tuple[tuple[str, Any], ...] = ()
    in_query: bool = False

    def __str__(self):
        return f"{self.method} {self.path}{' (query)' * (self.in_query and self.method in ('POST', 'PATCH'))}"


NEXT = [f"{where}next-free-ip/" for where in (SUBNET, "prefixes/{prefix}/", "ip-address-ranges/{range}/")]
ENDPOINTS = [
    Endpoint("GET", "namespaces/pve/", requests.CallerSerializer, in_query=True),
    Endpoint("PUT", SUBNET, requests.SubnetRequestSerializer, tuple(PVE.items())),
    Endpoint("PUT", "namespaces/pve/ips/10.0.0.8/", requests.AddressHookSerializer),
    Endpoint("PATCH", IP, requests.AddressChangeSerializer),
    Endpoint("PATCH", IP, requests.PreconditionSerializer, in_query=True),
    Endpoint("GET", IP, requests.CallerSerializer, in_query=True),
    Endpoint("GET", "namespaces/pve/ips/", requests.MACQuerySerializer, (("mac", MAC),), in_query=True),
    *(Endpoint("GET", path, PreviewSerializer, in_query=True) for path in NEXT),
    *(Endpoint("POST", path, requests.AddressRequestSerializer) for path in NEXT),
    *(Endpoint("POST", path, QuerySerializer, in_query=True) for path in NEXT),
    Endpoint("POST", "namespaces/pve/sync/", requests.SyncRequestSerializer, (("snapshot", SNAPSHOT),)),
    Endpoint("DELETE", IP, requests.ReleaseSerializer, in_query=True),
    Endpoint("DELETE", "namespaces/pve/subnets/10.0.1.0-24/", requests.SubnetRemovalSerializer, in_query=True),
    Endpoint("POST", "differences/{difference}/settle/", SettleSerializer, (("settlement", "release"),)),
]
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
WITH_BODY = [(end.method, end.path) for end in ENDPOINTS if not end.in_query] + [
    (method, f"netbox/pve/{pattern.pattern}".replace("<uuid:pk>", "{prefix}"))
    for pattern in urls.facade
    for method in pattern.callback.cls.rights
    if method in ("POST", "PATCH")
]


@pytest.fixture(scope="module")
def ids(for_module):
    """A subnet with a range and a guest's address; the IDs that URLs name."""
    namespace = Namespace.objects.create(name="pve")
    client = logged_in(get_user_model().objects.create_superuser("maker"))
    body = {**PVE, "dhcp_ranges": [{"start": "10.0.0.100", "end": "10.0.0.199"}]}
    assert client.put(f"{API}{SUBNET}", body, format="json").status_code == 201
    assert client.put(f"{API}{IP}", {"mac": MAC}, format="json").status_code == 201
    ids = {"prefix": Prefix.objects.get().pk, "range": IPAddressRange.objects.get().pk}
    seen = dict.fromkeys(("first_seen", "last_seen"), timezone.now())
    gone = {"kind": "gone", "zone": "zone9", "evidence": "PVE has no zone zone9.", "settlements": ["release"]}
    return {**ids, "difference": Difference.objects.create(namespace=namespace, **gone, **seen).pk}


@pytest.fixture
def call(api_client, ids):
    """Call an endpoint with further fields."""

    def ask(endpoint, **fields):
        path, given = f"{API}{endpoint.path.format(**ids)}", {**dict(endpoint.needs), **fields}
        if endpoint.in_query:
            return api_client.generic(endpoint.method, path, QUERY_STRING=urlencode(given))
        return getattr(api_client, endpoint.method.lower())(path, given, format="json")

    return ask


def fields_of(endpoint, *, required):
    declared = endpoint.serializer().fields
    return [name for name, field in declared.items() if field.required is required]


def empties(endpoint):
    return [""] if endpoint.in_query else [None, ""]


def written():
    """Everything that a hook could have changed."""
    addresses = IPAddress.objects.order_by("host").values_list("host", "status", "dns_name", "description")
    return list(addresses), list(Allocation.objects.values_list("mac", "vmid", "hostname")), Prefix.objects.count()


def test_no_endpoint_and_no_serializer_is_forgotten(ids):
    ours = {
        (pattern.callback.cls, method)
        for pattern in urls.urlpatterns
        if hasattr(getattr(pattern, "callback", None), "cls")
        for method in getattr(pattern.callback.cls, "rights", ())
    }
    tried = {(resolve(f"{API}{end.path.format(**ids)}").func.cls, end.method) for end in ENDPOINTS}
    assert tried == ours
    assert {end.serializer for end in ENDPOINTS} >= set(descendants(requests.RequestSerializer))


def descendants(serializer):
    """Those that no other one extends: the others are only parts. Bounds are tried as part of a body."""
    found = serializer.__subclasses__()
    leaves = [one for one in found if not one.__subclasses__() and one is not requests.BoundsSerializer]
    return leaves + [one for child in found for one in descendants(child)]


@every_endpoint
def test_an_unknown_field_is_refused_and_changes_nothing(call, endpoint):
    before = written()
    answer = call(endpoint, gatway="10.0.0.1")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["detail"] == "gatway is not a field of this request"
    assert written() == before


@pytest.mark.parametrize("field", ["ranges", "dhcp_ranges"])
def test_an_unknown_field_of_a_range_is_refused(call, field):
    (endpoint,) = [end for end in ENDPOINTS if field in end.serializer().fields and SUBNET in end.path]
    answer = call(endpoint, **{field: [{"start": "10.0.0.5", "end": "10.0.0.6", "ende": "10.0.0.7"}]})
    assert answer.status_code == 400
    assert "ende is not a field" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("endpoint", "field"),
    [
        (endpoint, field)
        for endpoint in ENDPOINTS
        for field, where in {"limit": "POST", "gateway": "PATCH", "adopt": "PATCH", "hostname": "DELETE"}.items()
        if where == endpoint.method
    ],
    ids=str,
)
def test_a_field_that_would_do_nothing_is_refused(call, endpoint, field):
    assert f"{field} is not a field" in call(endpoint, **{field: 1}).json()["detail"]


@every_endpoint
def test_nautobots_own_parameters_are_not_ours_to_refuse(api_client, ids, endpoint):
    path = f"{API}{endpoint.path.format(**ids)}?api_version=3.2&depth=0&exclude_m2m=true&format=json"
    needs = dict(endpoint.needs)
    path += "".join(f"&{name}={value}" for name, value in needs.items())
    body = None if endpoint.in_query else needs
    assert getattr(api_client, endpoint.method.lower())(path, body, format="json").status_code < 300


@every_endpoint
def test_null_and_empty_text_mean_not_set(call, endpoint):
    for field in fields_of(endpoint, required=False):
        for empty in empties(endpoint):
            answer = call(endpoint, **{field: empty})
            assert answer.status_code < 300, (field, empty, answer.json())


@every_endpoint
def test_what_is_required_may_not_be_empty(call, endpoint):
    before = written()
    for field in fields_of(endpoint, required=True):
        for empty in empties(endpoint):
            answer = call(endpoint, **{field: empty})
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
            assert field in answer.json()["detail"]
    assert written() == before


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_field_clears_what_a_subnet_may_lack_and_keeps_the_rest(api_client, ids, empty):
    full = {
        "zone_type": "vlan",
        "zone_dhcp": "dnsmasq",
        "vnet_alias": "servers",
        "vnet_tag": 100,
        "gateway": "10.0.0.1",
        "snat": True,
        "dns_zone_prefix": "adm",
        "dhcp_ranges": [{"start": "10.0.0.100", "end": "10.0.0.199"}],
    }
    optional = fields_of(ENDPOINTS[1], required=False)
    assert set(full) == set(optional) - {"cluster", "adopt"}

    def put(**fields):
        assert api_client.put(f"{API}{SUBNET}", {**PVE, **fields}, format="json").status_code == 200
        zone, vnet, subnet = SDNZone.objects.get(), SDNVNet.objects.get(), SDNSubnet.objects.get()
        return {
            "zone_type": zone.type,
            "zone_dhcp": zone.dhcp,
            "vnet_alias": vnet.alias,
            "vnet_tag": vnet.tag,
            "gateway": subnet.gateway,
            "snat": subnet.snat,
            "dns_zone_prefix": subnet.dns_zone_prefix,
            "dhcp_ranges": subnet.dhcp_ranges.count(),
        }

    for field in optional:
        before, after = put(**full), put(**{field: empty})
        assert all(before.values())
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {field} & set(requests.SubnetRequestSerializer.CLEARED_BY_NULL), field
        assert not any(after[name] for name in changed)


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_field_erases_nothing_of_a_guest(api_client, ids, empty):
    known = {"mac": MAC, "vmid": 109, "hostname": "web9"}
    assert api_client.patch(f"{API}{IP}", known, format="json").status_code == 200
    nothing = {**dict.fromkeys(known, empty), "cluster": empty, "zone": empty}
    for ask, body in ((api_client.patch, nothing), (api_client.put, {**nothing, "mac": MAC})):
        answer = ask(f"{API}{IP}", body, format="json").json()
        assert {name: answer[name] for name in known} == known


@pytest.mark.parametrize(
    "body", [{"ranges": [None]}, {"tags": [None]}, {"tags": [[]]}, {"exclude": [None]}, {"exclude": [[]]}]
)
def test_an_element_of_a_list_may_not_be_null(api_client, ids, body):
    assert api_client.post(f"{API}{NEXT[0]}", body, format="json").status_code == 400
    assert api_client.put(f"{API}{SUBNET}", {**PVE, "dhcp_ranges": [None]}, format="json").status_code == 400


@pytest.mark.parametrize("exclude", ["10.0.0.1,", ",10.0.0.1", "10.0.0.1, ,", ["10.0.0.1", ""], ["10.0.0.1,", ","]])
def test_a_comma_too_many_excludes_nothing_more(api_client, ids, exclude):
    assert api_client.post(f"{API}{NEXT[0]}", {"exclude": exclude}, format="json").json()["address"] == "10.0.0.2/24"
    query = {"exclude": exclude}
    assert api_client.get(f"{API}{NEXT[0]}", query).json()[0]["address"] == "10.0.0.3/24"


@pytest.mark.parametrize("exclude", ["10.0.0.1-50", "10.0.0.1-.50", "10.0.0.1-", "-10.0.0.50", "10.0.0.1-10.0.0.50-"])
def test_a_range_in_a_short_form_is_refused_with_the_long_one(api_client, ids, exclude):
    answer = api_client.post(f"{API}{NEXT[0]}", {"exclude": exclude}, format="json")
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        f"exclude {exclude} is not an address, a CIDR or a range of rising addresses such as 10.0.0.1-10.0.0.50"
    )


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_csv_body_is_an_unsupported_media_type(api_client, ids, method, path):
    url = f"{API}{path.format(**ids)}"
    answer = api_client.generic(method, url, "hostname\nweb1\n", content_type="text/csv")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "text/csv" in answer.json()["detail"]


def test_what_may_not_be_seen_is_named_so(ids, django_user_model):
    """As is what does not exist: the answers are the same."""
    user = django_user_model.objects.create_user("pve")
    permit(user, Prefix, "view")
    permit(user, IPAddress, "add")
    client = logged_in(user)
    address = ContentType.objects.get_for_model(IPAddress)
    tag = Tag.objects.create(name="hidden")
    tag.content_types.add(address)
    tenant = Tenant.objects.create(name="Hidden")
    role, status = (model.objects.filter(content_types=address).first() for model in (Role, Status))
    other = IPAddress.objects.get()
    nobody = "00000000-0000-0000-0000-000000000000"
    before = written()
    for field, value, named in (
        ("status", status.name, status.name),
        ("status", "Nonsense", "Nonsense"),
        ("status", {"name": status.name}, status.name),
        ("role", role.name, role.name),
        ("tenant", "Hidden", "Hidden"),
        ("tenant", str(tenant.pk), str(tenant.pk)),
        ("tenant", nobody, nobody),
        ("tags", [{"name": "hidden"}], "hidden"),
        ("tags", [str(tag.pk)], str(tag.pk)),
        ("nat_inside", str(other.pk), str(other.pk)),
    ):
        answer = client.post(f"{API}prefixes/{ids['prefix']}/next-free-ip/", {field: value}, format="json")
        said = f"{field} {named} does not exist, or may not be seen"
        assert (answer.status_code, answer.json()["detail"]) == (400, said)
    assert written() == before


@pytest.mark.parametrize("hostname", ["web\n1", "web1\n", "\tweb1", "we\x07b", "web\x7f", "web\x85"], ids=ascii)
def test_a_control_character_in_a_hostname_is_refused_by_every_endpoint(api_client, ids, hostname):
    held, free = Allocation.objects.get(), data.prefix(1) and data.address(1, 9)
    facade = "netbox/pve/ipam/"
    before = written()
    for method, path, body in (
        *(("post", path.format(**ids), {"hostname": hostname}) for path in NEXT),
        ("post", NEXT[0], [{}, {"hostname": hostname}]),
        ("put", IP, {"hostname": hostname}),
        ("patch", IP, {"hostname": hostname}),
        ("patch", f"allocations/{held.pk}/", {"hostname": hostname}),
        ("post", "allocations/", {"ip_address": str(free.pk), "hostname": hostname}),
        ("post", f"{facade}prefixes/{held.subnet_id}/available-ips/", {"dns_name": hostname}),
        ("post", f"{facade}ip-ranges/10.0.0.100-10.0.0.199/available-ips/", {"dns_name": hostname}),
        ("post", f"{facade}ip-addresses/", {"address": "10.0.0.77/24", "dns_name": hostname}),
        ("patch", f"{facade}ip-addresses/{held.pk}/", {"dns_name": hostname}),
    ):
        answer = getattr(api_client, method)(f"{API}{path}", body, format="json")
        assert answer.status_code == 400, (method, path, answer.json())
        assert "contains the character U+00" in str(answer.json())
    assert written() == before


@pytest.mark.parametrize(
    ("path", "field"),
    [("subnets/10.0.1.0-24/", "cluster"), ("subnets/10.0.1.0-24/", "dns_zone_prefix"), ("ips/10.0.0.9/", "cluster")],
)
def test_other_names_are_one_line_too(api_client, ids, path, field):
    body = {**(PVE if "subnets" in path else {}), field: "a\nb"}
    answer = api_client.put(f"{API}namespaces/pve/{path}", body, format="json")
    assert (answer.status_code, answer.json()["detail"]) == (400, f"{field} 'a\\nb' contains the character U+000A")


# Models

MODELS = {prefix: viewset for prefix, viewset, _ in urls.router.registry}


@pytest.mark.parametrize("prefix", MODELS)
def test_null_and_empty_text_mean_not_set_for_models_too(api_client, prefix):
    """For each field that need not be given, whichever of the two the model stores."""
    data.difference(1)
    instance = MODELS[prefix].queryset.model.objects.first()
    url = f"{API}{prefix}/{instance.pk}/"
    serializer = MODELS[prefix].serializer_class(context={"request": None, "depth": 0})
    optional = [name for name, field in serializer.fields.items() if not (field.read_only or field.required)]
    assert optional
    for field in optional:
        cleared = [api_client.patch(url, {field: empty}, format="json") for empty in (None, "")]
        assert [answer.status_code for answer in cleared] == [200, 200], (field, [answer.json() for answer in cleared])
        first, second = (answer.json()[field] for answer in cleared)
        assert first == second, field
    for field, declared in serializer.fields.items():
        if declared.required and not declared.read_only:
            assert api_client.patch(url, {field: None}, format="json").status_code == 400
