"""A token with exactly the hooks' permissions in one namespace: sufficient, all necessary, useless elsewhere."""

import pytest

from nautobot_pve_ipam.permissions import HOOK_RIGHTS
from tests.api.hooks.entry import mac

GUEST = {"mac": mac(1), "hostname": "web1", "zone": "simple1"}


def life(network="10.0.0.", cluster="c1"):
    """Every hook once, with all its effects: creates and changes cluster, zone, vnet, ranges, guests."""
    subnet, at = f"subnets/{network}0-24/", lambda last: f"ips/{network}{last}/"
    bounds = {"start": f"{network}10", "end": f"{network}19"}
    who = {"zone": "simple1", "cluster": cluster}
    place = {**who, "vnet": "vnet0"}
    guest = {**GUEST, **who}
    query = f"?zone=simple1&cluster={cluster}"
    return [
        ("PUT", subnet, {**place, "gateway": f"{network}1", "dhcp_ranges": [bounds]}),
        ("PUT", at(1), {**who, "hostname": "vnet0-gw", "gateway": True}),
        ("POST", f"{subnet}next-free-ip/", {**guest, "range_start": bounds["start"], "range_end": bounds["end"]}),
        ("PUT", at(50), {**guest, "mac": mac(2)}),
        ("PATCH", at(50), {**who, "hostname": "web2"}),
        ("GET", f"ips/{query}&mac={mac(2)}", None),
        ("GET", f"netbox:{cluster}/ipam/ip-ranges/?start_address={network}10&end_address={network}19", None),
        ("PUT", subnet, {**place, "zone_type": "vlan", "vnet_tag": 7, "snat": True, "dhcp_ranges": []}),
        ("DELETE", f"{at(10)}{query}", None),
        ("DELETE", f"{at(50)}{query}", None),
        ("DELETE", f"{subnet}{query}&vnet=vnet0", None),
    ]


def call(entry, method, path, body, token):
    if path.startswith("netbox:"):
        return entry.live.request(method, path.replace("netbox:", f"netbox/{entry.name}/"), body, token=token)
    return entry.live.request(method, f"namespaces/{entry.name}/{path}", body, token=token)


def test_they_are_enough_for_the_whole_life_cycle(limited):
    assert limited.call("GET", "").body["ready"] is True
    answers = [(step[:2], call(limited, *step, limited.token).status) for step in life("10.1.0.", "enough")]
    assert [entry for entry in answers if entry[1] not in (200, 201, 204)] == []
    assert not [prefix for prefix in limited.held()["prefixes"] if prefix.startswith("10.1.")]


def test_they_are_of_no_use_elsewhere(limited, neighbour):
    """None of the two addresses, the prefix and the gateway there can be seen, changed or deleted."""
    for method, path, body in life()[:5]:
        assert neighbour.call(method, path, body).status in (200, 201)
    before = neighbour.held()
    answers = [call(neighbour, *step, limited.token) for step in life()]
    assert {answer.status for answer in answers} == {404}
    assert call(neighbour, "GET", "", None, limited.token).status == 404
    facade = neighbour.live.request("GET", f"netbox/{neighbour.name}/ipam/prefixes/?q=10.0.0.0", token=limited.token)
    assert facade.status == 404
    assert neighbour.held() == before


@pytest.mark.parametrize("right", HOOK_RIGHTS)
def test_each_of_them_is_needed_and_named(limited, right):
    """The step that needs it fails with 403 naming the permission, or with 404 for objects that may not be viewed."""
    token, number = limited.without(right), HOOK_RIGHTS.index(right)
    network, cluster = f"10.2.{number}.", f"lacks{number}"
    refused = []
    for step in life(network, cluster):
        before = limited.written()
        answer = call(limited, *step, token)
        if answer.status >= 400:
            refused.append(answer)
            assert limited.written() == before, "nothing half-written"
            if call(limited, *step, limited.token).status >= 400:
                assert answer.status == 404, "with all permissions the step works, unless an address did not exist"
    if right == "ipam.view_namespace":
        assert {answer.status for answer in refused} == {404}
    else:
        assert [answer for answer in refused if answer.status == 403 and right in answer.reason]


@pytest.mark.parametrize("right", HOOK_RIGHTS[1:])
def test_the_check_of_a_new_entry_lists_missing_permissions(limited, right):
    body = call(limited, "GET", "", None, limited.without(right)).body
    assert (body["ready"], body["missing"]) == (False, [right])
    assert body["detail"] == f"the token lacks {right}"


def test_a_read_only_token(limited):
    """Nautobot's own "write enabled" flag on a token."""
    code = (
        "from nautobot.users.models import Token\n"
        f"print(Token.objects.create(user=Token.objects.get(key={limited.token!r}).user, write_enabled=False).key)"
    )
    token = limited.live.manage(code).strip()
    body = call(limited, "GET", "", None, token).body
    assert (body["ready"], body["missing"]) == (False, ["write access"])
    refused = call(limited, *life("10.3.0.")[0], token)
    assert (refused.status, refused.reason) == (403, "this token is not write-enabled")
