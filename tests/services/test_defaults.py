"""The defaults for what PVE makes: settings, found when used, and what keeps PVE from making anything."""

import pytest
from constance import config
from constance.models import Constance
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from nautobot.extras.models import CustomField, Role, Status, Tag
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix
from nautobot.tenancy.models import Tenant

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.defaults import SETTINGS
from tests.models import data

pytestmark = pytest.mark.django_db

P = "/api/plugins/pve-ipam"
NS = f"{P}/namespaces/models"
SUBNET = {
    "zone": "zone",
    "vnet": "vnet",
    "cluster": "pve",
    "dhcp_ranges": [{"start": "10.1.0.100", "end": "10.1.0.199"}],
}


@pytest.fixture(autouse=True)
def _forgotten(db):
    """What Nautobot caches of custom fields, rules and settings is not rolled back with them."""
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def space():
    return data.namespace()


@pytest.fixture
def setting(monkeypatch):
    """A function that sets one of the settings, as in nautobot_config.py."""
    return lambda name, value: monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], name, value)


@pytest.fixture
def call(api_client):
    """Call a hook and check the status of its answer."""

    def call(method, where, body=None, status=None):
        answer = getattr(api_client, method)(where if where.startswith("/") else f"{NS}/{where}", body, format="json")
        assert status is None or answer.status_code == status, answer.data
        return answer

    return call


def applicable(thing, *of):
    thing.content_types.add(*(ContentType.objects.get_for_model(model) for model in of))
    return thing


def required_field(*of):
    return applicable(CustomField.objects.create(label="Owner", key="owner", type="text", required=True), *of)


def test_shipped(call):
    call("put", "subnets/10.1.0.0-24/", SUBNET, 201)
    call("post", "subnets/10.1.0.0-24/next-free-ip/", {"mac": "BC:24:11:00:00:01"}, 201)
    made = [model.objects.get() for model in (PVECluster, Prefix, IPAddressRange, IPAddress)]
    assert [thing.status.name for thing in made] == ["Active"] * 4
    _, prefix, found, address = made
    assert (prefix.type, found.role.name, address.type, address.role) == ("network", "DHCP", "host", None)


def test_no_request_has_to_write_a_setting():
    keys = Constance.objects.filter(key__contains="nautobot_pve_ipam__").values_list("key", flat=True)
    assert {key.rpartition("__")[2] for key in keys} == set(apps.get_app_config("nautobot_pve_ipam").constance_config)


def test_a_renamed_status_is_named_until_the_setting_follows(call):
    Status.objects.filter(name="Active").update(name="In Use")
    data.saved(Prefix(prefix="10.2.0.0/24", namespace=data.namespace(), status=Status.objects.get(name="In Use")))
    unknown = "setting {}: status Active does not exist, or does not apply to {}"
    for where, setting, plural in (
        ("subnets/10.1.0.0-24/", "cluster_defaults", "PVE clusters"),
        ("ips/10.2.0.9/", "address_defaults", "IP addresses"),
    ):
        answer = call("put", where, SUBNET if "subnets" in where else {}, 409)
        assert answer.data == {"detail": unknown.format(setting, plural), "code": "misconfigured"}
        assert answer.reason_phrase == answer.data["detail"]
    call("post", "subnets/10.2.0.0-24/next-free-ip/", {}, 409)
    assert not any(model.objects.exists() for model in (PVECluster, SDNZone, IPAddress))
    verified = call("get", "", status=200).data
    assert verified["ready"] is False
    assert verified["problems"][0] == unknown.format("cluster_defaults", "PVE clusters")
    assert len(verified["problems"]) == len(SETTINGS)
    assert all(sentence in verified["detail"] for sentence in verified["problems"])
    answer = call("get", f"{P}/netbox/models/ipam/aggregates/", status=409)
    assert answer.data["code"] == "misconfigured"

    for name in SETTINGS.values():
        setattr(config, f"nautobot_pve_ipam__{name}", {"status": "In Use"})
    assert call("get", "", status=200).data["ready"] is True
    call("get", f"{P}/netbox/models/ipam/aggregates/", status=200)
    call("put", "subnets/10.1.0.0-24/", SUBNET, 201)
    call("put", "ips/10.2.0.9/", {}, 201)
    assert IPAddressRange.objects.get().role.name == "DHCP"  # what a setting leaves out is as shipped


def test_admins_find_the_settings_on_the_configuration_page(admin_client):
    page = admin_client.get(reverse("admin:constance_config_changelist")).content.decode()
    assert "Proxmox VE IPAM" in page
    assert all(f'name="nautobot_pve_ipam__{name}"' in page for name in SETTINGS.values())


def test_every_default_is_used(call, setting):
    tenant = Tenant.objects.create(name="Hosting")
    role = applicable(Role.objects.create(name="Guest"), Prefix, IPAddressRange, IPAddress)
    tag = applicable(Tag.objects.create(name="from PVE"), PVECluster, Prefix, IPAddressRange, IPAddress)
    required_field(PVECluster, Prefix, IPAddressRange, IPAddress)
    status = applicable(Status.objects.get(name="Reserved"), PVECluster, Prefix, IPAddressRange, IPAddress)
    common = {"status": "Reserved", "tags": ["from PVE"], "custom_fields": {"owner": "PVE"}}
    setting("cluster_defaults", common)
    setting("prefix_defaults", {**common, "role": "Guest", "tenant": "Hosting", "type": "pool"})
    setting("range_defaults", {**common, "role": "Guest", "tenant": "Hosting"})
    setting("address_defaults", {**common, "role": "Guest", "tenant": "Hosting", "type": "slaac"})
    call("put", "subnets/2001:db8::-64/", {"zone": "zone", "vnet": "vnet"}, 201)
    call("post", "subnets/2001:db8::-64/next-free-ip/", {"mac": "BC:24:11:00:00:01"}, 201)
    call("put", "subnets/10.1.0.0-24/", SUBNET, 201)
    address, found = IPAddress.objects.get(), IPAddressRange.objects.get()
    for thing in (*Prefix.objects.all(), found, address, PVECluster.objects.get()):
        assert (thing.status, thing.cf["owner"], list(thing.tags.all())) == (status, "PVE", [tag])
        if not isinstance(thing, PVECluster):
            assert (thing.role, thing.tenant) == (role, tenant)
    assert (address.parent.type, address.type) == ("pool", "slaac")
    assert call("get", "", status=200).data["ready"] is True


def test_what_the_request_names_wins(call, setting):
    data.prefix(1)
    tags = [applicable(Tag.objects.create(name=name), IPAddress) for name in ("default", "asked")]
    for key in ("owner", "floor"):
        applicable(CustomField.objects.create(label=key, key=key, type="text"), IPAddress)
    setting("address_defaults", {"tags": ["default"], "type": "dhcp", "custom_fields": {"owner": "PVE", "floor": "2"}})
    asked = {"status": "Reserved", "tags": ["asked"], "type": "host", "custom_fields": {"floor": "3"}}
    call("post", "subnets/10.1.0.0-24/next-free-ip/", asked, 201)
    address = IPAddress.objects.get()
    assert (address.status.name, address.type, list(address.tags.all())) == ("Reserved", "host", tags[1:])
    assert (address.cf["owner"], address.cf["floor"]) == ("PVE", "3")


@pytest.mark.parametrize(
    ("role", "types"), [("Lease", ["host", "dhcp"]), ("DHCP", ["dhcp", "host"]), (None, ["host", "host"])]
)
def test_addresses_of_dhcp_ranges_follow_the_role(role, types, call, setting):
    data.prefix(1)
    lease = applicable(Role.objects.create(name="Lease"), IPAddressRange)
    data.dhcp_range(1, 10, 19)
    other = data.dhcp_range(1, 30, 39)
    other.role = lease
    other.validated_save()
    setting("range_defaults", {"role": role})
    made = [
        call("post", "subnets/10.1.0.0-24/next-free-ip/", {"range_start": f"10.1.0.{start}"}, 201).data["type"]
        for start in (10, 30)
    ]
    assert made == types


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "[] is not a JSON object"),
        ({"colour": "red"}, "colour is not one of status, role, type, tenant, tags, custom_fields"),
        ({"status": None}, "status None does not exist, or does not apply to IP addresses"),
        ({"status": 7}, "status 7 is not a name"),
        ({"status": "Retired"}, "status Retired does not exist, or does not apply to IP addresses"),
        ({"role": "DHCP"}, "role DHCP does not exist, or does not apply to IP addresses"),
        ({"type": "network"}, "type network is not a type of IP addresses"),
        ({"tenant": "nobody"}, "tenant nobody does not exist, or does not apply to IP addresses"),
        ({"tags": "one"}, "tags one is not a list of names"),
        ({"tags": ["one"]}, "tag one does not exist, or does not apply to IP addresses"),
        ({"custom_fields": ["owner"]}, "custom_fields ['owner'] is not a JSON object"),
        ({"custom_fields": {"floor": 1}}, "custom field floor does not exist, or does not apply to IP addresses"),
        ({"custom_fields": {"owner": 7}}, "custom field owner: Value must be a string"),
    ],
)
def test_an_unusable_setting_is_named(value, why, call, setting):
    data.prefix(1)
    required_field(IPAddress)
    setting("address_defaults", {"custom_fields": {"owner": "PVE"}, **value} if isinstance(value, dict) else value)
    answer = call("post", "subnets/10.1.0.0-24/next-free-ip/", {}, 409)
    assert answer.data == {"detail": f"setting address_defaults: {why}", "code": "misconfigured"}
    assert not IPAddress.objects.exists()
    assert answer.data["detail"] in call("get", "", status=200).data["problems"]


def test_an_unusable_setting_does_not_break_pages(admin_client, setting):
    data.allocation(1)
    setting("range_defaults", "DHCP")
    for page in ("/", Prefix.objects.get().get_absolute_url(), SDNSubnet.objects.get().get_absolute_url()):
        assert admin_client.get(page).status_code == 200


@pytest.mark.parametrize("model", [*SETTINGS, SDNZone, SDNVNet, SDNSubnet, Allocation])
def test_a_required_custom_field_is_a_problem_and_a_default_solves_it(model, call):
    field = required_field(model)
    (problem,) = call("get", "", status=200).data["problems"]
    plural = model._meta.verbose_name_plural
    assert problem.startswith(f"custom field owner is required for {plural} but has no default")
    assert ("nor in the setting" in problem) == (model in SETTINGS)
    field.default = "PVE"
    field.validated_save()
    assert call("get", "", status=200).data["ready"] is True


def test_the_defaults_cost_a_guest_one_query(call):
    data.subnet(1)

    def queries(**body):
        with CaptureQueriesContext(connection) as captured:
            call("post", "subnets/10.1.0.0-24/next-free-ip/", {"hostname": "web", **body}, 201)
        return [query["sql"] for query in captured if "extras_status" in query["sql"]]

    queries()  # fill caches
    named = queries(status=str(Status.objects.get(name="Active").pk), mac="BC:24:11:00:00:02")
    found = queries(mac="BC:24:11:00:00:03")
    assert len(found) == 1 < len(named)
