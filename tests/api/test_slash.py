"""Writes to a URL without its last slash: Django would redirect them, and clients follow with a GET or without body."""

import pytest

from tests.api.hooks.entry import Entry, mac
from tests.inside import Inside

S = "10.0.0.0-24"


@pytest.fixture
def entry(api_client):
    entry = Entry(Inside(api_client))
    entry.made(entry.put_subnet(S))
    return entry


def test_hooks_are_served(entry):
    guest = {"zone": "simple1", "mac": mac(1), "hostname": "web1"}
    first = entry.call("POST", f"subnets/{S}/next-free-ip", guest)
    assert (first.status, first.body["mac"]) == (201, mac(1))
    assert entry.call("POST", f"subnets/{S}/next-free-ip?offset=0", guest).body == first.body
    assert entry.call("PUT", "ips/10.0.0.1", guest).status == 200
    assert entry.call("PATCH", "ips/10.0.0.1", {**guest, "hostname": "web2"}).body["hostname"] == "web2"
    assert entry.call("DELETE", "ips/10.0.0.1?zone=simple1").status == 204
    assert entry.call("DELETE", f"subnets/{S}?zone=simple1").status == 204
    assert entry.held()["prefixes"] == []


def test_with_and_without_slash_is_one_request_for_an_idempotency_key(entry):
    answers = [
        entry.live.request(
            "POST", f"namespaces/{entry.name}/subnets/{S}/next-free-ip{end}", {}, headers={"Idempotency-Key": "one"}
        )
        for end in ("", "/")
    ]
    assert [answer.status for answer in answers] == [201, 200]


def test_the_facade_is_served(entry):
    body = {"address": "10.0.0.9/24", "dns_name": "web1", "description": f"mac:{mac(1)}"}
    assert entry.live.request("POST", f"netbox/{entry.name}/ipam/ip-addresses", body).status == 201


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_write_is_redirected(entry, method):
    urls = {"", "netbox/x/y", "nowhere", "clusters", "allocations", f"clusters/{entry.id}", f"subnets/{entry.id}"}
    urls |= {f"prefixes/{entry.id}/next-free-ip", f"ip-address-ranges/{entry.id}/next-free-ip"}
    for url in sorted(urls):
        answer = entry.live.request(method, f"/api/plugins/pve-ipam/{url}".rstrip("/"), {})
        assert not 300 <= answer.status < 400, (url, answer.status)
        assert answer.status in (201, 204) or isinstance(answer.body, (dict, list)), (url, answer.body)
