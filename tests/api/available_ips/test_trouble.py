"""Out of reach, or without the App's tables: 503 with Retry-After in core's shape, nothing half made, no fallback."""

from unittest.mock import patch

import django_redis.exceptions
import pytest
import redis
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam import middleware
from nautobot_pve_ipam.api import available_ips
from nautobot_pve_ipam.middleware import OutOfReachMiddleware
from nautobot_pve_ipam.search import tables
from nautobot_pve_ipam.services import allocation, idempotency
from tests.api.available_ips.serving import serving

pytestmark = pytest.mark.django_db

URL = "/api/ipam/prefixes/x/available-ips/"


def unavailable(answer):
    assert (answer.status_code, list(answer.data)) == (503, ["detail"]), answer.data
    assert int(answer["Retry-After"]) > 0


@pytest.fixture
def _never_core(served):
    with (
        patch.object(Prefix, "get_available_ips", side_effect=AssertionError("core's code")),
        patch("nautobot.ipam.api.views.cache", side_effect=AssertionError("core's lock")),
    ):
        yield


@pytest.mark.usefixtures("_never_core")
@pytest.mark.parametrize(
    ("where", "what"),
    [
        (allocation, "locked_transaction"),
        (allocation.idempotency, "addresses_given"),
        (allocation.tables, "around_and_in_use"),
        (idempotency, "remember"),  # after the address is made
    ],
)
@pytest.mark.parametrize(
    "error", [OperationalError("lock timeout"), TimeoutError("lock mac"), redis.exceptions.ConnectionError("away")]
)
def test_out_of_reach(ask, where, what, error):
    with patch.object(where, what, side_effect=error):
        unavailable(ask("POST", [{}, {}], Idempotency_Key="key"))
    assert not IPAddress.objects.exists()
    assert ask("POST", [{}, {}], Idempotency_Key="key").status_code == 201


@pytest.mark.postgresql
@pytest.mark.usefixtures("_never_core")
def test_the_apps_tables_are_missing(ask):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE nautobot_pve_ipam_sdnsubnet RENAME TO away")
        unavailable(ask("POST"))
        transaction.set_rollback(True)
    with patch.object(tables, "_rows", side_effect=ProgrammingError("relation does not exist")):
        unavailable(ask("GET"))  # in no transaction of its own: in that of the test, no query would work any more
    assert not IPAddress.objects.exists()


@pytest.mark.usefixtures("_never_core")
def test_a_setting_that_cannot_be_read_is_not_taken_for_off(ask):
    for error in (django_redis.exceptions.ConnectionInterrupted(None), OperationalError("away")):
        with patch.object(available_ips, "is_on", side_effect=error):
            unavailable(ask("GET"))
            unavailable(ask("POST"))
    assert not IPAddress.objects.exists()


def test_before_the_view_is_reached():
    def nautobot(request):
        raise OperationalError("away")

    request = RequestFactory().post(URL)
    with serving():
        answer = OutOfReachMiddleware(nautobot)(request)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    with patch.object(middleware, "is_on", side_effect=redis.exceptions.ConnectionError("away")):
        assert OutOfReachMiddleware(nautobot)(request) is not None
    with serving(False), pytest.raises(OperationalError):
        OutOfReachMiddleware(nautobot)(request)


def test_an_answer_is_kept_although_its_webhooks_cannot_be_queued():
    def nautobot(request):
        request.pve_ipam_answer = HttpResponse("made", status=201)
        raise redis.exceptions.ConnectionError("queue")

    with serving():
        answer = OutOfReachMiddleware(nautobot)(RequestFactory().post(URL))
    assert (answer.status_code, answer.content) == (201, b"made")
