"""Many clients compete for the addresses of one range: each gets its own, and none is refused needlessly."""

from itertools import chain, pairwise

import pytest

from nautobot_pve_ipam.services.locks import MANY
from tests.concurrency.clients import come_and_go, post, together, write_round_our_locks
from tests.nightly import nightly_only

SUBNET = "10.0.0.0-24"
CLIENTS = 8


@pytest.fixture
def network(network):
    network.prefix("10.0.0.0/24")
    return network


def dhcp(network, last):
    """URL of the next-free-IP endpoint of a DHCP range from 10.0.0.100 to `last`."""
    made = network.range("10.0.0.100", last, role="DHCP")
    return f"{network.live.api}ip-address-ranges/{made['id']}/next-free-ip/"


def clients(network, url, *bodies):
    return [(post, (url, network.live.token, bodies))] * CLIENTS


def by_status(answers):
    found = {}
    for answer in answers:
        found.setdefault(answer.status, []).append(answer.body)
    return found


def inside(count):
    return [f"10.0.0.{100 + number}/24" for number in range(count)]


def test_n_requests_n_distinct_addresses(network):
    answers = by_status(chain(*together(*clients(network, dhcp(network, "10.0.0.199"), *[{}] * 10))))
    assert list(answers) == [201], answers
    assert sorted(body["address"] for body in answers[201]) == sorted(inside(CLIENTS * 10))
    assert network.addresses() == inside(CLIENTS * 10)


def test_n_requests_n_distinct_addresses_in_ipv6_with_macs(network):
    network.prefix("2001:db8::/64")
    url = network.live.api + network.url("2001:db8::-64")
    tasks = [
        (post, (url, network.live.token, [{"mac": f"BC:24:11:00:{client:02X}:{n:02X}"} for n in range(6)]))
        for client in range(CLIENTS)
    ]
    answers = by_status(chain(*together(*tasks)))
    assert list(answers) == [201], answers
    expected = {f"2001:db8::{number:x}/64" for number in range(1, CLIENTS * 6 + 1)}
    assert {body["address"] for body in answers[201]} == expected
    assert len({body["mac"] for body in answers[201]}) == len(answers[201]) == CLIENTS * 6


def test_a_writer_without_locks_causes_no_errors(network):
    url = dhcp(network, "10.0.0.254")
    core = f"{network.live.url}/api/ipam/ip-addresses/"
    writer = (write_round_our_locks, (f"{url}?limit=3", core, network.name, network.live.token, 12))
    *ours, core_made = together(*clients(network, url, *[{}] * 8), writer)
    answers = by_status(chain(*ours))
    assert list(answers) == [201], answers
    our_made = [body["address"] for body in answers[201]]
    assert len(our_made) == CLIENTS * 8
    assert core_made, "the writer was never faster, so there was no race"
    assert sorted(our_made + core_made) == sorted(network.addresses())
    assert len(set(our_made + core_made)) == len(our_made + core_made)


def test_a_range_is_used_up_to_its_last_address(network):
    answers = by_status(chain(*together(*clients(network, dhcp(network, "10.0.0.139"), *[{}] * 6))))
    assert sorted(answers) == [201, 409], answers
    assert sorted(body["address"] for body in answers[201]) == inside(40)
    assert [body["code"] for body in answers[409]] == ["no_free_address"] * (CLIENTS * 6 - 40)


def test_lists_are_all_or_nothing(network):
    url = dhcp(network, "10.0.0.132")
    answers = by_status(chain(*together(*clients(network, url, *[[{}] * 5] * 3))))
    assert set(answers) <= {201, 409}
    assert {body["code"] for body in answers[409]} == {"no_free_address"}
    made = [item["address"] for body in answers[201] for item in body]
    assert {len(body) for body in answers[201]} == {5}
    assert len(set(made)) == len(made)
    assert sorted(network.addresses()) == sorted(made)
    # Addresses that nobody got are available to later requests.
    left = 33 - len(made)
    assert network.post(url.removeprefix(network.live.api), [{}] * left).status == 201
    assert network.addresses() == inside(33)


def test_long_lists_close_their_part_of_a_subnet_but_nobody_is_refused(network):
    """In a subnet that is hardly larger, single requests and other lists wait for them."""
    url = network.live.api + network.url(SUBNET)
    lists, single = [[{}] * (MANY + 6)], [{}] * 6
    tasks = [(post, (url, network.live.token, bodies)) for bodies in (lists, single, lists, single, lists)]
    answers = by_status(chain(*together(*tasks)))
    assert list(answers) == [201], answers
    assert len(set(network.addresses())) == len(network.addresses()) == 3 * (MANY + 6) + 2 * 6


@pytest.mark.parametrize(("count", "size"), [(3, MANY + 6), pytest.param(32, 1000, marks=nightly_only)])
def test_long_lists_of_guests_at_once(count, size, network):
    """They take turns; who waits too long is told to come back."""
    network.prefix("10.8.0.0/16")
    url = network.live.api + network.url("10.8.0.0-16")
    macs = [f"BC:24:11:{number >> 16:02X}:{number >> 8 & 255:02X}:{number & 255:02X}" for number in range(count * size)]
    lists = [[{"mac": mac} for mac in macs[start : start + size]] for start in range(0, len(macs), size)]
    answers = by_status(chain(*together(*((post, (url, network.live.token, [body])) for body in lists))))
    assert set(answers) <= ({201} if count < 32 else {201, 503}), answers
    made = [item for body in answers[201] for item in body]
    assert len({item["address"] for item in made}) == len({item["mac"] for item in made}) == len(answers[201]) * size
    assert network.written()[:2] == (len(made), len(made))


def test_no_address_has_two_holders_while_others_are_released(network):
    url, core = dhcp(network, "10.0.0.199"), f"{network.live.url}/api/ipam/ip-addresses/"
    held = list(chain(*together(*[(come_and_go, (url, core, network.live.token, 6))] * CLIENTS)))
    assert len(held) == CLIENTS * 6 * 2
    kept = [address for address, _, until in held if until == float("inf")]
    assert sorted(network.addresses()) == sorted(kept)
    for (one, _, until), (other, since, _) in pairwise(sorted(held)):
        assert one != other or until < since, f"{one} was held twice at once"
