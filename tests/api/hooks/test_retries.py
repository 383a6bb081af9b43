"""No retry leaks an address: every step that a client can take in a subnet with two DHCP ranges.

A step asks range after range, in either order, until one has an address; the answer to one of its requests may be lost,
and then it ends there. It begins in one of twelve states: the guest holds nothing, or an address of the first or of the
second range, and others leave something free in each range or not. What comes of it depends on nothing but that state.
So trying each step in each state tries every sequence of steps, whatever becomes free or full between them.
"""

import json
from itertools import product

import pytest
from nautobot.ipam.models import IPAddress, Namespace, Prefix
from nautobot.users.models import Token
from pve_nautobot import Client
from pve_nautobot.errors import CutOff, NoFreeAddress
from pve_nautobot.transport import Response

from nautobot_pve_ipam.models import Allocation
from tests.api.hooks.entry import ZONE, Entry, dhcp, mac
from tests.api.hooks.stock_plugin import Died, StockPlugin
from tests.inside import Inside
from tests.models import data

S = "10.0.0.0-24"
#: The first octets of a range of four addresses; a guest, or two in a list, need at most half of them.
RANGES = {1: [10, 11, 12, 13], 2: [20, 21, 22, 23]}
ORDERS = [(1, 2), (2, 1)]
FULL = [set(), {1}, {2}, {1, 2}]


class Lost(Exception):
    """The server has answered, but the answer did not arrive."""


class Wire:
    """Nautobot, for any client; while `lose` is set, no answer arrives."""

    url = Inside.url

    def __init__(self, inside, token):
        self._inside, self.token, self.lose = inside, token, False

    def request(self, *args, **options):
        answer = self._inside.request(*args, **options)
        if self.lose:
            raise Lost
        return answer

    def send(self, request):
        """As a transport of the Python client."""
        answer = self._inside.request(request.method, request.url, request.body, headers=dict(request.headers))
        if self.lose:
            raise CutOff("the answer was lost")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, answer.reason, headers, json.dumps(answer.body).encode())


class Hook:
    """The hook, called once for a guest."""

    guests = [{"mac": mac(1), "vmid": 101, "hostname": "web1"}]

    def __init__(self, entry, wire):
        self._url, self.wire = f"namespaces/{entry.name}/subnets/{S}/next-free-ip/", wire

    def ask(self, start, end):
        """The hosts that the guests got, or None if the range is full. Raises Lost."""
        bodies = [{**guest, "zone": ZONE, "range_start": start, "range_end": end} for guest in self.guests]
        answer = self.wire.request("POST", self._url, self.body(bodies))
        if answer.status == 409 and answer.body["code"] == "no_free_address":
            return None
        assert answer.status in (200, 201), answer
        held = answer.body if isinstance(answer.body, list) else [answer.body]
        return [one["address"].split("/")[0] for one in held]

    def body(self, bodies):
        return bodies[0]


class List(Hook):
    """The hook, called once for two guests: all or none."""

    guests = [{"mac": mac(number), "vmid": 100 + number, "hostname": f"web{number}"} for number in (1, 2)]

    def body(self, bodies):
        return bodies


class PythonClient(Hook):
    """The Python client, which itself repeats a request whose answer does not arrive."""

    def __init__(self, entry, wire):
        super().__init__(entry, wire)
        self._client = Client(wire.url, entry.name, wire.token, transport=wire, sleep=lambda _seconds: None)

    def ask(self, start, end):
        try:
            held = self._client.next_free_ip(
                S.replace("-", "/"), range_start=start, range_end=end, zone=ZONE, **self.guests[0]
            )
        except NoFreeAddress:
            return None
        except CutOff as error:
            raise Lost from error
        return [held.address.split("/")[0]]


class Facade(Hook):
    """PVE's stock NetBox plugin: it looks up the range, and then asks. The answer to the second request gets lost."""

    def __init__(self, entry, wire):
        super().__init__(entry, wire)
        self._plugin = StockPlugin(f"/api/plugins/pve-ipam/netbox/{entry.name}", wire.token, wire.request)

    def ask(self, start, end):
        guest = {"hostname": "web1", "description": f"mac:{mac(1)}"}
        lose, self.wire.lose = self.wire.lose, False
        try:
            found = self._plugin.play("add_range_next_freeip", start=start, end=end, **guest)
        except Died:
            found = None
        if lose:
            raise Lost
        return [found] if found else None


@pytest.fixture
def entry(api_client):
    entry = Entry(Inside(api_client))
    entry.made(entry.put_subnet(S, dhcp_ranges=dhcp("10.0.0.10..10.0.0.13", "10.0.0.20..10.0.0.23")))
    return entry


@pytest.fixture
def wire(entry, admin):
    return Wire(entry.live, Token.objects.create(user=admin).key)


def begin(entry, guests, held, full):
    """Guests that hold addresses of a range, or none, and others that hold all that is left in the full ones."""
    space = Namespace.objects.get(pk=entry.id)
    IPAddress.objects.filter(parent__namespace=space).delete()
    own = RANGES[held][: len(guests)] if held else []
    for guest, last in zip(guests if held else [], own, strict=True):
        entry.made(entry.put_ip(f"10.0.0.{last}", **guest))
    subnet = Prefix.objects.get(namespace=space)
    others = [last for number in full for last in RANGES[number] if last not in own]
    IPAddress.objects.bulk_create(
        IPAddress(address=f"10.0.0.{last}/24", parent=subnet, status=data.active(IPAddress), type="host")
        for last in others
    )
    return [f"10.0.0.{last}" for last in own]


def step(client, order, lost):
    """Ask range after range; the answer to the request number `lost` is lost."""
    for number, part in enumerate(order, 1):
        client.wire.lose = number == lost
        if got := client.ask(*(f"10.0.0.{last}" for last in (RANGES[part][0], RANGES[part][-1]))):
            return got
    return None


def holding(guests):
    """What the guests hold, in their order; each of them at most one address."""
    found = [
        [allocation.ip_address.host for allocation in Allocation.objects.filter(mac=guest["mac"])] for guest in guests
    ]
    assert {len(hosts) for hosts in found} <= {0, 1}, found
    return [host for hosts in found for host in hosts]


@pytest.mark.parametrize("client", [Hook, List, PythonClient, Facade])
def test_every_step_in_every_state(entry, wire, client):
    client = client(entry, wire)
    for held, full, order, lost in product((None, 1, 2), FULL, ORDERS, (None, 1, 2)):
        if lost == 2 and (held or order[0] not in full):
            continue  # the first request is answered with an address: there is no second
        before = begin(entry, client.guests, held, full)
        try:
            told = step(client, order, lost)
        except Lost:
            told = Lost
        after, case = holding(client.guests), (held, full, order, lost)
        if before:
            assert after == before, case
        else:
            asked = order[:lost] if lost else order
            given = next((part for part in asked if part not in full), None)
            assert after == [f"10.0.0.{last}" for last in RANGES.get(given, [])[: len(client.guests)]], case
        assert told in (Lost, after or None), case
        assert (told is Lost) <= (lost is not None), case


@pytest.mark.parametrize("body", [{}, [{}, {"vmid": 101}]])
def test_a_key_stands_for_a_mac(entry, wire, body):
    """Without a MAC, the header Idempotency-Key: the same request with it gets the same, whatever is full by now."""
    ranges = {"ranges": [{"start": "10.0.0.10", "end": "10.0.0.13"}, {"start": "10.0.0.20", "end": "10.0.0.23"}]}
    bodies = [{**one, **ranges} for one in body] if isinstance(body, list) else {**body, **ranges}
    for number, (before, after) in enumerate(product(FULL, FULL)):
        begin(entry, [], None, before)

        def ask(key=f"key {number}"):
            url = f"namespaces/{entry.name}/subnets/{S}/next-free-ip/"
            return wire.request("POST", url, bodies, headers={"Idempotency-Key": key})

        first = ask()
        assert first.status == (409 if before == {1, 2} else 201)
        given = set(Allocation.objects.values_list("ip_address__host", flat=True))
        IPAddress.objects.filter(pve_allocation=None).delete()
        taken = [last for part in after for last in RANGES[part] if f"10.0.0.{last}" not in given]
        subnet = Prefix.objects.get(namespace=entry.id)
        IPAddress.objects.bulk_create(
            IPAddress(address=f"10.0.0.{last}/24", parent=subnet, status=data.active(IPAddress), type="host")
            for last in taken
        )
        again = ask()
        if given:
            assert (again.status, again.body) == (200, first.body)
            assert set(Allocation.objects.values_list("ip_address__host", flat=True)) == given
        else:
            assert again.status == (409 if after == {1, 2} else 201)
