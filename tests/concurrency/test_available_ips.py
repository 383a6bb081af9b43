"""Core's own available-ips, answered by the App: beside each other, and beside writers that know no lock of ours."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.concurrency.clients import post, together, write_round_our_locks
from tests.networks import hosts
from tests.nightly import examples

CLIENTS, ROUNDS = 8, examples(2, 8)


@pytest.fixture(scope="module")
def _served(live):
    with live.answering_available_ips():
        yield


pytestmark = pytest.mark.usefixtures("_served")


def url_of(prefix):
    return f"/api/ipam/prefixes/{prefix['id']}/available-ips/"


def at_once(*calls):
    """The answers to calls that are started together."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def addresses(answers):
    """All addresses in the answers, each of which must be a success."""
    made = []
    for answer in answers:
        assert answer.status == 201, answer
        made += hosts(answer.body if isinstance(answer.body, list) else [answer.body])
    return made


def test_singles_and_lists(live, network):
    url = url_of(network.prefix("10.0.0.0/24"))
    bodies = [{"status": "Active"}, [{"status": "Active"}] * 8, {"status": "Active", "offset": 3}]

    def client(number):
        return [live.request("POST", url, bodies[(number + turn) % 3]) for turn in range(ROUNDS)]

    answers = list(itertools.chain.from_iterable(at_once(*[lambda n=n: client(n) for n in range(CLIENTS)])))
    made = addresses(answers)
    assert len(made) == len(set(made)) == len(network.addresses())


def test_a_prefix_and_its_children(live, network):
    """Core hands out addresses of child networks, which others ask for by themselves."""
    parent = network.prefix("10.0.0.0/24", type="container")
    children = [network.prefix(f"10.0.0.{first}/29") for first in (0, 8, 16)]
    urls = [url_of(prefix) for prefix in (parent, *children)]

    def client(number):
        return [live.request("POST", url, {"status": "Active"}) for url in urls for _ in range(ROUNDS // 2)]

    made = addresses(itertools.chain.from_iterable(at_once(*[lambda n=n: client(n) for n in range(3)])))
    assert len(made) == len(set(made)) == len(network.addresses())
    with live.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM ipam_ipaddress a JOIN ipam_prefix p ON p.id = a.parent_id WHERE p.namespace_id = %s"
            " AND (p.prefix_length = 29) <> (a.host < %s)",
            [network.id, bytes([10, 0, 0, 24])],
        )
        assert cursor.fetchone() == (0,)


def test_beside_writers_that_do_not_lock(live, network):
    """They create, through core's API, the same addresses that are free at the moment."""
    url = live.url + url_of(network.prefix("10.0.0.0/24"))
    arguments = (f"{url}?limit=4", f"{live.url}/api/ipam/ip-addresses/", network.name, live.token, ROUNDS)
    bodies = [{"status": "Active"}] * 4 * ROUNDS
    writers = [(write_round_our_locks, arguments)] * 2
    first, second, *ours = together(*writers, *[(post, (url, live.token, bodies))] * 4)
    made = addresses(itertools.chain.from_iterable(ours))
    others = [address.split("/")[0] for address in (*first, *second)]
    assert len({*made, *others}) == len(made) + len(others) == len(network.addresses())
