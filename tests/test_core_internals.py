"""Privates of Nautobot, Django and DRF: using them never changes a result, and each of them may be missing."""

import copy
import json
import re
from collections import UserDict
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from unittest.mock import Mock, PropertyMock, patch

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from nautobot.apps.api import get_serializer_for_model
from nautobot.apps.change_logging import web_request_context
from nautobot.core import events
from nautobot.core.utils import cache as core_cache
from nautobot.extras import context_managers
from nautobot.extras.models import CustomField, Job, JobHook, JobQueue, ObjectChange, Tag, Webhook
from nautobot.ipam.models import VRF, IPAddress, Prefix
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer, Serializer

from nautobot_pve_ipam import core_internals
from nautobot_pve_ipam.api.requests import AddressRequestSerializer
from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.permissions import require
from nautobot_pve_ipam.search import tables
from tests.api.available_ips.serving import serving
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


@pytest.fixture(autouse=True)
def each_failure_is_logged():
    core_internals._warn_once.cache_clear()


@pytest.mark.parametrize("count", COUNTS)
def test_an_entry_is_what_core_writes(count, api_client, admin, prefix, caplog):
    check(post(api_client, prefix, count), admin)
    assert [record for record in caplog.records if record.name == core_internals.__name__] == []


@pytest.mark.parametrize("count", COUNTS)
def test_one_query_asks_what_an_entry_need_not_look_up(count, api_client, prefix):
    with CaptureQueriesContext(connection) as queries:
        post(api_client, prefix, count)
    statements = [query["sql"].replace("`", '"') for query in queries]
    assert len([sql for sql in statements if sql.startswith("SELECT DISTINCT 0, ")]) == 1
    assert len([sql for sql in statements if sql.startswith('INSERT INTO "extras_objectchange"')]) == 1
    for table in ("dcim_interface", "virtualization_vminterface", "ipam_vrf", "extras_tag"):
        assert [sql for sql in statements if f'FROM "{table}"' in sql] == []


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


@contextmanager
def receiving(function):
    """A third party's receiver of saved IP addresses."""

    def receiver(sender, instance, created, **kwargs):
        if created:
            function(instance)

    post_save.connect(receiver, sender=IPAddress, weak=False)
    try:
        yield
    finally:
        post_save.disconnect(receiver, sender=IPAddress)


@pytest.mark.parametrize("count", COUNTS)
def test_receivers_of_third_parties_see_what_others_attached(count, api_client, admin, ground, prefix):
    tag = Tag.objects.create(name="seen")
    tag.content_types.add(ContentType.objects.get_for_model(IPAddress))
    vrf = VRF.objects.create(name="red", namespace=ground.namespace, status=ground.active)
    seen = []

    def attach(address):
        address.tags.add(tag)
        vrf.prefixes.add(address.parent)

    def look(address):
        seen.append(([tag.name for tag in address.tags.all()], [vrf.name for vrf in address.parent.vrfs.all()]))

    with receiving(attach), receiving(look):
        ids = post(api_client, prefix, count)
    assert seen == [(["seen"], ["red"])] * count
    for id_ in ids:
        entry = ObjectChange.objects.get(changed_object_id=id_)
        assert [tag["name"] for tag in entry.object_data_v2["tags"]] == ["seen"]


@pytest.mark.parametrize("count", COUNTS)
def test_an_address_that_somebody_else_was_faster_to_take_gets_no_entry(count, api_client, admin, prefix):
    lost = []

    def collide(address):
        if not lost:
            lost.append(address.pk)
            raise IntegrityError

    with receiving(collide), patch.object(tables, "closed", lambda prefix, hosts: set(hosts)):
        check(post(api_client, prefix, count), admin)
    assert not ObjectChange.objects.filter(changed_object_id__in=lost).exists()


@pytest.mark.parametrize("error", [ValueError, None])
def test_after_a_rollback_a_later_change_gets_its_entry(error, admin, prefix):
    id_ = prefix.pk
    with web_request_context(admin):
        with suppress(ValueError), core_internals.atomic():
            prefix.description = "undone"
            prefix.validated_save()
            if error:
                raise error
            transaction.set_rollback(True)
        prefix.delete()
    assert [entry.action for entry in ObjectChange.objects.filter(changed_object_id=id_)] == ["delete"]


@pytest.mark.parametrize("count", COUNTS)
def test_nothing_is_left_on_an_object(count, api_client, prefix):
    kept = []
    with receiving(kept.append):
        post(api_client, prefix, count)
    assert len(kept) == count
    for address in kept:
        assert not {"_prefetched_objects_cache", "to_objectchange"} & set(vars(address))
        assert "_prefetched_objects_cache" not in vars(address.parent)


@contextmanager
def announced():
    """A list of what Nautobot looks for a listener for, after a response."""
    found = []
    look = context_managers.enqueue_webhooks

    def note(entry, **more):
        found.append(entry)
        return look(entry, **more)

    with patch.object(context_managers, "enqueue_webhooks", note):
        yield found


def listen_by(kind, model):
    """A webhook or job hook for new objects of this model."""
    if kind is Webhook:
        hook = Webhook(name="hook", type_create=True, payload_url="https://hook.example.com/", http_method="POST")
    else:
        queue, _ = JobQueue.objects.get_or_create(name="default", defaults={"queue_type": "celery"})
        names = {"name": "hook", "module_name": "hook", "job_class_name": "Hook", "grouping": "hooks"}
        hook = JobHook(name="hook", job=Job.objects.create(**names, default_job_queue=queue), type_create=True)
    hook.save()
    hook.content_types.add(ContentType.objects.get_for_model(model))


@pytest.mark.parametrize("count", COUNTS)
def test_nothing_is_announced_if_nobody_listens(count, api_client, admin, prefix):
    listen_by(Webhook, Prefix)
    with announced() as entries, CaptureQueriesContext(connection) as queries:
        ids = post(api_client, prefix, count)
    assert entries == []
    reads = [query["sql"] for query in queries if re.search(r"FROM .?extras_objectchange\b", query["sql"])]
    assert len(reads) == 2
    check(ids, admin)


def test_nothing_is_announced_for_cores_own_url_either(api_client, prefix):
    with serving(), announced() as entries:
        answer = api_client.post(f"/api/ipam/prefixes/{prefix.pk}/available-ips/", {"status": "Active"}, format="json")
    assert (answer.status_code, entries) == (201, [])


@pytest.mark.parametrize("kind", [Webhook, JobHook])
@pytest.mark.parametrize("model", [IPAddress, Allocation])
def test_all_is_announced_if_anybody_listens_to_any_of_it(model, kind, api_client, prefix):
    listen_by(kind, model)
    with announced() as entries:
        post(api_client, prefix, 3)
    assert len(entries) == 6


def test_all_is_announced_if_there_is_an_event_broker(api_client, prefix):
    broker = Mock(include_topics=["*"], exclude_topics=[])
    with patch.object(events, "_EVENT_BROKERS", [broker]):
        post(api_client, prefix, 1)
    assert sorted(call.kwargs["topic"] for call in broker.publish.call_args_list) == [
        "nautobot.create.ipam.ipaddress",
        "nautobot.create.nautobot_pve_ipam.allocation",
    ]


def test_without_a_change_log_nothing_is_set_on_an_object(prefix):
    address = IPAddress(address="10.0.0.9/24", namespace=prefix.namespace)
    core_internals.log_cheaply(address)
    assert "to_objectchange" not in vars(address)


def test_an_entry_with_more_than_the_usual_is_cores(admin, ground, prefix):
    address = IPAddress(address="10.0.0.9/24", namespace=prefix.namespace, status=ground.active)
    address.validated_save()
    with web_request_context(admin):
        core_internals.log_cheaply(address)
        entry = address.to_objectchange("update", related_object=prefix)
    assert (entry.changed_object, entry.related_object) == (address, prefix)
    assert "to_objectchange" not in vars(address)


def without(*path):
    """`_attribute` finds nothing there."""
    found = core_internals._attribute
    return patch.object(core_internals, "_attribute", lambda *names: None if names == path else found(*names))


@contextmanager
def without_declared_fields():
    """DRF keeps the declared fields elsewhere."""
    kept = AddressRequestSerializer._declared_fields
    with (
        patch.object(AddressRequestSerializer, "_declared_fields", None),
        patch.object(Serializer, "get_fields", lambda self: copy.deepcopy(kept)),
    ):
        yield


def test_what_nautobot_looks_up_is_fetched_at_once(api_client, prefix):
    post(api_client, prefix, 1)
    with patch.object(core_cache, "cache", Mock(wraps=core_cache.cache)) as redis:
        post(api_client, prefix, 1, mac="BC:24:11:00:01:00")
    assert redis.get.call_args_list == []


REMOVED = {
    "cache for one request": lambda: without("nautobot.core.utils.cache", "get_request_cache"),
    "change context": lambda: without("nautobot.extras.signals", "change_context_state"),
    "deferred change log": lambda: patch.object(core_internals, "_DEFERRAL", ("elsewhere",)),
    "core's entry": lambda: without("nautobot.extras.models", "ChangeLoggedModel", "to_objectchange"),
    "event brokers": lambda: without("nautobot.core.events", "_EVENT_BROKERS"),
    "length of a representation": lambda: without("nautobot.extras.constants", "CHANGELOG_MAX_OBJECT_REPR"),
    "kept serializers": lambda: patch.object(core_internals._Serializers, "of", side_effect=TypeError),
    "cache of prefetched objects": lambda: patch.object(core_internals, "_set_prefetched", side_effect=TypeError),
    "result of a queryset": lambda: patch.object(core_internals, "_nothing", side_effect=AttributeError),
    "relations": lambda: patch.object(core_internals, "_used_sql", side_effect=AttributeError),
    "closest-parent cache": lambda: patch.object(
        IPAddress, "_closest_parent_cache", PropertyMock(side_effect=lambda *value: UserDict()), create=True
    ),
    "conditions of a query": lambda: patch("nautobot_pve_ipam.permissions.is_unrestricted", return_value=False),
    "declared fields": without_declared_fields,
    "request inside the request": lambda: patch.object(core_internals, "hang_answer", lambda *args: None),
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("private", REMOVED)
def test_without_a_private_a_request_is_slower_and_right(private, count, api_client, admin, prefix):
    with REMOVED[private]():
        ids = post(api_client, prefix, count)
    check(ids, admin)
    # And nothing of it stays behind for the next request.
    check(post(api_client, prefix, 1, mac="BC:24:11:00:01:00"), admin)


def test_without_conditions_of_a_query_the_database_is_asked(admin, prefix):
    queryset = SimpleNamespace(query=SimpleNamespace())
    assert core_internals.is_unrestricted(queryset) is False
    assert core_internals.is_unrestricted(Prefix.objects.all()) is True
    assert core_internals.is_unrestricted(Prefix.objects.filter(pk=prefix.pk)) is False
    with patch("nautobot_pve_ipam.permissions.is_unrestricted", return_value=False):
        require(admin, "view", prefix)


def test_without_a_snapshot_it_is_the_saved_value():
    assert core_internals.value_before_save(SimpleNamespace(parent_id=2, _parent_id=1), "parent_id") == 1
    assert core_internals.value_before_save(SimpleNamespace(parent_id=2, _parent_id=None), "parent_id") == 2
    assert core_internals.value_before_save(SimpleNamespace(parent_id=2), "parent_id") == 2


def test_the_answer_hangs_on_djangos_request(rf):
    request, answer = Request(rf.get("/")), object()
    core_internals.hang_answer(request, answer)
    assert request._request.pve_ipam_answer is answer
    core_internals.hang_answer(object(), answer)  # of another shape: nothing happens


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_middleware_goes_outermost_once(kind):
    with patch.object(settings, "MIDDLEWARE", kind(["inner"])):
        core_internals.put_outermost("outer")
        core_internals.put_outermost("outer")
        assert list(settings.MIDDLEWARE) == ["outer", "inner"]
