"""Somebody changes prefixes and ranges through core's API while addresses are allocated in them: no address twice."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from nautobot_pve_ipam.services.locks import lock_key
from tests.api.hooks.entry import Entry, mac, text
from tests.live import http_request
from tests.networks import hosts
from tests.nightly import examples

SUBNET, CHILD = "10.0.0.0-24", "10.0.0.128-25"
PATIENCE = 30

#: Addresses that two objects of a namespace have, ...
TWINS = (
    "SELECT p.namespace_id, a.host FROM ipam_ipaddress a JOIN ipam_prefix p ON p.id = a.parent_id"
    " WHERE p.namespace_id = %s GROUP BY p.namespace_id, a.host HAVING count(*) > 1"
)
#: ... those whose parent is not the smallest prefix around them, ...
STRAYS = (
    "SELECT a.host, p.network, p.prefix_length FROM ipam_ipaddress a JOIN ipam_prefix p ON p.id = a.parent_id"
    " WHERE p.namespace_id = %s AND (a.host < p.network OR a.host > p.broadcast OR EXISTS"
    " (SELECT 1 FROM ipam_prefix q WHERE q.namespace_id = p.namespace_id AND q.prefix_length > p.prefix_length"
    "  AND q.network <= a.host AND q.broadcast >= a.host))"
)
#: ... and those in a range in which core allows none.
FORBIDDEN = (
    "SELECT a.host FROM ipam_ipaddress a JOIN ipam_prefix p ON p.id = a.parent_id"
    " JOIN ipam_prefix q ON q.namespace_id = p.namespace_id JOIN ipam_ipaddressrange r ON r.parent_id = q.id"
    " WHERE p.namespace_id = %s AND r.is_exclusive AND r.start_host <= a.host"
    " AND r.end_host >= a.host"
)


class Place:
    """A namespace with 10.0.0.0/24, made by the facade or by core, in a container."""

    def __init__(self, live, *, facade):
        self.live, self.namespaces = live, []
        self.entry = self.namespace()
        if facade:
            self.record = self.facade("prefixes/", {"prefix": "10.0.0.0/24"}).body["id"]
        else:
            self.entry.prefix("10.0.0.0/24")
        found = live.request("GET", f"/api/ipam/prefixes/?namespace={self.entry.id}&prefix=10.0.0.0/24")
        self.subnet = found.body["results"][0]["id"]

    def namespace(self):
        made = Entry(self.live)
        made.prefix("10.0.0.0/16", type="container")
        self.namespaces.append(made)
        return made

    def core(self, method, path, body=None):
        return self.live.request(method, f"/api/ipam/{path}", body)

    def facade(self, path, body):
        return self.live.request("POST", f"netbox/{self.entry.name}/ipam/{path}", body)

    def rows(self, sql):
        with self.live.connect() as connection, connection.cursor() as cursor:
            found = []
            for made in self.namespaces:
                cursor.execute(sql, [made.id])
                found += cursor.fetchall()
            return found


# Writers: the answers to one round of changes


def children(place):
    """A child prefix comes, becomes a pool and a network again, shrinks, grows and goes."""
    fields = {"prefix": "10.0.0.128/25", "namespace": {"name": place.entry.name}, "status": "Active"}
    yield (made := place.core("POST", "prefixes/", fields))
    child = f"prefixes/{made.body['id']}/"
    for change in ({"type": "pool"}, {"type": "network"}, {"prefix": "10.0.0.128/26"}, {"prefix": "10.0.0.128/25"}):
        yield place.core("PATCH", child, change)
    yield place.core("PUT", child, {**fields, "description": "again"})
    yield place.core("DELETE", child)


def namespaces(place):
    """A child prefix comes and is moved to another namespace with its addresses, where it goes."""
    fields = {"prefix": "10.0.0.192/26", "namespace": {"name": place.entry.name}, "status": "Active"}
    yield (made := place.core("POST", "prefixes/", fields))
    child = f"prefixes/{made.body['id']}/"
    yield place.core("PATCH", child, {"namespace": place.namespace().id})
    yield place.core("DELETE", child)


def ranges(place):
    """Ranges come, become exclusive unless there are addresses in them already, and go."""
    for first in (20, 60, 200):
        fields = {"start_address": f"10.0.0.{first}", "end_address": f"10.0.0.{first + 30}", "status": "Active"}
        fields["namespace"] = {"name": place.entry.name}
        yield (made := place.core("POST", "ip-address-ranges/", {**fields, "is_exclusive": first == 200}))
        if made.status == 201:
            found = f"ip-address-ranges/{made.body['id']}/"
            yield place.core("PATCH", found, {"is_exclusive": True})
            yield place.core("DELETE", found)


def pve(place):
    """PVE makes a subnet in the prefix, and deletes it unless guests are in it."""
    yield place.entry.put_subnet(CHILD, gateway="10.0.0.129")
    yield place.entry.delete_subnet(CHILD)


# Clients: their answers


def singles(place):
    return [place.entry.post(SUBNET, {"vmid": 100 + number}) for number in range(8)]


def in_the_child(place):
    return [place.entry.post(CHILD) for _ in range(8)]


def lists(place):
    return [place.entry.post(SUBNET, [{}] * 20) for _ in range(2)]


def hooks(place):
    numbers = range(140, 148)
    return [place.entry.call("PUT", f"ips/10.0.0.{n}/", {"mac": mac(n), "vmid": 100 + n}) for n in numbers]


def facade(place):
    url = f"prefixes/{place.record}/available-ips/"
    return [place.facade(url, {"dns_name": f"web{n}", "description": f"mac:{mac(200 + n)}"}) for n in range(8)]


def pages(place):
    browser = Browser(place.live)
    answers = [
        browser.submit(f"/plugins/pve-ipam/prefixes/{place.subnet}/allocate/", {"offset": "0"}) for _ in range(6)
    ]
    return [as_answer(place, answer) for answer in answers]


def as_answer(place, page):
    """A response of the page as the API would give it: it leads to the address or allocation, or shows an error."""
    found = re.search(r"[0-9a-f-]{36}", page.headers.get("Location", ""))
    if not found:
        return replace(page, status=409 if page.status == 200 else page.status, body={})
    with place.live.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.host FROM ipam_ipaddress a LEFT JOIN nautobot_pve_ipam_allocation l ON l.ip_address_id = a.id"
            " WHERE a.id = %(id)s OR l.id = %(id)s",
            {"id": found[0]},
        )
        return replace(page, status=201, body={"address": text(*cursor.fetchone())})


class Browser:
    """A logged-in session for forms."""

    def __init__(self, live):
        self._url, self._cookies = live.url, {}
        self.submit("/login/", {"username": "admin", "password": "admin"})

    def submit(self, path, fields):
        self._send("GET", path)
        fields = {**fields, "csrfmiddlewaretoken": self._cookies["csrftoken"]}
        return self._send("POST", path, urlencode(fields).encode())

    def _send(self, method, path, body=None):
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Accept": "text/html", "Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
        answer = http_request(method, self._url + path, body, headers=headers)
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.split(";")[0].partition("=")
            self._cookies[name] = value
        return answer


@pytest.mark.parametrize("writer", [children, namespaces, ranges, pve], ids=lambda writer: writer.__name__)
def test_no_address_is_given_twice(writer, live):
    place = Place(live, facade=writer is not pve)
    clients = [singles, in_the_child, lists, hooks, pages, *([facade] if writer is not pve else [])]
    with ThreadPoolExecutor(len(clients) + 1) as pool:
        allocating = [pool.submit(client, place) for client in clients]
        written = []
        for _ in range(examples(2, 40)):
            written += pool.submit(lambda: list(writer(place))).result()
            if all(future.done() for future in allocating):
                break
        answers = [answer for future in allocating for answer in future.result()]
    assert max(answer.status for answer in written) < 500, written
    assert {answer.status for answer in answers} <= {201, 404, 409}, answers
    made = [answer.body for answer in answers if answer.status == 201]
    told = [host for body in made for host in (hosts(body) if isinstance(body, list) else [hosts(body)])]
    assert told
    if writer is not namespaces:  # an address that has moved away with its prefix may be given again
        assert [host for host, times in Counter(told).items() if times > 1] == []
    assert place.rows(TWINS) == place.rows(STRAYS) == place.rows(FORBIDDEN) == []


@pytest.fixture
def place(live):
    return Place(live, facade=True)


def while_allocating(place, *changes):
    """The answers to changes that wait, one behind the other, until an allocation in 10.0.0.0/24 has ended."""
    key = lock_key("prefix", place.subnet)
    with place.live.connect() as connection, connection.cursor() as cursor, ThreadPoolExecutor(len(changes)) as pool:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [key])
        answers = []
        try:
            for change in changes:
                answers.append(pool.submit(change))
                deadline, waiting = time.monotonic() + PATIENCE, 0
                while waiting < len(answers) and not answers[-1].done() and time.monotonic() < deadline:
                    cursor.execute(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                    (waiting,) = cursor.fetchone()
        finally:
            cursor.execute("SELECT pg_advisory_unlock_shared(%s)", [key])
        assert waiting == len(answers), [answer.result() for answer in answers]
        return [answer.result() for answer in answers]


@pytest.mark.postgresql
def test_changes_wait_for_allocations_under_way(place):
    entry = {"namespace": {"name": place.entry.name}, "status": "Active"}
    (made,) = while_allocating(place, lambda: place.core("POST", "prefixes/", {"prefix": "10.0.0.128/26", **entry}))
    child = f"prefixes/{made.body['id']}/"
    closed = {"start_address": "10.0.0.20", "end_address": "10.0.0.29", "is_exclusive": True, **entry}
    for change in (
        lambda: place.core("PATCH", child, {"prefix": "10.0.0.128/25"}),
        lambda: place.core("PATCH", child, {"type": "pool"}),
        lambda: place.core("DELETE", child),
        lambda: place.core("POST", "ip-address-ranges/", closed),
        lambda: place.live.request("PATCH", f"subnets/{place.record}/", {"gateway": "10.0.0.1"}),
        lambda: place.core("DELETE", f"prefixes/{place.subnet}/"),
    ):
        (answer,) = while_allocating(place, change)
        assert answer.status in (200, 201, 204), answer


#: A subnet of PVE whose record does not suit its prefix, or its zone.
TORN = (
    "SELECT s.id FROM nautobot_pve_ipam_sdnsubnet s JOIN ipam_prefix p ON p.id = s.prefix_id"
    " JOIN nautobot_pve_ipam_sdnvnet v ON v.id = s.vnet_id JOIN nautobot_pve_ipam_sdnzone z ON z.id = v.zone_id"
    " WHERE %s IN (z.namespace_id, p.namespace_id) AND (z.namespace_id <> p.namespace_id OR p.prefix_length <> 24)"
)


@pytest.mark.postgresql
@pytest.mark.parametrize("pve_comes_first", [True, False])
@pytest.mark.parametrize("zone_has_more", [True, False])
@pytest.mark.parametrize("change", ["namespace", "prefix"])
def test_pve_makes_a_subnet_of_a_prefix_that_an_admin_moves_or_resizes(live, change, zone_has_more, pve_comes_first):
    """Each is checked against what the other has just written: the record fits its prefix, or one is refused."""
    place = Place(live, facade=False)
    if zone_has_more:
        place.entry.made(place.entry.put_subnet("10.0.9.0-24"))
    to = {"namespace": place.namespace().id, "prefix": "10.0.0.128/25"}[change]
    changes = [
        lambda: place.entry.put_subnet(SUBNET, gateway="10.0.0.1", adopt=True),
        lambda: place.core("PATCH", f"prefixes/{place.subnet}/", {change: to}),
    ]
    answers = while_allocating(place, *(changes if pve_comes_first else reversed(changes)))
    made, edited = answers if pve_comes_first else reversed(answers)
    is_refused = pve_comes_first and (change == "prefix" or zone_has_more)
    assert (made.status, edited.status) == (201, 409 if is_refused else 200), (made, edited)
    if is_refused:
        why = "gateway 10.0.0.1 is not a usable address" if change == "prefix" else "would be left with"
        assert why in edited.body["detail"]
    assert place.rows(TORN) == []


@pytest.mark.postgresql
@pytest.mark.parametrize("change", ["namespace", "prefix"])
def test_somebody_makes_a_subnet_of_a_prefix_that_another_admin_moves_or_resizes(place, change):
    """As above, without PVE: the first one's change has been checked before the second one's is written."""
    record = place.live.request("GET", f"subnets/{place.record}/").body
    assert place.live.request("DELETE", f"subnets/{place.record}/").status == 204
    record = {"vnet": record["vnet"]["id"], "prefix": place.subnet, "gateway": "10.0.0.1"}
    to = {"namespace": place.namespace().id, "prefix": "10.0.0.128/25"}[change]
    edited, made = while_allocating(
        place,
        lambda: place.core("PATCH", f"prefixes/{place.subnet}/", {change: to}),
        lambda: place.live.request("POST", "subnets/", record),
    )
    assert (edited.status, made.status) == (200, 409), (edited, made)
    why = "is not in namespace" if change == "namespace" else "Gateway 10.0.0.1 is not in 10.0.0.128/25"
    assert why in made.body["detail"]
    assert place.rows(TORN) == []


@pytest.mark.postgresql
def test_other_changes_and_other_allocations_do_not_wait(place):
    with place.live.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [lock_key("prefix", place.subnet)])
        assert place.core("PATCH", f"prefixes/{place.subnet}/", {"description": "servers"}).status == 200
        assert place.core("POST", "prefixes/", {
            "prefix": "10.0.1.0/24", "namespace": {"name": place.entry.name}, "status": "Active"
        }).status == 201  # fmt: skip
        assert place.entry.post(SUBNET).status == 201
