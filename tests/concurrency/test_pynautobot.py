"""Nautobot's own client, as people use it, against core's `available-ips` served by the App: nobody fails."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pynautobot
import pytest

from tests.nightly import examples, nightly_only

CLIENTS = examples(8, 32)
EACH = examples(2, 16)
START_SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def _served(live):
    with live.answering_available_ips():
        yield


@pytest.fixture
def prefix(network):
    """A function that gets 10.0.0.0/16 with a client of its own."""
    made = network.prefix("10.0.0.0/16")

    def prefix():
        return pynautobot.api(network.live.url, token=network.live.token).ipam.prefixes.get(made["id"])

    return prefix


def guest(number):
    """What core's API does not know: where to search, and for whom."""
    return {
        "ranges": [{"start": "10.0.1.0", "end": "10.0.255.254"}],
        "offset": 0,
        "mac": f"BC:24:11:00:{number >> 8:02X}:{number & 255:02X}",
        "vmid": 1000 + number,
        "hostname": f"web{number}",
    }


@pytest.mark.parametrize("ours", [False, True], ids=["core", "ours"])
@pytest.mark.parametrize("many", [False, True], ids=["single", "list"])
def test_every_client_gets_addresses_of_its_own(many, ours, prefix, network):
    start = Barrier(CLIENTS)

    def client(number):
        available = prefix().available_ips
        bodies = [{"status": "Active", **(guest(number * EACH + at) if ours else {})} for at in range(EACH)]
        start.wait(START_SECONDS)
        return available.create(bodies) if many else [available.create(body) for body in bodies]

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(client, number) for number in range(CLIENTS)]
        made = [address for future in futures for address in future.result()]
    assert len({address.address for address in made}) == len(made) == CLIENTS * EACH
    first = 1 << 8 if ours else 1
    inside = [f"10.0.{host >> 8}.{host & 255}/16" for host in range(first, first + len(made))]
    assert sorted(network.addresses()) == sorted(address.address for address in made) == sorted(inside)


@nightly_only
def test_without_the_setting_clients_fail(prefix, live):
    """Nautobot's own code looks before it locks. If this ever passes for all, the documentation has to follow."""
    start = Barrier(CLIENTS)

    def client(_number):
        available = prefix().available_ips
        start.wait(START_SECONDS)
        return [available.create({"status": "Active"}) for _ in range(EACH)]

    with live.answering_available_ips(False), ThreadPoolExecutor(CLIENTS) as pool:
        errors = [future.exception() for future in [pool.submit(client, number) for number in range(CLIENTS)]]
    assert any(isinstance(error, pynautobot.RequestError) for error in errors)
