"""The core fields of an address that an allocation may set, and their defaults."""

import pytest

SUBNET = "10.0.0.0-24"


@pytest.fixture
def network(network):
    network.prefix("10.0.0.0/24")
    return network


def core(network, answer):
    assert answer.status == 201, answer.body
    return network.live.request("GET", f"/api/ipam/ip-addresses/{answer.body['id']}/?depth=1").body


def make(network, path, body):
    answer = network.live.request("POST", path, body)
    assert answer.status == 201, answer.body
    return answer.body


def test_the_status_by_name_dictionary_and_id(network):
    status = network.live.request("GET", "/api/extras/statuses/?name=Reserved").body["results"][0]
    for named in ("Reserved", {"name": "Reserved"}, status["id"], {"id": status["id"]}, status["url"]):
        answer = network.post(SUBNET, {"status": named})
        assert answer.body["status"] == "Reserved", named
        assert core(network, answer)["status"]["name"] == "Reserved"


def test_the_type_follows_the_range(network):
    network.range("10.0.0.100", "10.0.0.109", role="DHCP")
    network.range("10.0.0.110", "10.0.0.119", role="Reserved")
    network.range("10.0.0.120", "10.0.0.129")
    for host, expected in ((100, "dhcp"), (109, "dhcp"), (110, "host"), (120, "host"), (130, "host")):
        answer = network.post(SUBNET, {"range_start": f"10.0.0.{host}"})
        assert (answer.body["address"], answer.body["type"]) == (f"10.0.0.{host}/24", expected)


def test_a_named_type_wins(network):
    network.range("10.0.0.100", "10.0.0.109", role="DHCP")
    for host, type_ in ((100, "host"), (1, "dhcp")):
        answer = network.post(SUBNET, {"range_start": f"10.0.0.{host}", "type": type_})
        assert core(network, answer)["type"] == type_


def test_a_dhcp_range_may_lie_in_a_child_pool(network):
    network.prefix("10.0.0.64/26", type="pool")
    network.range("10.0.0.70", "10.0.0.79", role="DHCP")
    assert network.post(SUBNET, {"range_start": "10.0.0.70"}).body["type"] == "dhcp"


def test_role_tenant_description_tags_and_custom_fields(network):
    tenant = make(network, "/api/tenancy/tenants/", {"name": f"tenant of {network.name}"})
    tag = make(network, "/api/extras/tags/", {"name": f"tag {network.name}", "content_types": ["ipam.ipaddress"]})
    field = make(
        network,
        "/api/extras/custom-fields/",
        {
            "label": f"cf {network.name}",
            "key": network.name.replace("-", "_"),
            "type": "text",
            "content_types": ["ipam.ipaddress"],
            "default": "left out",
        },
    )
    answer = network.post(
        SUBNET,
        {
            "role": {"name": "VIP"},
            "tenant": {"name": tenant["name"]},
            "description": "Caf\u00e9",
            "tags": [{"name": tag["name"]}],
            "custom_fields": {field["key"]: "said"},
            "dns_name": "Named.Example.com",
            "hostname": "other",
        },
    )
    made = core(network, answer)
    assert answer.body["description"] == made["description"] == "Caf\u00e9"
    assert answer.body["dns_name"] == made["dns_name"] == "named.example.com"
    assert answer.body["hostname"] == "other"
    assert (made["role"]["name"], made["tenant"]["id"]) == ("VIP", tenant["id"])
    assert [item["id"] for item in made["tags"]] == [tag["id"]]
    assert made["custom_fields"][field["key"]] == "said"
    silent = core(network, network.post(SUBNET))
    assert silent["custom_fields"][field["key"]] == "left out"
    assert (silent["role"], silent["tenant"], silent["tags"]) == (None, None, [])
    # The live server is shared: a custom field with a default would end up on the addresses of every other test.
    network.live.request("DELETE", f"/api/extras/custom-fields/{field['id']}/")


@pytest.mark.parametrize(
    ("hostname", "dns_name"),
    [
        ("Web1", "web1"),
        ("web1.example.com", "web1.example.com"),
        ("two words", ""),
        ("-web", ""),
        ("web..x", ""),
        ("\u00fcber", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_hostname_becomes_the_dns_name_if_valid(network, hostname, dns_name):
    answer = network.post(SUBNET, {"hostname": hostname})
    assert (answer.status, answer.body["hostname"], answer.body["dns_name"]) == (201, hostname or "", dns_name)
    assert core(network, answer)["dns_name"] == dns_name


def test_the_guest_is_stored_in_an_allocation(network):
    answer = network.post(SUBNET, {"mac": "bc24.1100.0001", "vmid": "101", "hostname": "web1"})
    found = network.live.request("GET", f"allocations/?ip_address={answer.body['id']}&depth=0").body["results"]
    assert [(item["mac"], item["vmid"], item["hostname"], item["is_gateway"]) for item in found] == [
        ("BC:24:11:00:00:01", 101, "web1", False)
    ]


def test_empty_and_null_fields_count_as_omitted(network):
    nothing = {"mac": None, "vmid": None, "hostname": None, "cluster": None, "zone": None, "role": None, "tenant": None}
    answer = network.post(SUBNET, {**nothing, "description": None, "dns_name": "", "tags": []})
    assert (answer.status, answer.body["mac"], answer.body["vmid"]) == (201, None, None)
