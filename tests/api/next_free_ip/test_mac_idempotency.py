"""A MAC that already holds an address of the subnet gets it again, with updated guest data."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.networks import Network

SUBNET = "10.0.0.0-24"
MAC = "BC:24:11:00:00:01"


@pytest.fixture
def network(network):
    network.prefix("10.0.0.0/24")
    return network


@pytest.mark.parametrize(
    "spelling",
    [
        "bc:24:11:00:00:01",
        "BC-24-11-00-00-01",
        "bc2411000001",
        "bc24.1100.0001",
        "bc24-1100-0001",
        "bc:24:11:0:0:1",
        " BC:24:11:00:00:01 ",
    ],
)
def test_all_notations_are_one_mac(network, spelling):
    first = network.post(SUBNET, {"mac": MAC})
    again = network.post(SUBNET, {"mac": spelling})
    assert (first.status, again.status, again.body["mac"]) == (201, 200, MAC)
    assert again.body == first.body


def test_a_repeated_request_gets_the_same_response_and_writes_nothing(network):
    body = {"mac": MAC, "vmid": 101, "hostname": "web1"}
    first = network.post(SUBNET, body)
    before = network.written()
    again = network.post(SUBNET, body)
    assert (again.status, again.reason, again.body) == (200, "OK", first.body)
    assert network.written() == before


def test_hostname_and_vmid_are_updated(network):
    first = network.post(SUBNET, {"mac": MAC, "vmid": 101, "hostname": "web1"}).body
    again = network.post(SUBNET, {"mac": MAC, "vmid": 102, "hostname": "Web2"}).body
    assert again == {**first, "vmid": 102, "hostname": "Web2", "dns_name": "web2"}
    core = network.live.request("GET", f"/api/ipam/ip-addresses/{first['id']}/").body
    assert core["dns_name"] == "web2"
    silent = network.post(SUBNET, {"mac": MAC}).body
    assert silent == again


def test_a_dns_name_set_by_somebody_is_kept(network):
    first = network.post(SUBNET, {"mac": MAC, "hostname": "web1", "dns_name": "www.example.com"}).body
    again = network.post(SUBNET, {"mac": MAC, "hostname": "web2"}).body
    assert again == {**first, "hostname": "web2", "dns_name": "www.example.com"}


def test_an_address_is_kept_within_the_bounds_and_a_new_one_taken_outside(network):
    inside = {"mac": MAC, "range_start": "10.0.0.100", "range_end": "10.0.0.109"}
    outside = {"mac": MAC, "range_start": "10.0.0.110", "range_end": "10.0.0.119"}
    first, second = network.post(SUBNET, inside), network.post(SUBNET, outside)
    assert (first.body["address"], second.body["address"]) == ("10.0.0.100/24", "10.0.0.110/24")
    assert (second.status, network.post(SUBNET, inside).body, network.post(SUBNET, outside).body) == (
        201,
        first.body,
        second.body,
    )
    ranges = {
        "mac": MAC,
        "ranges": [{"start": "10.0.0.50", "end": "10.0.0.51"}, {"start": "10.0.0.109", "end": "10.0.0.110"}],
    }
    assert network.post(SUBNET, ranges).body == second.body


def test_a_full_range_still_gives_back_what_is_held(network):
    bounds = {"range_start": "10.0.0.100", "range_end": "10.0.0.100"}
    first = network.post(SUBNET, {"mac": MAC, **bounds})
    assert network.post(SUBNET, {"mac": "BC:24:11:00:00:02", **bounds}).status == 409
    assert network.post(SUBNET, {"mac": MAC, **bounds}).body == first.body


def test_an_address_in_a_child_pool_belongs_to_the_subnet(network):
    network.prefix("10.0.0.64/26", type="pool")
    first = network.post(SUBNET, {"mac": MAC, "range_start": "10.0.0.64", "range_end": "10.0.0.127"})
    assert network.post(SUBNET, {"mac": MAC}).body == first.body


def test_an_address_in_a_child_network_belongs_to_another_subnet(network):
    network.prefix("10.0.0.64/26")
    child = network.post("10.0.0.64-26", {"mac": MAC})
    parent = network.post(SUBNET, {"mac": MAC})
    assert (child.body["address"], parent.status, parent.body["address"]) == ("10.0.0.65/26", 201, "10.0.0.1/24")


def test_other_prefixes_families_and_namespaces_are_separate(live, network):
    network.prefix("10.0.1.0/24")
    network.prefix("2001:db8::/64")
    other = Network(live)
    other.prefix("10.0.0.0/24")
    answers = [asked.post(subnet, {"mac": MAC}) for asked, subnet in (
        (network, SUBNET), (network, "10.0.1.0-24"), (network, "2001:db8::-64"), (other, SUBNET)
    )]  # fmt: skip
    assert [answer.status for answer in answers] == [201] * 4
    assert len({answer.body["id"] for answer in answers}) == 4


def test_a_released_address_is_not_given_back(network):
    first = network.post(SUBNET, {"mac": MAC})
    assert network.live.request("DELETE", f"/api/ipam/ip-addresses/{first.body['id']}/").status == 204
    again = network.post(SUBNET, {"mac": MAC})
    assert (again.status, again.body["address"]) == (201, "10.0.0.1/24")
    assert again.body["id"] != first.body["id"]


def test_a_list_mixes_held_and_new(network):
    held = network.post(SUBNET, {"mac": MAC}).body
    answer = network.post(SUBNET, [{"mac": "BC:24:11:00:00:02"}, {"mac": MAC}, {}])
    assert (answer.status, [item["address"] for item in answer.body]) == (
        201,
        ["10.0.0.2/24", "10.0.0.1/24", "10.0.0.3/24"],
    )
    assert answer.body[1] == held
    assert network.post(SUBNET, [{"mac": MAC}, {"mac": "BC:24:11:00:00:02"}]).status == 200


def test_a_failed_list_updates_nothing(network):
    bounds = {"range_start": "10.0.0.100", "range_end": "10.0.0.101"}
    held = network.post(SUBNET, {"mac": MAC, "hostname": "web1", **bounds}).body
    before = network.written()
    assert network.post(SUBNET, [{"mac": MAC, "hostname": "web2", **bounds}, {}, {}]).status == 409
    assert network.written() == before
    assert network.post(SUBNET, {"mac": MAC, **bounds}).body == held


def test_simultaneous_requests_of_one_mac_get_one_address(network):
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(network.post, SUBNET, {"mac": MAC, "vmid": 101}) for _ in range(12)]
        answers = [future.result() for future in asked]
    assert sorted(answer.status for answer in answers) == [200] * 11 + [201]
    assert {answer.body["address"] for answer in answers} == {"10.0.0.1/24"}
    assert network.addresses() == ["10.0.0.1/24"]


def test_lists_with_the_same_macs_in_different_order_do_not_deadlock(network):
    macs = [{"mac": f"BC:24:11:00:01:{number:02X}"} for number in range(6)]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(network.post, SUBNET, macs if number % 2 else macs[::-1]) for number in range(8)]
        answers = [future.result() for future in asked]
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len(network.addresses()) == 6
