"""Where a request searches: bounds, several ranges, offset, exclusions, IP address ranges; in query and body."""

import pytest

SUBNET = "10.0.0.0-24"


@pytest.fixture
def network(network):
    network.prefix("10.0.0.0/24")
    return network


def test_the_lowest_free_address_of_the_subnet(network):
    for host in (1, 2, 4):
        network.address(f"10.0.0.{host}/24")
    assert [network.taken(SUBNET) for _ in range(3)] == ["10.0.0.3", "10.0.0.5", "10.0.0.6"]


def test_bounds_are_inclusive(network):
    bounds = {"range_start": "10.0.0.100", "range_end": "10.0.0.101"}
    assert [network.taken(SUBNET, bounds) for _ in range(2)] == ["10.0.0.100", "10.0.0.101"]
    assert network.post(SUBNET, bounds).status == 409


@pytest.mark.parametrize(
    ("bounds", "expected"), [({"range_start": "10.0.0.200"}, "10.0.0.200"), ({"range_end": "10.0.0.2"}, "10.0.0.1")]
)
def test_one_bound_alone(network, bounds, expected):
    assert network.taken(SUBNET, bounds) == expected
    assert network.shown(SUBNET, **bounds) == [expected[:-1] + str(int(expected[-1]) + 1)]


def test_bounds_at_the_ends_of_the_prefix_skip_addresses_hosts_may_not_use(network):
    assert network.taken(SUBNET, {"range_start": "10.0.0.0", "range_end": "10.0.0.5"}) == "10.0.0.1"
    assert network.taken(SUBNET, {"range_start": "10.0.0.254", "range_end": "10.0.0.255"}) == "10.0.0.254"
    assert network.post(SUBNET, {"range_start": "10.0.0.255", "range_end": "10.0.0.255"}).status == 409


def test_null_bounds_are_ignored(network):
    assert network.taken(SUBNET, {"range_start": None, "range_end": None}) == "10.0.0.1"


def test_several_ranges_are_searched_in_their_order(network):
    ranges = [{"start": "10.0.0.200", "end": "10.0.0.201"}, {"start": "10.0.0.10", "end": "10.0.0.11"}]
    found = [network.taken(SUBNET, {"ranges": ranges}) for _ in range(4)]
    assert found == ["10.0.0.200", "10.0.0.201", "10.0.0.10", "10.0.0.11"]
    assert network.post(SUBNET, {"ranges": ranges}).status == 409


def test_offset_counts_free_addresses_across_ranges(network):
    network.address("10.0.0.200/24")
    ranges = [{"start": "10.0.0.200", "end": "10.0.0.202"}, {"start": "10.0.0.10", "end": "10.0.0.11"}]
    assert network.taken(SUBNET, {"ranges": ranges, "offset": 3}) == "10.0.0.11"


def test_an_address_in_two_ranges_counts_once(network):
    ranges = [{"start": "10.0.0.20", "end": "10.0.0.21"}, {"start": "10.0.0.20", "end": "10.0.0.23"}]
    assert network.taken(SUBNET, [{"ranges": ranges}] * 4) == [f"10.0.0.{host}" for host in (20, 21, 22, 23)]


def test_offset_skips_free_addresses_only(network):
    network.address("10.0.0.2/24")
    assert network.taken(SUBNET, {"offset": 2}) == "10.0.0.4"
    assert network.taken(SUBNET, {"offset": 0}) == "10.0.0.1"
    assert network.taken(SUBNET, {}, {"offset": "1"}) == "10.0.0.5"


def test_an_offset_beyond_the_last_free_address_finds_none(network):
    bounds = {"range_start": "10.0.0.10", "range_end": "10.0.0.12"}
    assert network.taken(SUBNET, {**bounds, "offset": 2}) == "10.0.0.12"
    answer = network.post(SUBNET, {**bounds, "offset": 2})
    assert (answer.status, answer.body["code"]) == (409, "no_free_address")
    assert "offset 2" in answer.reason


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"exclude": ["10.0.0.1", "10.0.0.4/30", "10.0.0.2-10.0.0.3"]}, {}),
        ({"exclude": "10.0.0.1, 10.0.0.4/30,10.0.0.2 - 10.0.0.3"}, {}),
        ({}, {"exclude": "10.0.0.1,10.0.0.4/30,10.0.0.2-10.0.0.3"}),
        ({}, {"exclude": ["10.0.0.1", "10.0.0.4/30", "10.0.0.2-10.0.0.3"]}),
        ({}, {"exclude": ["10.0.0.1,10.0.0.4/30", "10.0.0.0-10.0.0.3"]}),
    ],
)
def test_excluded_addresses_are_never_taken(network, body, query):
    assert network.taken(SUBNET, body, query) == "10.0.0.8"
    assert network.shown(SUBNET, **{**query, **body}) == ["10.0.0.9"]


def test_an_exclusion_outside_the_prefix_changes_nothing(network):
    assert network.taken(SUBNET, {"exclude": ["192.0.2.0/24", "2001:db8::/32", "10.0.0.0-10.0.0.1"]}) == "10.0.0.2"


def test_addresses_in_ranges_are_only_for_requests_with_bounds(network):
    ordinary = network.range("10.0.0.1", "10.0.0.9")
    assert network.taken(SUBNET) == "10.0.0.10"
    assert network.taken(SUBNET, {"range_start": "10.0.0.1"}) == "10.0.0.1"
    assert network.taken(SUBNET, {"ranges": [{"start": "10.0.0.5", "end": "10.0.0.6"}]}) == "10.0.0.5"
    assert network.taken(f"ip-address-ranges/{ordinary['id']}/next-free-ip/") == "10.0.0.2"


def test_exclusive_ranges_are_never_used(network):
    closed = network.range("10.0.0.1", "10.0.0.9", is_exclusive=True)
    assert network.taken(SUBNET, {"range_start": "10.0.0.1"}) == "10.0.0.10"
    answer = network.post(f"ip-address-ranges/{closed['id']}/next-free-ip/")
    assert (answer.status, answer.body["code"]) == (409, "no_free_address")
    assert network.shown(f"ip-address-ranges/{closed['id']}/next-free-ip/") == []


def test_child_networks_are_separate_subnets_but_child_pools_are_not(network):
    network.prefix("10.0.0.0/29")
    network.prefix("10.0.0.8/30", type="container")
    network.prefix("10.0.0.12/30", type="pool")
    assert network.taken(SUBNET) == "10.0.0.12"
    assert network.taken(SUBNET, {"range_start": "10.0.0.2", "range_end": "10.0.0.14", "offset": 1}) == "10.0.0.14"
    assert "10.0.0.12/24" in network.addresses()


def test_the_same_address_in_another_namespace_does_not_matter(live, network):
    other = type(network)(live)
    other.prefix("10.0.0.0/24")
    assert [other.taken(SUBNET), network.taken(SUBNET)] == ["10.0.0.1", "10.0.0.1"]


def test_bounds_may_be_in_the_query_of_a_post(network):
    query = {"range_start": "10.0.0.50", "range_end": "10.0.0.60", "offset": 1, "exclude": "10.0.0.50"}
    assert network.taken(SUBNET, {"vmid": 100}, query) == "10.0.0.52"


def test_query_and_body_may_agree_and_complete_each_other(network):
    body = {"range_start": "10.0.0.50", "offset": 1}
    assert network.taken(SUBNET, body, {"range_start": "10.0.0.50", "range_end": "10.0.0.60"}) == "10.0.0.51"
    both = {"exclude": "10.0.0.1", "offset": 0}
    assert network.taken(SUBNET, both, both) == "10.0.0.2"


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"range_start": "2001:DB8::1"}, {"range_start": "2001:db8:0::1"}),
        ({"exclude": ["2001:db8::1"]}, {"exclude": "2001:db8:0:0::1/128"}),
    ],
)
def test_two_notations_of_one_value_agree(network, body, query):
    network.prefix("2001:db8::/64")
    assert network.post("2001:db8::-64", body, query).status == 201


def test_bounds_are_limited_to_the_range(network):
    dhcp = network.range("10.0.0.100", "10.0.0.149")
    url = f"ip-address-ranges/{dhcp['id']}/next-free-ip/"
    assert network.taken(url) == "10.0.0.100"
    assert network.taken(url, {"range_start": "10.0.0.140"}) == "10.0.0.140"
    assert network.taken(url, {"range_end": "10.0.0.101"}) == "10.0.0.101"
    answer = network.post(url, {"range_start": "10.0.0.99"})
    assert (answer.status, answer.reason) == (400, "range_start 10.0.0.99 is outside 10.0.0.100-10.0.0.149")
