"""Two web servers, one database and one Redis, 32 clients: no failures, no duplicates, no free address missed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from development.web import nautobot_web
from tests.live import Live
from tests.networks import Network

SUBNET = "10.0.0.0-16"
CLIENTS = 32
REQUESTS = 4


@pytest.fixture(scope="module")
def servers(live):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REDIS_URL", live.web.environment["NAUTOBOT_PVE_IPAM_REDIS"])
        with nautobot_web(live.database_url, workers=4) as web:
            yield live, Live(web, live.token)


@pytest.fixture
def network(live):
    network = Network(live)
    network.prefix("10.0.0.0/16")
    return network


def ask_all(servers, network, bodies):
    """Send each body `REQUESTS` times, all bodies concurrently, alternating between the servers."""
    start = Barrier(len(bodies))

    def client(number, body):
        start.wait(60)
        server = servers[number % len(servers)]
        return [server.request("POST", network.url(SUBNET), body) for _ in range(REQUESTS)]

    with ThreadPoolExecutor(len(bodies)) as pool:
        clients = [pool.submit(client, number, body) for number, body in enumerate(bodies)]
        return [client.result() for client in clients]


def check(network, answers):
    answers = [answer for of_client in answers for answer in of_client]
    assert Counter(answer.status for answer in answers) == {201: CLIENTS * REQUESTS}, answers
    made = [answer.body["address"] for answer in answers]
    assert len(set(made)) == len(made)
    assert sorted(network.addresses()) == sorted(made)


def test_one_range(servers, network):
    body = {"range_start": "10.0.0.100", "range_end": "10.0.3.250"}
    check(network, ask_all(servers, network, [body] * CLIENTS))
    # No address was skipped: the lowest are taken, without a gap.
    assert network.addresses()[-1] == f"10.0.0.{100 + CLIENTS * REQUESTS - 1}/16"


def test_a_range_for_each_client(servers, network):
    bodies = [{"range_start": f"10.0.{number}.100", "range_end": f"10.0.{number}.103"} for number in range(CLIENTS)]
    answers = ask_all(servers, network, bodies)
    check(network, answers)
    for number, of_client in enumerate(answers):
        assert [answer.body["address"] for answer in of_client] == [f"10.0.{number}.{100 + n}/16" for n in range(4)]


def test_an_address_freed_by_one_server_is_allocated_by_the_other(servers, network):
    one, other = servers
    made = one.request("POST", network.url(SUBNET), [{}] * 40).body
    assert other.request("POST", network.url(SUBNET), {}).body["address"] == "10.0.0.41/16"
    assert one.request("DELETE", f"/api/ipam/ip-addresses/{made[6]['id']}/").status == 204
    assert other.request("POST", network.url(SUBNET), {}).body["address"] == "10.0.0.7/16"
