"""The test infrastructure itself: a cloned database, a live server, templates that follow the migrations."""

import pytest
from nautobot.ipam.models import Namespace

pytestmark = pytest.mark.django_db


def test_the_database_is_migrated_and_seeded_by_nautobot():
    assert Namespace.objects.filter(name="Global").exists()


def test_the_live_server_knows_its_token(live):
    answer = live.request("GET", "/api/")
    assert (answer.status, answer.reason) == (200, "OK")
    assert "ipam" in answer.body
    assert live.request("GET", "/api/", token=None).status == 403


def test_the_live_server_runs_code_and_shares_its_database(live):
    code = "from nautobot.users.models import User; print(User.objects.filter(username='admin').count())"
    assert live.manage(code) == "1\n"
    with live.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM auth_user WHERE username = 'admin'")
        assert cursor.fetchone() == (1,)


def test_the_live_server_serves_static_files(live, http):
    answer = http("GET", f"{live.url}/static/img/nautobot_logo.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")


def test_tasks_queued_by_the_live_server_can_be_read(live):
    hook = {"name": "any", "content_types": ["ipam.namespace"], "type_create": True, "http_method": "POST"}
    live.request("POST", "/api/extras/webhooks/", {**hook, "payload_url": "http://hook.example.com/"})
    live.request("POST", "/api/ipam/namespaces/", {"name": "infrastructure-hooked"})
    task, arguments = live.queued_tasks()[0]
    assert task == "nautobot.extras.tasks.process_webhook"
    assert (arguments[1]["name"], arguments[2:4]) == ("infrastructure-hooked", ["namespace", "create"])
