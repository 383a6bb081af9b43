"""Responses to an allocation: one object or a list, the three URLs, statuses and the underlying core object."""

import uuid

import pytest

SUBNET = "10.0.0.0-24"


def test_the_answer_names_the_address_and_the_guest(network):
    prefix = network.prefix("10.0.0.0/24")
    answer = network.post(SUBNET, {"mac": "bc2411000001", "vmid": 101, "hostname": "Web1"})
    assert (answer.status, answer.reason) == (201, "Created")
    body = dict(answer.body)
    uuid.UUID(body["id"])
    assert body.pop("url") == f"{network.live.url}/api/ipam/ip-addresses/{body.pop('id')}/"
    assert body == {
        "address": "10.0.0.1/24",
        "ip_version": 4,
        "type": "host",
        "status": "Active",
        "parent": {
            "id": prefix["id"],
            "url": f"{network.live.url}/api/ipam/prefixes/{prefix['id']}/",
            "prefix": "10.0.0.0/24",
        },
        "namespace": network.name,
        "dns_name": "web1",
        "description": "",
        "mac": "BC:24:11:00:00:01",
        "vmid": 101,
        "hostname": "Web1",
        "is_gateway": False,
        "cluster": None,
        "zone": None,
        "vnet": None,
    }


def test_core_knows_the_address(network):
    network.prefix("10.0.0.0/24")
    answer = network.post(SUBNET)
    core = network.live.request("GET", f"/api/ipam/ip-addresses/{answer.body['id']}/?depth=1").body
    assert (core["address"], core["parent"]["prefix"], core["status"]["name"], core["type"]) == (
        "10.0.0.1/24",
        "10.0.0.0/24",
        "Active",
        "host",
    )


@pytest.mark.parametrize("body", [{}, b""], ids=["empty object", "no body"])
def test_an_empty_request_is_enough(network, body):
    network.prefix("10.0.0.0/24")
    answer = network.post(SUBNET, body)
    assert (answer.status, answer.body["address"], answer.body["mac"]) == (201, "10.0.0.1/24", None)
    assert network.written()[1] == 1, "an allocation for nobody, by which the hooks find and release it"


def test_three_urls_for_one_subnet(network):
    prefix = network.prefix("10.0.0.0/24")
    dhcp = network.range("10.0.0.1", "10.0.0.9")
    urls = (
        f"prefixes/{prefix['id']}/",
        f"ip-address-ranges/{dhcp['id']}/",
        f"namespaces/{network.name}/subnets/{SUBNET}/",
    )
    assert [network.shown(f"{url}next-free-ip/") for url in urls] == [["10.0.0.10"], ["10.0.0.1"], ["10.0.0.10"]]
    assert [network.taken(f"{url}next-free-ip/") for url in urls] == ["10.0.0.10", "10.0.0.1", "10.0.0.11"]
    assert network.written()[1] == 1, "only the last URL is one of PVE's hooks"


def test_a_name_with_special_characters_in_the_url(network):
    network.live.request("PATCH", f"/api/ipam/namespaces/{network.id}/", {"name": f"{network.name} \u00fc&?%"})
    network.prefix("10.0.0.0/24", namespace=network.id)
    url = f"namespaces/{network.name}%20%C3%BC%26%3F%25/subnets/{SUBNET}/next-free-ip/"
    answer = network.post(url)
    assert (answer.status, answer.body["namespace"]) == (201, f"{network.name} \u00fc&?%")


def test_a_list_for_a_list(network):
    network.prefix("10.0.0.0/24")
    network.address("10.0.0.2/24")
    answer = network.post(SUBNET, [{"vmid": 101, "hostname": "a"}, {"vmid": 102, "hostname": "b"}, {}])
    assert answer.status == 201
    assert [(item["address"], item["vmid"], item["hostname"]) for item in answer.body] == [
        ("10.0.0.1/24", 101, "a"),
        ("10.0.0.3/24", 102, "b"),
        ("10.0.0.4/24", None, ""),
    ]


def test_a_list_of_one_is_answered_with_a_list(network):
    network.prefix("10.0.0.0/24")
    assert network.taken(SUBNET, [{}]) == ["10.0.0.1"]


def test_a_list_is_all_or_nothing(network):
    network.prefix("10.0.0.0/29")
    before = network.written()
    answer = network.post("10.0.0.0-29", [{"vmid": 100 + number} for number in range(7)])
    assert (answer.status, answer.body["code"]) == (409, "no_free_address")
    assert answer.reason == f"No free address in 10.0.0.0/29 in namespace {network.name}: 7 wanted, 6 free"
    assert network.written() == before
    assert len(network.taken("10.0.0.0-29", [{}] * 6)) == 6


def test_a_long_list_over_many_gaps(network):
    network.prefix("10.0.0.0/26")
    used = range(3, 60, 8)
    for host in used:
        network.address(f"10.0.0.{host}/26")
    expected = [f"10.0.0.{host}" for host in range(1, 63) if host not in used]
    assert network.taken("10.0.0.0-26", [{}] * len(expected)) == expected


def test_the_address_has_the_length_of_its_subnet_even_in_a_child_pool(network):
    network.prefix("10.0.0.0/24")
    pool = network.prefix("10.0.0.64/26", type="pool")
    answer = network.post(SUBNET, {"range_start": "10.0.0.64"})
    assert (answer.body["address"], answer.body["parent"]["id"]) == ("10.0.0.64/24", pool["id"])
