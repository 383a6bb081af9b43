"""An address alone does not say whose it is: a repeated release or change must not hit the next guest."""

import pytest

from tests.api.hooks.entry import Entry, mac, refusal
from tests.inside import Inside

S, IP = "10.0.0.0-24", "10.0.0.10"
A, B = {"mac": mac(1), "vmid": 101, "hostname": "a"}, {"mac": mac(2), "vmid": 102, "hostname": "b"}


@pytest.fixture
def entry(api_client):
    """A namespace with a subnet."""
    entry = Entry(Inside(api_client))
    entry.made(entry.put_subnet(S))
    return entry


def address(entry, method, body=None, *, etag=None, **query):
    """Call the hook of the address with a precondition: the header If-Match, or fields of the query."""
    search = "&".join(f"{key}={value}" for key, value in {"zone": "simple1", **query}.items())
    headers = {"If-Match": etag} if etag else None
    return entry.live.request(method, f"namespaces/{entry.name}/ips/{IP}/?{search}", body, headers=headers)


def of_a(answer):
    """Each way to say that the address must still be A's; `answer` is the one that A got."""
    tag = answer.headers["ETag"]
    return [
        {"mac": "bc-24-11-00-00-01"},
        {"vmid": 101},
        {"mac": mac(1), "vmid": 101},
        {"etag": tag},
        {"etag": f'"other", {tag}'},
        {"etag": f"W/{tag}"},
    ]


def test_a_late_release_or_change_does_not_hit_the_next_guest(entry):
    conditions = of_a(entry.put_ip(IP, **A))
    entry.made(entry.delete_ip(IP), 204)
    entry.made(entry.put_ip(IP, **B))
    before = entry.held()
    for condition in conditions:
        for answer in (
            address(entry, "DELETE", **condition),
            address(entry, "PATCH", {"hostname": "a2"}, **condition),
            address(entry, "PATCH", A, **condition),
        ):
            status, code, sentence = refusal(answer)
            assert (status, code) == (409, "precondition_failed"), condition
            assert sentence.startswith("address 10.0.0.10/24 is held by guest b with MAC BC:24:11:00:00:02")
    assert entry.held() == before


@pytest.mark.parametrize("number", range(6))
def test_whoever_holds_it_may_release_it_and_repeat_that(entry, number):
    condition = of_a(entry.put_ip(IP, **A))[number]
    assert address(entry, "DELETE", **condition).status == 204
    assert address(entry, "DELETE", **condition).status == 204, "it is gone: nothing to do"
    assert entry.held()["addresses"] == {}


@pytest.mark.parametrize("number", range(6))
def test_a_change_may_be_repeated(entry, number):
    """Even one that changes what the precondition names: it is so already."""
    condition = of_a(entry.put_ip(IP, **A))[number]
    change = {"mac": mac(3), "vmid": 103, "hostname": "a3"}
    answers = [address(entry, "PATCH", change, **condition) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    assert entry.held()["addresses"] == {"10.0.0.10/24": change}


def test_the_query_of_a_change_names_the_holder_and_its_body_the_change(entry):
    entry.made(entry.put_ip(IP, **A))
    assert address(entry, "PATCH", {}, mac=mac(1)).status == 200
    assert address(entry, "PATCH", {}, mac=mac(3)).status == 409
    assert address(entry, "PATCH", {"mac": mac(1)}, mac=mac(3)).status == 200, "it is so already"
    assert entry.held()["addresses"] == {"10.0.0.10/24": A}


def test_what_the_holder_does_not_have_is_not_met(entry):
    entry.made(entry.put_ip(IP, hostname="a"))
    for condition in ({"mac": mac(1)}, {"vmid": 101}):
        assert address(entry, "DELETE", **condition).status == 409
        assert address(entry, "PATCH", {"hostname": "b"}, **condition).status == 409
    assert address(entry, "DELETE", mac="").status == 204, "empty names nobody"


def test_every_answer_about_one_address_names_its_holder(entry):
    tag = entry.next_free_ip(S, range_start=IP, **A).headers["ETag"]
    answers = [
        entry.next_free_ip(S, **A),
        entry.put_ip(IP, **A),
        entry.patch_ip(IP, mac=mac(3), hostname="a3"),
        address(entry, "GET"),
    ]
    assert [(answer.status, answer.headers["ETag"]) for answer in answers] == [(200, tag)] * 4
    assert answers[-1].body == answers[-2].body
    entry.made(entry.delete_ip(IP), 204)
    assert address(entry, "GET").status == 404
    assert entry.put_ip(IP, **A).headers["ETag"] != tag


def test_whatever_exists_matches_an_asterisk(entry):
    entry.made(entry.put_ip(IP, **A))
    assert address(entry, "DELETE", etag="*").status == 204


def test_what_is_no_etag_is_refused(entry):
    entry.made(entry.put_ip(IP, **A))
    status, code, sentence = refusal(address(entry, "DELETE", etag="5"))
    assert (status, code, sentence) == (400, "invalid", "If-Match 5 is not a list of ETags")
    assert address(entry, "DELETE", mac="5").status == 400
    assert address(entry, "PATCH", {}, vmid="5").status == 400
