"""All kinds of errors: status, code, a sentence that is also the reason phrase, and nothing written."""

import re

import pytest

from nautobot_pve_ipam.services import locks
from tests.networks import Network
from tests.search.fill import Ground

SUBNET, SUBNET6, SMALL = "10.0.0.0-24", "2001:db8::-64", "10.0.1.0-29"


@pytest.fixture(scope="module")
def network(live):
    """Two subnets with some addresses, and a small one with three free addresses."""
    network = Network(live)
    network.prefix("10.0.0.0/24")
    network.prefix("2001:db8::/64")
    network.prefix("10.0.1.0/29")
    network.taken(SMALL, [{}] * 3)
    return network


@pytest.fixture(scope="module")
def elsewhere(live):
    """A namespace with a prefix that the first one does not have."""
    network = Network(live)
    network.prefix("192.0.2.0/24")
    return network


def refused(network, answer, status, code, *named):
    """Check that the response is this error, and that its single sentence contains everything in `named`."""
    assert (answer.status, answer.body.get("code")) == (status, code), answer.body
    detail = answer.body["detail"]
    assert detail.isascii()
    assert detail.isprintable()
    assert answer.reason == (detail if len(detail) <= 200 else detail[:197] + "...")
    for part in named:
        assert part in answer.reason


#: body, query, what the sentence must contain
BAD_REQUESTS = {
    "start after end": ({"range_start": "10.0.0.9", "range_end": "10.0.0.3"}, {}, ["range_start 10.0.0.9", "10.0.0.3"]),
    "start outside": ({"range_start": "10.0.2.9"}, {}, ["range_start 10.0.2.9", "10.0.0.0/24"]),
    "end outside": ({"range_end": "10.0.1.0"}, {}, ["range_end 10.0.1.0", "10.0.0.0/24"]),
    "address of the other family": ({"range_start": "2001:db8::1"}, {}, ["range_start 2001:db8::1", "IPv6", "IPv4"]),
    "mixed families": ({"range_start": "10.0.0.1", "range_end": "::1"}, {}, ["range_end ::1"]),
    "a mapped address": ({"range_start": "::ffff:10.0.0.5"}, {}, ["range_start ::ffff:10.0.0.5"]),
    "a CIDR for an address": ({"range_start": "10.0.0.0/25"}, {}, ["range_start 10.0.0.0/25"]),
    "a hostname for an address": ({"range_end": "gateway"}, {}, ["range_end gateway"]),
    "half an address": ({"range_start": "10.1"}, {}, ["range_start 10.1"]),
    "an address in octal": ({"range_start": "10.0.0.010"}, {}, ["range_start 10.0.0.010"]),
    "a number for an address": ({"range_start": 167772161}, {}, ["range_start 167772161"]),
    "an address with a zone": ({"range_start": "fe80::1%eth0"}, {}, ["range_start fe80::1%eth0"]),
    "bounds in the query": ({}, {"range_start": "10.0.0.9", "range_end": "10.0.0.3"}, ["range_start 10.0.0.9"]),
    "ranges and bounds": (
        {"ranges": [{"start": "10.0.0.5", "end": "10.0.0.6"}], "range_start": "10.0.0.1"}, {}, ["ranges", "range_start"]
    ),
    "ranges and bounds in the query": (
        {"ranges": [{"start": "10.0.0.5", "end": "10.0.0.6"}]}, {"range_end": "10.0.0.9"}, ["ranges", "range_end"]
    ),
    "an empty list of ranges": ({"ranges": []}, {}, ["ranges []"]),
    "a range without an end": ({"ranges": [{"start": "10.0.0.5"}]}, {}, ["ranges", "end"]),
    "a reversed range": ({"ranges": [{"start": "10.0.0.5", "end": "10.0.0.4"}]}, {}, ["10.0.0.5", "10.0.0.4"]),
    "a range outside": (
        {"ranges": [{"start": "10.0.0.5", "end": "10.0.0.6"}, {"start": "10.0.0.5", "end": "10.0.1.6"}]},
        {},
        ["ranges", "10.0.1.6"],
    ),
    "ranges that are a number": ({"ranges": 5}, {}, ["ranges"]),
    "ranges in the query": ({}, {"ranges": "10.0.0.5-10.0.0.6"}, ["ranges"]),
    "offset -1": ({"offset": -1}, {}, ["offset -1"]),
    "offset x": ({"offset": "x"}, {}, ["offset x"]),
    "offset 10^30": ({"offset": 10**30}, {}, [f"offset {10**30}"]),
    "offset of 100 digits": ({"offset": 10**100}, {}, ["offset 1000"]),
    "offset beyond the prefix": ({"offset": 256}, {}, ["offset 256", "256 addresses"]),
    "offset 1.5": ({"offset": 1.5}, {}, ["offset 1.5"]),
    "offset true": ({"offset": True}, {}, ["offset True"]),
    "offset -1 in the query": ({}, {"offset": "-1"}, ["offset -1"]),
    "offset 10^30 in the query": ({}, {"offset": str(10**30)}, [f"offset {10**30}"]),
    "an invalid exclusion": ({"exclude": ["10.0.0.1", "x"]}, {}, ["exclude x"]),
    "a reversed exclusion": ({"exclude": ["10.0.0.9-10.0.0.1"]}, {}, ["exclude 10.0.0.9-10.0.0.1"]),
    "an exclusion with two families": ({"exclude": "10.0.0.9-::1"}, {}, ["exclude 10.0.0.9-::1"]),
    "an exclusion with an invalid length": ({"exclude": ["10.0.0.0/33"]}, {}, ["exclude 10.0.0.0/33"]),
    "an exclusion that is a number": ({"exclude": [5]}, {}, ["exclude 5"]),
    "exclusions that are not a list": ({"exclude": {"a": 1}}, {}, ["exclude"]),
    "an invalid exclusion in the query": ({}, {"exclude": ["10.0.0.1", "y"]}, ["exclude y"]),
    "a MAC too short": ({"mac": "bc:24:11:00:00"}, {}, ["mac bc:24:11:00:00"]),
    "a MAC too long": ({"mac": "bc:24:11:00:00:01:02"}, {}, ["mac bc:24:11:00:00:01:02"]),
    "a MAC with invalid digits": ({"mac": "bc:24:11:00:00:0g"}, {}, ["mac bc:24:11:00:00:0g"]),
    "a MAC in two halves": ({"mac": "bc2411-000001"}, {}, ["mac bc2411-000001"]),
    "a MAC with mixed separators": ({"mac": "aa:bb-cc:dd-ee:ff"}, {}, ["mac aa:bb-cc:dd-ee:ff"]),
    "a MAC that is a number": ({"mac": 1}, {}, ["mac 1"]),
    "one MAC twice": ([{"mac": "bc:24:11:00:00:01"}, {"mac": "BC2411000001"}], {}, ["mac BC:24:11:00:00:01"]),
    "vmid 99": ({"vmid": 99}, {}, ["vmid 99"]),
    "vmid 10^9": ({"vmid": 10**9}, {}, ["vmid 1000000000"]),
    "vmid x": ({"vmid": "x"}, {}, ["vmid x"]),
    "vmid in a list": ([{"vmid": 100}, {"vmid": 99}], {}, ["vmid 99"]),
    "a long hostname": ({"hostname": "x" * 256}, {}, ["hostname", "255"]),
    "a hostname that is a list": ({"hostname": []}, {}, ["hostname"]),
    "a NUL": ({"hostname": "a\0"}, {}, ["hostname", "U+0000"]),
    "a lone surrogate": ({"status": {"name": "\ud800"}}, {}, ["name", "U+D800"]),
    "a NUL in a custom field": ({"custom_fields": {"x": ["\0"]}}, {}, ["x", "U+0000"]),
    "an unknown status": ({"status": "Nonsense"}, {}, ["status", "Nonsense"]),
    "a status of another model": ({"status": "Available"}, {}, ["status Available"]),
    "a list of statuses": ({"status": ["Active"]}, {}, ["status ['Active']"]),
    "an ambiguous status": ({"status": {}}, {}, ["status", "{}"]),
    "a status by an unknown field": ({"status": {"nonsense": 1}}, {}, ["status", "nonsense"]),
    "an unknown type": ({"type": "nonsense"}, {}, ["type", "nonsense"]),
    "a type of the other family": ({"type": "slaac"}, {}, ["type", "IPv6"]),
    "a role of another model": ({"role": "DHCP"}, {}, ["role DHCP"]),
    "an unknown tenant": ({"tenant": "Nonsense"}, {}, ["tenant", "Nonsense"]),
    "an unknown tag": ({"tags": [{"name": "Nonsense"}]}, {}, ["tags", "Nonsense"]),
    "tags that are not a list": ({"tags": "Nonsense"}, {}, ["tags"]),
    "custom fields that are a number": ({"custom_fields": 5}, {}, ["custom_fields"]),
    "an invalid DNS name": ({"dns_name": "two words"}, {}, ["dns_name"]),
    "a long description": ({"description": "x" * 256}, {}, ["description", "255"]),
    "an unknown field": ({"rang_start": "10.0.0.9"}, {}, ["rang_start"]),
    "an unknown field in a list": ([{}, {"rang_start": "10.0.0.9"}], {}, ["rang_start"]),
    "an unknown field in the query": ({}, {"rang_start": "10.0.0.9"}, ["rang_start"]),
    "a limit, which is for previews": ({}, {"limit": "2"}, ["limit"]),
    "an address": ({"address": "10.0.0.9/24"}, {}, ["address"]),
    "contradicting offsets": ({"offset": 1}, {"offset": "2"}, ["offset", "1 and 2"]),
    "contradicting bounds": (
        {"range_start": "10.0.0.5"}, {"range_start": "10.0.0.6"}, ["range_start", "10.0.0.5", "10.0.0.6"]
    ),
    "contradicting exclusions": (
        {"exclude": "10.0.0.5"}, {"exclude": "10.0.0.6-10.0.0.7"}, ["exclude", "10.0.0.5", "10.0.0.6-10.0.0.7"]
    ),
    "contradictions in a list": ([{"offset": 1}, {"offset": 2}], {}, ["offset", "1 and 2"]),
    "contradicting ranges in a list": (
        [{"ranges": [{"start": "10.0.0.5", "end": end}]} for end in ("10.0.0.6", "10.0.0.7")],
        {},
        ["ranges", "10.0.0.5-10.0.0.6", "10.0.0.5-10.0.0.7"],
    ),
    "an empty list": ([], {}, ["list is empty"]),
    "a list longer than a page": ([{}] * 1001, {}, ["1001 addresses", "1000"]),
    "a list of numbers": ([{}, 5], {}, ["[1]"]),
    "a list of lists": ([[]], {}, ["[0]"]),
}  # fmt: skip
RAW_BODIES = {
    "malformed": (b'{"vmid": 101', ["JSON"]),
    "not JSON": (b"vmid=101", ["JSON"]),
    "not UTF-8": (b'{"hostname": "\xff"}', ["utf-8"]),
    "not a number": (b'{"vmid": NaN}', ["NaN"]),
    "an endless number": (b'{"vmid": ' + b"9" * 5000 + b"}", ["4300 digits"]),
    "a string": (b'"text"', ["str"]),
    "a null": (b"null", ["No data"]),
    "deep lists": (b"[" * 100_000, ["body", "nested"]),
    "deep objects": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, ["body", "nested"]),
    "a megabyte": (b'{"description": "' + b"x" * 1_000_000 + b'"}', ["body", "bytes"]),
    "a megabyte of spaces": (b" " * 1_000_000 + b"{}", ["body", "bytes"]),
}
BAD_PREVIEWS = {
    "limit 0": ({"limit": "0"}, ["limit 0"]),
    "limit -1": ({"limit": "-1"}, ["limit -1"]),
    "limit x": ({"limit": "x"}, ["limit x"]),
    "limit above the page size": ({"limit": "1001"}, ["limit 1001", "1000"]),
    "offset -1": ({"offset": "-1"}, ["offset -1"]),
    "bounds outside": ({"range_start": "10.0.2.0"}, ["range_start 10.0.2.0"]),
    "an unknown field": ({"limits": "3"}, ["limits"]),
}


@pytest.mark.parametrize(("body", "query", "named"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_bad_request(network, body, query, named):
    before = network.written()
    refused(network, network.post(SUBNET, body, query, headers={"Idempotency-Key": "bad"}), 400, "invalid", *named)
    assert network.written() == before


@pytest.mark.parametrize(("body", "named"), RAW_BODIES.values(), ids=RAW_BODIES)
def test_a_bad_body(network, body, named):
    before = network.written()
    refused(network, network.post(SUBNET, body), 400, "invalid", *named)
    assert network.written() == before


@pytest.mark.parametrize(("query", "named"), BAD_PREVIEWS.values(), ids=BAD_PREVIEWS)
def test_a_bad_preview(network, query, named):
    refused(network, network.get(SUBNET, query), 400, "invalid", *named)


def test_ipv4_bounds_on_an_ipv6_prefix(network):
    answer = network.post(SUBNET6, {"range_start": "10.0.0.1"})
    refused(network, answer, 400, "invalid", "range_start 10.0.0.1 is IPv4", "2001:db8::/64 is IPv6")


def test_the_field_of_an_error_is_named_as_drf_does(network):
    assert network.post(SUBNET, {"vmid": 99}).body["vmid"] == ["vmid 99 is not between 100 and 999999999"]
    assert network.post(SUBNET, {"offset": 256}).body["offset"][0].startswith("offset 256 is beyond")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_of_a_wrong_length(network, key):
    before = network.written()
    answer = network.post(SUBNET, {}, headers={"Idempotency-Key": key})
    refused(network, answer, 400, "invalid", "Idempotency-Key", str(len(key)))
    assert network.written() == before


@pytest.mark.parametrize(
    "subnet", ["10.0.0.0", "10.0.0.0-", "-24", "10.0.0.0-33", "2001:db8::-129", "x-24", "10-8", "10.0.0.0-24-24"]
)
def test_a_url_without_a_valid_subnet(network, subnet):
    url = f"namespaces/{network.name}/subnets/{subnet}/next-free-ip/"
    refused(network, network.post(url), 400, "invalid", f"subnet '{subnet}'")


def test_a_subnet_with_host_bits(network):
    refused(network, network.post("10.0.0.5-24"), 400, "invalid", "subnet '10.0.0.5-24'", "10.0.0.0/24")


def test_what_does_not_exist(network, elsewhere):
    nothing = "00000000-0000-0000-0000-000000000000"
    for url, named in (
        ("namespaces/nowhere/subnets/10.0.0.0-24/next-free-ip/", ["namespace nowhere"]),
        ("namespaces/n%C3%B6%0D%0A/subnets/10.0.0.0-24/next-free-ip/", ["namespace n?"]),
        (f"namespaces/{network.name}/subnets/10.0.0.0-25/next-free-ip/", [network.name, "10.0.0.0/25"]),
        (f"namespaces/{network.name}/subnets/192.0.2.0-24/next-free-ip/", [network.name, "192.0.2.0/24"]),
        (f"prefixes/{nothing}/next-free-ip/", [f"prefix {nothing}"]),
        (f"ip-address-ranges/{nothing}/next-free-ip/", [f"IP address range {nothing}"]),
    ):
        before = (network.written(), elsewhere.written())
        refused(network, network.post(url), 404, "not_found", *named)
        refused(network, network.get(url), 404, "not_found", *named)
        assert (network.written(), elsewhere.written()) == before
    assert elsewhere.post("192.0.2.0-24").status == 201, "the prefix of the other namespace exists"


def test_a_nul_in_the_url(network):
    url = "namespaces/%00/subnets/10.0.0.0-24/next-free-ip/"
    refused(network, network.get(url), 400, "invalid", "namespace", "U+0000")


@pytest.mark.parametrize("field", ["cluster", "zone"])
def test_an_unknown_caller(network, field):
    before = network.written()
    refused(network, network.post(SUBNET, {field: "nobody"}), 404, "not_found", f"{field} nobody")
    assert network.written() == before


def test_a_full_subnet(network):
    before = network.written()
    answer = network.post(SMALL, [{}] * 4)
    refused(network, answer, 409, "no_free_address", "10.0.1.0/29", network.name, "4 wanted, 3 free")
    answer = network.post(SMALL, {"range_start": "10.0.1.1", "range_end": "10.0.1.3"})
    refused(network, answer, 409, "no_free_address", "10.0.1.1-10.0.1.3", "10.0.1.0/29")
    answer = network.post(SMALL, {"exclude": "10.0.1.0/28"})
    refused(network, answer, 409, "no_free_address", "10.0.1.0/29")
    assert network.written() == before


@pytest.mark.parametrize("token", [None, "0" * 40, "nonsense"])
def test_without_a_valid_token(network, token):
    before = network.written()
    for answer in (network.post(SUBNET, token=token), network.get(SUBNET, token=token)):
        refused(network, answer, 403, "not_authenticated" if token is None else "authentication_failed")
    assert network.written() == before


def test_an_unsupported_method(network):
    answer = network.live.request("PUT", network.url(SUBNET), {})
    refused(network, answer, 405, "method_not_allowed", "PUT")
    assert {"GET", "POST"} <= set(re.split(", *", answer.headers["Allow"]))


def test_an_unsupported_media_type(network):
    before = network.written()
    answer = network.post(SUBNET, b"vmid=101", headers={"Content-Type": "application/x-www-form-urlencoded"})
    refused(network, answer, 415, "unsupported_media_type", "x-www-form-urlencoded")
    assert network.written() == before


@pytest.mark.postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("sqlstate", ["53200", "40P01", "55P03"], ids=["no room for locks", "deadlock", "lock timeout"])
def test_an_overloaded_database_is_a_503(sqlstate, api_client, monkeypatch):
    def fail(self, names, count):
        with locks.connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'too much' USING ERRCODE = '{sqlstate}'; END $$")

    monkeypatch.setattr(locks.PostgreSQLLocks, "first_free", fail)
    prefix = Ground("overload").prefix("10.0.0.0/24")
    answer = api_client.post(f"/api/plugins/pve-ipam/prefixes/{prefix.pk}/next-free-ip/", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer["Retry-After"]) > 0
