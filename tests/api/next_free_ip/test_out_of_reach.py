"""Database or Redis out of reach: 503 with Retry-After, nothing half-done, and recovery when they are back."""

from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import kombu.exceptions
import pytest
import redis
from django.http import HttpResponse
from django.test import RequestFactory
from psycopg2 import sql

from development.databases import connect, fresh_database
from development.management import run_python
from development.web import nautobot_web
from nautobot_pve_ipam.middleware import OutOfReachMiddleware
from tests.live import Live
from tests.networks import Network

SUBNET = "10.0.0.0-24"


@pytest.fixture(scope="module")
def network():
    """A subnet in a dedicated Nautobot, whose database and Redis may be stopped."""
    with (
        pytest.MonkeyPatch.context() as environment,
        fresh_database("reach") as database_url,
    ):
        environment.delenv("REDIS_URL", raising=False)
        with nautobot_web(database_url, workers=1, settings={"serve_available_ips": True}) as web:
            token = run_python(web.environment, "from development import seed; print(seed.superuser())")
            network = Network(Live(web, token.strip()))
            network.cores_url = f"/api/ipam/prefixes/{network.prefix('10.0.0.0/24')['id']}/available-ips/"
            assert network.taken(SUBNET) == "10.0.0.1"
            yield network


@contextmanager
def database_out_of_reach(live, server_url):
    name = urlsplit(live.database_url).path[1:]
    with closing(connect(server_url)) as server, server.cursor() as cursor:

        def allow(connections):
            statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
            cursor.execute(statement.format(sql.Identifier(name), sql.Literal(connections)))

        allow(False)
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            allow(True)


@contextmanager
def redis_out_of_reach(live):
    url = live.web.environment["NAUTOBOT_PVE_IPAM_REDIS"]
    socket = Path(urlsplit(url).path)
    away = socket.with_suffix(".away")
    with closing(redis.Redis.from_url(url)) as client:
        client.ping()  # connects
        socket.rename(away)
        client.client_kill_filter(_type="normal", skipme=True)
        try:
            yield
        finally:
            away.rename(socket)


def unavailable(answer, what):
    assert (answer.status, answer.body["code"]) == (503, "unavailable"), answer.body
    assert answer.reason == answer.body["detail"]
    assert what in answer.reason
    assert int(answer.headers["Retry-After"]) > 0


def unavailable_in_cores_terms(answer):
    assert (answer.status, list(answer.body)) == (503, ["detail"]), answer.body
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.postgresql
def test_the_database(network, server_url):
    before = network.written()
    with database_out_of_reach(network.live, server_url):
        for _ in range(2):  # first a broken connection, then one that cannot be established
            unavailable(network.post(SUBNET, {"vmid": 101}), "database")
            unavailable(network.get(SUBNET), "database")
            unavailable_in_cores_terms(network.live.request("POST", network.cores_url, {"status": "Active"}))
            unavailable_in_cores_terms(network.live.request("GET", network.cores_url))
    assert network.written() == before
    assert network.taken(SUBNET, {"vmid": 101}) == "10.0.0.2"


def test_redis(network):
    before = network.written()
    (free,) = network.shown(SUBNET)
    with redis_out_of_reach(network.live):
        for _ in range(2):
            unavailable(network.post(SUBNET, {"vmid": 102}), "Redis")
            assert network.shown(SUBNET) == [free], "a preview does not need Redis"
            unavailable_in_cores_terms(network.live.request("POST", network.cores_url, {"status": "Active"}))
            unavailable_in_cores_terms(network.live.request("GET", network.cores_url))
    assert network.written() == before
    assert network.taken(SUBNET, {"vmid": 102}) == free


def test_a_response_is_kept_although_its_webhooks_cannot_be_queued():
    def nautobot(request):
        request.pve_ipam_answer = HttpResponse("made", status=201)
        raise kombu.exceptions.OperationalError("queue")

    request = RequestFactory().post("/api/plugins/pve-ipam/prefixes/x/next-free-ip/")
    answer = OutOfReachMiddleware(nautobot)(request)
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (201, b"made", "4")


def test_other_urls_are_left_to_nautobot():
    def nautobot(request):
        raise kombu.exceptions.OperationalError("queue")

    with pytest.raises(kombu.exceptions.OperationalError):
        OutOfReachMiddleware(nautobot)(RequestFactory().get("/api/ipam/prefixes/"))
