"""The change log of allocations, written by cached serializers, is identical to what core would write."""

import json

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.json import DjangoJSONEncoder
from nautobot.apps.api import get_serializer_for_model
from nautobot.extras.models import CustomField, ObjectChange, Tag
from nautobot.ipam.models import VRF, IPAddress, Prefix
from rest_framework.serializers import BaseSerializer

from nautobot_pve_ipam import core_internals
from nautobot_pve_ipam.models import Allocation
from tests.search.fill import Ground

pytestmark = pytest.mark.django_db

COUNTS = [1, 2, 40]


@pytest.fixture
def ground():
    return Ground("logged")


@pytest.fixture
def prefix(ground):
    return ground.prefix("10.0.0.0/24")


def post(client, prefix, count, **fields):
    """Allocate for `count` guests: one as an object, several as a list. Returns the IDs of their addresses."""
    bodies = [
        {"vmid": 100 + number, "hostname": f"guest{number}", "mac": f"BC:24:11:00:00:{number:02X}", **fields}
        for number in range(count)
    ]
    url = f"/api/plugins/pve-ipam/prefixes/{prefix.pk}/next-free-ip/"
    answer = client.post(url, bodies if count > 1 else bodies[0], format="json")
    assert answer.status_code == 201, answer.json()
    return [item["id"] for item in (answer.json() if count > 1 else [answer.json()])]


def check(ids, user):
    """Each address and each allocation has one entry, as core would create it from the current database."""
    addresses = list(IPAddress.objects.filter(pk__in=ids))
    allocations = list(Allocation.objects.filter(ip_address__in=ids))
    assert len(addresses) == len(allocations) == len(ids)
    requests = set()
    for thing in (*addresses, *allocations):
        (entry,) = ObjectChange.objects.filter(changed_object_id=thing.pk)
        expected = type(thing).objects.get(pk=thing.pk).to_objectchange("create")
        assert (entry.action, entry.object_repr) == (expected.action, expected.object_repr)
        assert entry.changed_object_type_id == expected.changed_object_type_id
        for field in ("object_data", "object_data_v2"):
            as_stored = json.loads(json.dumps(getattr(expected, field), cls=DjangoJSONEncoder))
            assert getattr(entry, field) == as_stored, field
        assert (entry.user, entry.user_name) == (user, user.username)
        requests.add(entry.request_id)
    assert len(requests) == 1
    assert None not in requests


@pytest.mark.parametrize("count", COUNTS)
def test_an_entry_is_what_core_writes(count, api_client, admin, prefix):
    check(post(api_client, prefix, count), admin)


@pytest.mark.parametrize("count", COUNTS)
def test_it_contains_the_vrfs_of_the_prefix(count, api_client, admin, ground, prefix):
    vrf = VRF.objects.create(name="red", namespace=ground.namespace, status=ground.active)
    vrf.prefixes.add(prefix)
    ids = post(api_client, prefix, count)
    check(ids, admin)
    entry = ObjectChange.objects.get(changed_object_id=ids[0])
    assert [shown["id"] for shown in entry.object_data_v2["parent"]["vrfs"]] == [str(vrf.pk)]


def test_it_contains_the_pool_that_is_the_parent_of_an_address(api_client, admin, ground, prefix):
    pool = Prefix(prefix="10.0.0.0/28", type="pool", namespace=ground.namespace, status=ground.active)
    pool.validated_save()
    ids = post(api_client, prefix, 1)
    check(ids, admin)
    assert ObjectChange.objects.get(changed_object_id=ids[0]).object_data_v2["parent"]["id"] == str(pool.pk)


@pytest.mark.parametrize("count", COUNTS)
def test_it_contains_tags(count, api_client, admin, prefix):
    tag = Tag.objects.create(name="red")
    tag.content_types.add(ContentType.objects.get_for_model(IPAddress))
    ids = post(api_client, prefix, count, tags=[str(tag.pk)])
    entry = ObjectChange.objects.filter(changed_object_id=ids[-1]).first()
    assert entry.object_data["tags"] == ["red"]
    assert [shown["id"] for shown in entry.object_data_v2["tags"]] == [str(tag.pk)]


@pytest.mark.parametrize("model", [IPAddress, Allocation, Prefix])
def test_it_contains_custom_fields_created_after_the_serializer(model, api_client, admin, prefix):
    post(api_client, prefix, 1)
    field = CustomField.objects.create(key="rack", label="Rack", type="text", default="R1")
    field.content_types.set([ContentType.objects.get_for_model(model)])
    (id_,) = post(api_client, prefix, 1, mac="BC:24:11:00:01:00")
    check([id_], admin)
    changed = Allocation.objects.get(ip_address=id_).pk if model is Allocation else id_
    data = ObjectChange.objects.get(changed_object_id=changed).object_data_v2
    shown = data["parent"] if model is Prefix else data
    assert shown["custom_fields"].keys() == {"rack"}


def test_its_depth_is_independent_of_serializers_created_in_between():
    kept = core_internals._Serializers().of(IPAddress)
    get_serializer_for_model(IPAddress)(context={"request": None, "depth": 0})
    assert isinstance(kept.fields["parent"], BaseSerializer)
