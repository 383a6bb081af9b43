"""Each hook in each situation: new, repeated, conflicting, missing, not permitted, the same in another namespace.

A refused call changes nothing, and no call affects the other namespace.
"""

import pytest

from tests.api.hooks.entry import Entry, dhcp, mac, refusal

S = "subnets/10.0.0.0-24/"
IP = "ips/10.0.0.9/"
WHO = {"zone": "simple1", "mac": mac(9), "vmid": 109, "hostname": "web9"}
SUBNET = (
    "PUT",
    S,
    {"zone": "simple1", "vnet": "vnet0", "gateway": "10.0.0.1", "dhcp_ranges": dhcp("10.0.0.100..10.0.0.199")},
)
PLAIN = ("PUT", S, {"zone": "simple1", "vnet": "vnet0"})
POINT = ("PUT", "subnets/10.0.0.9-32/", {"zone": "simple1", "vnet": "vnet0"})
GATEWAY = ("PUT", "ips/10.0.0.1/", {"zone": "simple1", "hostname": "vnet0-gw", "gateway": True})
TAKE = ("PUT", IP, WHO)
NEXT = ("POST", f"{S}next-free-ip/", WHO)
RENAME = ("PATCH", IP, {"zone": "simple1", "hostname": "db9", "mac": mac(10)})
FIND = ("GET", f"ips/?mac={mac(9)}&zone=simple1", None)
RELEASE = ("DELETE", f"{IP}?zone=simple1", None)
DELETE = ("DELETE", f"{S}?zone=simple1&vnet=vnet0", None)
VERIFY = ("GET", "", None)

#: hook, situation, what happened before, the call, status, code
CASES = [
    ("subnet", "new", [], SUBNET, 201, None),
    ("subnet", "repeated", [SUBNET], SUBNET, 200, None),
    ("subnet", "conflicting", [("PUT", S, {"zone": "simple1", "vnet": "vnet9"})], SUBNET, 409, "conflict"),
    ("subnet deletion", "new", [SUBNET, GATEWAY], DELETE, 204, None),
    ("subnet deletion", "repeated", [SUBNET, DELETE], DELETE, 204, None),
    ("subnet deletion", "conflicting", [SUBNET, TAKE], DELETE, 409, "subnet_not_empty"),
    ("subnet deletion", "missing", [], DELETE, 204, None),
    ("gateway", "new", [SUBNET], GATEWAY, 201, None),
    ("gateway", "repeated", [SUBNET, GATEWAY], GATEWAY, 200, None),
    ("gateway", "conflicting", [PLAIN, ("PUT", "ips/10.0.0.1/", WHO)], GATEWAY, 409, "address_taken"),
    ("gateway", "missing", [], GATEWAY, 404, "not_found"),
    ("address", "new", [SUBNET], TAKE, 201, None),
    ("address", "repeated", [SUBNET, TAKE], TAKE, 200, None),
    ("address", "conflicting", [SUBNET, ("PUT", IP, {**WHO, "mac": mac(8)})], TAKE, 409, "address_taken"),
    ("address", "conflicting mac", [SUBNET, ("PUT", "ips/10.0.0.8/", WHO)], TAKE, 409, "conflict"),
    ("address", "missing", [], TAKE, 404, "not_found"),
    ("next free", "new", [SUBNET], NEXT, 201, None),
    ("next free", "repeated", [SUBNET, NEXT], NEXT, 200, None),
    ("next free", "conflicting", [POINT, TAKE], ("POST", "subnets/10.0.0.9-32/next-free-ip/", {"zone": "simple1"}), 409,
     "no_free_address"),
    ("next free", "missing", [], NEXT, 404, "not_found"),
    ("change", "new", [SUBNET, TAKE], RENAME, 200, None),
    ("change", "repeated", [SUBNET, TAKE, RENAME], RENAME, 200, None),
    ("change", "conflicting", [SUBNET, TAKE, ("PUT", "ips/10.0.0.8/", {**WHO, "mac": mac(10)})], RENAME, 409,
     "conflict"),
    ("change", "missing", [SUBNET], RENAME, 404, "not_found"),
    ("release", "new", [SUBNET, TAKE], RELEASE, 204, None),
    ("release", "repeated", [SUBNET, TAKE, RELEASE], RELEASE, 204, None),
    ("release", "conflicting", [("PUT", S, {"zone": "zone9", "vnet": "vnet9"}), ("PUT", IP, {**WHO, "zone": "zone9"})],
     RELEASE, 409, "not_ours"),
    ("release", "missing", [SUBNET], RELEASE, 204, None),
    ("search", "new", [SUBNET, TAKE], FIND, 200, None),
    ("search", "missing", [SUBNET], FIND, 200, None),
    ("verify", "new", [], VERIFY, 200, None),
]  # fmt: skip
HOOKS = [
    pytest.param(before, call, status, code, id=f"{hook}: {situation}")
    for hook, situation, before, call, status, code in CASES
]
FIRST = [pytest.param(before, call, id=hook) for hook, situation, before, call, _, _ in CASES if situation == "new"]


def play(entry: Entry, calls):
    for method, path, body in calls:
        assert entry.call(method, path, body).status in (200, 201, 204), (method, path)


@pytest.mark.parametrize(("before", "call", "status", "code"), HOOKS)
def test_a_hook_in_a_situation(entry, before, call, status, code):
    play(entry, before)
    earlier = entry.held()
    answer = entry.call(*call)
    assert answer.status == status, (answer.status, answer.body)
    if status >= 400:
        assert refusal(answer)[:2] == (status, code)
    if status >= 400 or (status == 200 and call is not RENAME):
        assert entry.held() == earlier


@pytest.mark.parametrize(("before", "call"), FIRST)
def test_another_namespace_has_the_same(entry, neighbour, before, call):
    play(neighbour, [SUBNET, GATEWAY, TAKE])
    theirs = neighbour.held()
    play(entry, [*before, call])
    assert neighbour.held() == theirs
    if call is FIND:
        assert [item["namespace"] for item in entry.call(*FIND).body["results"]] == [entry.name]


@pytest.mark.parametrize(("before", "call"), FIRST)
def test_a_namespace_that_does_not_exist(entry, before, call):
    method, path, body = call
    answer = entry.live.request(method, f"namespaces/{entry.name}-none/{path}", body)
    status, code, sentence = refusal(answer)
    assert (status, code) == (404, "not_found")
    assert f"namespace {entry.name}-none" in sentence


@pytest.mark.parametrize(("before", "call"), FIRST)
def test_no_token_and_a_user_without_permissions(entry, live, before, call):
    play(entry, before)
    earlier = entry.held()
    method, path, body = call
    for token in (None, "0" * 40):
        answer = live.request(method, f"namespaces/{entry.name}/{path}", body, token=token)
        assert refusal(answer)[0] in (401, 403)
    assert entry.held() == earlier
