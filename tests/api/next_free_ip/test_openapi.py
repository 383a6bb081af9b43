"""Nautobot's OpenAPI schema documents the endpoints, with their fields, responses and examples."""

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


def one_or_several(schema, node):
    """The properties of a schema documented as an object or a list of such objects."""
    kinds = {kind["type"]: kind for kind in (resolved(schema, kind) for kind in resolved(schema, node)["oneOf"])}
    assert resolved(schema, kinds["array"]["items"]) == kinds["object"]
    return set(kinds["object"]["properties"])


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
    assert one_or_several(schema, request["schema"]) >= BODY
    for status in ("200", "201"):
        answer = post["responses"][status]["content"]["application/json"]
        assert one_or_several(schema, answer["schema"]) >= {"id", "address", "mac", "vmid", "hostname"}


def test_the_preconditions_of_an_address_are_documented(schema):
    path = next(path for name, path in schema["paths"].items() if name.endswith("/namespaces/{namespace}/ips/{ip}/"))
    for method in ("patch", "delete"):
        places = {(item["in"], item["name"]) for item in path[method]["parameters"]}
        assert places >= {("query", "mac"), ("query", "vmid"), ("header", "If-Match")}
    for method in ("get", "put", "patch"):
        assert "ETag" in path[method]["responses"]["200"]["headers"]


def test_cores_endpoint_is_documented_as_core_does_and_with_what_we_take(schema):
    path = next(path for name, path in schema["paths"].items() if name.endswith("/ipam/prefixes/{id}/available-ips/"))
    get, post = path["get"], path["post"]
    assert (get["operationId"], post["operationId"]) == (
        "ipam_prefixes_available_ips_list",
        "ipam_prefixes_available_ips_create",
    )
    assert {item["name"] for item in get["parameters"]} >= QUERY | {"depth", "exclude_m2m"}
    assert {item["name"] for item in post["parameters"]} >= QUERY | {"Idempotency-Key", "Prefer"}
    asked = post["requestBody"]["content"]["application/json"]["schema"]
    assert asked["items"]["$ref"].endswith("/IPAllocationRequest")
    assert set(resolved(schema, asked["items"])["properties"]) >= BODY
    for status in ("200", "201"):
        answer = post["responses"][status]["content"]["application/json"]["schema"]
        assert "IPAddress" in answer["$ref"]  # a page of them, which is wrong, but what core says


def test_so_is_that_of_ranges(schema):
    endings = ("/ipam/prefixes/{id}/available-ips/", "/plugins/pve-ipam/ip-address-ranges/{id}/available-ips/")
    cores, ours = (next(path for name, path in schema["paths"].items() if name.endswith(end)) for end in endings)
    assert ours["post"]["requestBody"] == cores["post"]["requestBody"]
    for method in ("get", "post"):
        assert {item["name"] for item in ours[method]["parameters"]} >= QUERY
        assert set(ours[method]["responses"]) == set(cores[method]["responses"])


def test_a_sync_is_documented_with_its_answers(schema):
    path = next(path for name, path in schema["paths"].items() if name.endswith("/namespaces/{namespace}/sync/"))
    post = path["post"]
    request = resolved(schema, post["requestBody"]["content"]["application/json"]["schema"])
    assert set(request["properties"]) == {"snapshot", "cluster", "dry_run", "zones", "adopt", "prune"}
    answers = {
        status: set(resolved(schema, answer["content"]["application/json"]["schema"])["properties"])
        for status, answer in post["responses"].items()
    }
    assert answers == {
        "200": {"cluster", "dry_run", "to_do", "differences", "ignored", "problems", "applied", "failed"},
        "202": {"job_result", "detail"},
    }
