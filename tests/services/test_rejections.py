"""What Nautobot's admins forbid: custom fields, data validation rules, references. The status says what it is."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db.models.signals import pre_delete
from django.urls import reverse
from nautobot.data_validation.models import RegularExpressionValidationRule, RequiredValidationRule
from nautobot.extras.models import CustomField
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix
from nautobot.load_balancers.models import VirtualServer

from nautobot_pve_ipam.api.answers import as_error
from nautobot_pve_ipam.models import Allocation, SDNSubnet
from tests.models import data

pytestmark = pytest.mark.django_db

P = "/api/plugins/pve-ipam"
NS = f"{P}/namespaces/models"
FACADE = f"{P}/netbox/models/cluster1/ipam"
OWN = {"cluster": "cluster1", "zone": "zone1"}
GUEST = {**OWN, "mac": "BC:24:11:00:00:01", "hostname": "web1"}


@pytest.fixture(autouse=True)
def _forgotten(db):
    """What Nautobot caches of custom fields, rules and settings is not rolled back with them."""
    yield
    cache.clear()


@pytest.fixture
def refusal(api_client):
    """A function that calls a hook and returns status, code and sentence of its refusal."""

    def refusal(method, url, body=None):
        answer = getattr(api_client, method)(url, body, format="json")
        assert answer.reason_phrase == answer.data["detail"]
        return answer.status_code, answer.data["code"], answer.data["detail"]

    return refusal


def content_type(model):
    return ContentType.objects.get_for_model(model)


WRITES = [
    ("post", f"{NS}/subnets/10.1.0.0-24/next-free-ip/", GUEST),
    ("put", f"{NS}/ips/10.1.0.9/", GUEST),
    (
        "post",
        f"{FACADE}/ip-addresses/",
        {"address": "10.1.0.9/24", "dns_name": "web1", "description": "mac:BC:24:11:00:00:01"},
    ),
]


@pytest.mark.parametrize("write", WRITES, ids=("next free", "address", "facade"))
@pytest.mark.parametrize("model", [IPAddress, Allocation])
def test_a_required_custom_field(model, write, refusal):
    data.subnet(1)
    field = CustomField.objects.create(label="Owner", key="owner", type="text", required=True)
    field.content_types.add(content_type(model))
    assert refusal(*write) == (400, "invalid", "Missing required custom field 'owner'.")
    assert not IPAddress.objects.exists()


@pytest.mark.parametrize("write", WRITES, ids=("next free", "address", "facade"))
@pytest.mark.parametrize(("model", "field"), [(IPAddress, "dns_name"), (Allocation, "hostname")])
def test_a_data_validation_rule(model, field, write, refusal):
    data.subnet(1)
    RegularExpressionValidationRule.objects.create(
        name="names", content_type=content_type(model), field=field, regular_expression="^db", error_message="Not a db."
    )
    assert refusal(*write) == (400, "invalid", f"{field}: Not a db.")
    assert not IPAddress.objects.exists()


def test_the_page_says_it_too(admin_client):
    subnet = data.subnet(1)
    RequiredValidationRule.objects.create(name="all", content_type=content_type(IPAddress), field="description")
    url = reverse("plugins:nautobot_pve_ipam:sdnsubnet_allocate", args=[subnet.pk])
    assert "description: This field cannot be blank." in admin_client.post(url, {"offset": "0"}).content.decode()


@pytest.mark.parametrize(
    ("model", "field", "sentence"),
    [
        (Prefix, "description", "description: This field cannot be blank."),
        (
            IPAddressRange,
            "name",
            "dhcp_ranges 10.1.0.10-10.1.0.19 of 10.1.0.0/24: name: This field cannot be blank.",
        ),
        (SDNSubnet, "dns_zone_prefix", "dns_zone_prefix: This field cannot be blank."),
    ],
)
def test_a_subnet(model, field, sentence, refusal):
    data.namespace()
    RequiredValidationRule.objects.create(name="all", content_type=content_type(model), field=field)
    body = {"zone": "zone", "vnet": "vnet", "dhcp_ranges": [{"start": "10.1.0.10", "end": "10.1.0.19"}]}
    assert refusal("put", f"{NS}/subnets/10.1.0.0-24/", body) == (400, "invalid", sentence)
    assert not Prefix.objects.exists()


def test_an_occupied_range_is_a_conflict(refusal):
    data.subnet(1)
    body = {"zone": "zone1", "vnet": "vnet1", "cluster": "cluster1"}
    data.dhcp_range(1, 50, 59)
    ranges = {"dhcp_ranges": [{"start": "10.1.0.55", "end": "10.1.0.65"}]}
    status, code, sentence = refusal("put", f"{NS}/subnets/10.1.0.0-24/", {**body, **ranges})
    assert (status, code) == (409, "conflict")
    assert "intersects with existing range" in sentence


def test_an_exclusive_range_is_a_conflict(refusal):
    data.subnet(1)
    exclusive = data.dhcp_range(1, 5, 20)
    exclusive.is_exclusive = True
    exclusive.validated_save()
    status, _code, sentence = refusal("put", f"{NS}/ips/10.1.0.9/", GUEST)
    assert status == 409
    assert "exclusive" in sentence


def test_a_protected_reference(refusal, admin_client):
    held = data.allocation(1, 9)
    for number in range(5):
        VirtualServer.objects.create(name=f"shop{number}", vip=held.ip_address)
    servers = ", ".join(f"Virtual Server shop{number}" for number in range(3))
    sentence = f"address 10.1.0.9/24 is still in use by {servers} and others"
    assert refusal("delete", f"{NS}/ips/10.1.0.9/?cluster=cluster1") == (409, "conflict", sentence)
    url = reverse("plugins:nautobot_pve_ipam:allocation_release", args=[held.pk])
    assert sentence in admin_client.post(url, follow=True).content.decode()
    assert Allocation.objects.exists()


def test_a_protected_prefix(refusal):
    subnet = data.subnet(1)
    VirtualServer.objects.create(name="shop", vip=data.address(2, 9, _with_prefix(2)), source_nat_pool=subnet.prefix)
    sentence = "prefix 10.1.0.0/24 is still in use by Virtual Server shop"
    assert refusal("delete", f"{NS}/subnets/10.1.0.0-24/?cluster=cluster1&zone=zone1") == (409, "conflict", sentence)
    assert SDNSubnet.objects.exists()


def test_somebody_else_has_a_say_in_deletions(refusal):
    data.allocation(1, 9)

    def keep(sender, **kwargs):
        raise ValidationError("Kept for the auditors.")

    pre_delete.connect(keep, sender=IPAddress)
    try:
        sentence = "address 10.1.0.9/24 cannot be deleted: Kept for the auditors."
        assert refusal("delete", f"{NS}/ips/10.1.0.9/?cluster=cluster1") == (409, "conflict", sentence)
    finally:
        pre_delete.disconnect(keep, sender=IPAddress)


@pytest.mark.parametrize("code", ["unique", "unique_together"])
def test_a_value_that_somebody_else_has_is_a_conflict(code):
    error, _fields = as_error(ValidationError({"name": ValidationError("Taken.", code=code)}))
    assert (error.status, error.code, error.sentence) == (409, "conflict", "name: Taken.")


def _with_prefix(number):
    data.prefix(number)
    return data.namespace()
