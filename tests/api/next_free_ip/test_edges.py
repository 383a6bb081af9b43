"""The ends of a prefix: network, broadcast and anycast addresses; prefixes without any; pools; both families."""

import pytest


@pytest.mark.parametrize(
    ("prefix", "type_", "expected"),
    [
        ("10.0.0.0/30", "network", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.0/30", "container", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.0/30", "pool", ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("10.0.0.0/31", "network", ["10.0.0.0", "10.0.0.1"]),
        ("10.0.0.7/32", "network", ["10.0.0.7"]),
        ("2001:db8::/126", "network", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("2001:db8::/126", "pool", ["2001:db8::", "2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("2001:db8::/127", "network", ["2001:db8::", "2001:db8::1"]),
        ("2001:db8::7/128", "network", ["2001:db8::7"]),
        ("0.0.0.0/30", "network", ["0.0.0.1", "0.0.0.2"]),
        ("255.255.255.254/31", "network", ["255.255.255.254", "255.255.255.255"]),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "network",
         ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    ],
)  # fmt: skip
def test_all_addresses_that_hosts_may_use_and_no_others(network, prefix, type_, expected):
    network.prefix(prefix, type=type_)
    subnet = prefix.replace("/", "-")
    assert network.shown(subnet, limit=10) == expected
    assert [network.taken(subnet) for _ in expected] == expected
    answer = network.post(subnet)
    assert (answer.status, answer.body["code"]) == (409, "no_free_address")
    length = prefix.split("/")[1]
    assert network.addresses() == [f"{host}/{length}" for host in expected]


def test_a_pool_at_the_ends_of_its_subnet_does_not_make_them_usable(network):
    network.prefix("10.0.0.0/29")
    network.prefix("10.0.0.0/30", type="pool")
    network.prefix("10.0.0.4/30", type="pool")
    assert network.shown("10.0.0.0-29", limit=10) == [f"10.0.0.{host}" for host in range(1, 7)]
    assert network.shown("10.0.0.0-30", limit=10) == [f"10.0.0.{host}" for host in range(4)]


def test_ipv6_is_answered_in_canonical_form(network):
    made = network.prefix("2001:0DB8:0:0:0:0:0:0/64")
    body = {"range_start": "2001:0db8:0000:0000:00a0:0000:0000:000F"}
    answer = network.post("2001:0DB8:0::-64", body)
    assert (answer.body["address"], answer.body["ip_version"]) == ("2001:db8::a0:0:0:f/64", 6)
    assert answer.body["parent"] == {
        "id": made["id"],
        "url": f"{network.live.url}/api/ipam/prefixes/{made['id']}/",
        "prefix": "2001:db8::/64",
    }
    assert network.get("2001:db8::-64", body).body == [{"address": "2001:db8::a0:0:0:10/64", "ip_version": 6}]


def test_a_whole_ipv6_subnet_is_cheap(network):
    network.prefix("2001:db8::/64")
    last = "2001:db8::ffff:ffff:ffff:ffff"
    assert network.taken("2001:db8::-64", {"offset": 2**64 - 2}) == last
    assert network.taken("2001:db8::-64", {"range_start": "2001:db8::ffff:ffff:ffff:fffe"}) == last[:-1] + "e"
    assert network.post("2001:db8::-64", {"offset": 2**64 - 1}).body["code"] == "no_free_address"
