"""Nautobot's OpenAPI schema tells of the endpoints, with their fields, answers and examples."""

import pytest

URLS = (
    "/plugins/pve-ipam/prefixes/{id}/next-free-ip/",
    "/plugins/pve-ipam/ip-address-ranges/{id}/next-free-ip/",
    "/plugins/pve-ipam/namespaces/{namespace}/subnets/{subnet}/next-free-ip/",
)
QUERY = {"range_start", "range_end", "offset", "exclude"}
BODY = {
    "range_start", "range_end", "ranges", "offset", "exclude", "mac", "vmid", "hostname", "status", "type", "role",
    "tenant", "dns_name", "description", "tags", "custom_fields",
}  # fmt: skip


@pytest.fixture(scope="module")
def schema(live):
    answer = live.request("GET", "/api/swagger.json")
    assert answer.status == 200
    return answer.body


def resolved(schema, node):
    while "$ref" in node:
        found = schema
        for part in node["$ref"].lstrip("#/").split("/"):
            found = found[part]
        node = found
    return node


@pytest.mark.parametrize("url", URLS)
def test_an_endpoint_is_documented(schema, url):
    path = next(path for name, path in schema["paths"].items() if name.endswith(url))
    get, post = path["get"], path["post"]
    assert {item["name"] for item in get["parameters"] if item["in"] == "query"} >= QUERY | {"limit"}
    assert {item["name"] for item in post["parameters"]} >= QUERY | {"Idempotency-Key"}
    assert get["description"]
    assert post["description"]
    assert get["responses"]["200"]["content"]["application/json"]["examples"]
    request = post["requestBody"]["content"]["application/json"]
    assert len(request["examples"]) == 2
    kinds = [resolved(schema, kind) for kind in resolved(schema, request["schema"])["oneOf"]]
    one = next(kind for kind in kinds if kind.get("type") == "object")
    many = next(kind for kind in kinds if kind.get("type") == "array")
    assert set(one["properties"]) >= BODY
    assert set(resolved(schema, many["items"])["properties"]) == set(one["properties"])
    assert {"200", "201"} <= set(post["responses"])
    made = resolved(schema, post["responses"]["201"]["content"]["application/json"]["schema"])
    assert {"id", "address", "mac", "vmid", "hostname"} <= set(made["properties"])
