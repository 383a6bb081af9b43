"""Plain users: model permissions, object permissions with constraints, read-only tokens."""

import json

import pytest

from tests.networks import Network

SUBNET = "10.0.0.0-24"

#: Runs inside Nautobot: creates a user with a token for each entry of `wanted`, and its object permissions.
MAKE_USERS = """
import json
from django.contrib.contenttypes.models import ContentType
from nautobot.users.models import ObjectPermission, Token, User
wanted = json.loads({wanted!r})
tokens = {{}}
for name, (permissions, write_enabled) in wanted.items():
    user = User.objects.create_user({prefix!r} + name)
    for number, (model, actions, constraints) in enumerate(permissions):
        permission = ObjectPermission.objects.create(
            name=f"{{user.username}} {{number}}", actions=actions, constraints=constraints)
        permission.object_types.add(ContentType.objects.get(app_label="ipam", model=model))
        permission.users.add(user)
    tokens[name] = Token.objects.create(user=user, write_enabled=write_enabled).key
print(json.dumps(tokens))
"""


class World:
    """Two namespaces, each with the same subnet, and users' tokens by name."""

    def __init__(self, live):
        self.a, self.b = Network(live), Network(live)
        self.prefixes = {network: network.prefix("10.0.0.0/24")["id"] for network in (self.a, self.b)}
        self.range = self.a.range("10.0.0.100", "10.0.0.109")["id"]
        sees_all, sees_a = ("prefix", ["view"], None), ("prefix", ["view"], {"namespace__name": self.a.name})
        in_a = {"parent__namespace__name": self.a.name}
        sees_range = ("ipaddressrange", ["view"], None)
        wanted = {
            "nobody": ([], True),
            "viewer": ([sees_all, sees_range], True),
            "blind": ([("ipaddress", ["add"], None)], True),
            "adder": ([sees_all, sees_range, ("ipaddress", ["add"], None)], True),
            "reader": ([sees_all, sees_range, ("ipaddress", ["add"], None)], False),
            "tenant_a": ([sees_a, ("ipaddress", ["add"], in_a)], True),
            "adds_to_a": ([sees_all, ("ipaddress", ["add"], in_a)], True),
            "reserves": ([sees_all, ("ipaddress", ["add"], {"status__name": "Reserved"})], True),
            "low_only": ([sees_all, ("ipaddress", ["add"], {"dns_name__startswith": "low"})], True),
        }
        code = MAKE_USERS.format(wanted=json.dumps(wanted), prefix=f"{self.a.name}-")
        self.tokens = json.loads(live.manage(code).splitlines()[-1])

    def written(self):
        return self.a.written(), self.b.written()


@pytest.fixture(scope="module")
def world(live):
    return World(live)


def allocate(world, user, network=None, body=None, url=SUBNET):
    return (network or world.a).post(url, body, token=world.tokens[user])


def refused(world, answer, status, code, *named):
    assert (answer.status, answer.body["code"]) == (status, code), answer.body
    assert answer.reason == answer.body["detail"]
    for part in named:
        assert part in answer.reason


def urls(world, network):
    return (SUBNET, f"prefixes/{world.prefixes[network]}/next-free-ip/")


def test_without_any_permission(world):
    before = world.written()
    for url in (*urls(world, world.a), f"ip-address-ranges/{world.range}/next-free-ip/"):
        right = "ipam.view_ipaddressrange" if "ranges" in url else "ipam.view_prefix"
        refused(world, world.a.get(url, token=world.tokens["nobody"]), 403, "permission_denied", right)
        refused(world, allocate(world, "nobody", url=url), 403, "permission_denied", right, "ipam.add_ipaddress")
    assert world.written() == before


def test_a_user_who_may_only_view_may_preview(world):
    before = world.written()
    for url in (*urls(world, world.a), f"ip-address-ranges/{world.range}/next-free-ip/"):
        assert world.a.get(url, token=world.tokens["viewer"]).status == 200
        refused(world, allocate(world, "viewer", url=url), 403, "permission_denied", "ipam.add_ipaddress")
    assert world.written() == before


def test_a_user_who_may_only_add_finds_no_prefix(world):
    refused(world, allocate(world, "blind"), 403, "permission_denied", "ipam.view_prefix")


def test_view_and_add_is_enough_for_a_new_address(world):
    for number, url in enumerate((*urls(world, world.a), f"ip-address-ranges/{world.range}/next-free-ip/")):
        assert allocate(world, "adder", url=url).status == 201
        guest = {"mac": f"bc:24:11:00:01:0{number}", "hostname": "web1"}
        assert allocate(world, "adder", url=url, body=guest).status == 201
        again = allocate(world, "adder", url=url, body=guest)
        refused(world, again, 403, "permission_denied", "ipam.view_ipaddress for this IP address")


def test_a_read_only_token_reads(world):
    before = world.written()
    assert world.a.get(SUBNET, token=world.tokens["reader"]).status == 200
    refused(world, allocate(world, "reader"), 403, "permission_denied", "write-enabled")
    assert world.written() == before


def test_what_may_not_be_viewed_does_not_exist(world):
    assert allocate(world, "tenant_a").status == 201
    before = world.written()
    for url in urls(world, world.b):
        refused(world, allocate(world, "tenant_a", world.b, url=url), 404, "not_found")
        refused(world, world.b.get(url, token=world.tokens["tenant_a"]), 404, "not_found")
    assert world.written() == before


def test_a_namespace_that_may_be_viewed_but_not_used(world):
    assert allocate(world, "adds_to_a", world.a).status == 201
    before = world.written()
    for body in ({}, {"mac": "bc:24:11:00:00:02", "hostname": "web2"}, [{}, {}]):
        for url in urls(world, world.b):
            answer = allocate(world, "adds_to_a", world.b, body, url)
            refused(world, answer, 403, "permission_denied", "ipam.add_ipaddress")
    assert world.written() == before


def test_the_key_of_a_refused_request_is_not_stored(world):
    headers = {"Idempotency-Key": "refused"}
    token = world.tokens["adds_to_a"]
    assert world.b.post(SUBNET, {}, token=token, headers=headers).status == 403
    assert world.a.post(SUBNET, {}, token=token, headers=headers).status == 201


def test_a_constraint_on_the_status(world):
    before = world.written()
    refused(world, allocate(world, "reserves"), 403, "permission_denied", "ipam.add_ipaddress")
    assert world.written() == before
    assert allocate(world, "reserves", body={"mac": "bc:24:11:00:00:03"}).status == 403


def test_a_list_with_one_refused_item(world):
    before = world.written()
    mixed = [{"hostname": "low1"}, {"hostname": "high1"}]
    refused(world, allocate(world, "low_only", body=mixed), 403, "permission_denied", "ipam.add_ipaddress")
    assert world.written() == before
    assert allocate(world, "low_only", body=[{"hostname": "low1"}, {"hostname": "low2"}]).status == 201


def test_a_superuser_needs_no_permission(world):
    assert world.b.post(SUBNET).status == 201
