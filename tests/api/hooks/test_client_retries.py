"""The Python client on the real API: a request that it repeats by itself never hits the next guest."""

from urllib.parse import urlsplit

import pytest
from pve_nautobot import Client
from pve_nautobot.errors import Conflict, CutOff
from pve_nautobot.transport import Response

from tests.models import data

pytestmark = pytest.mark.django_db

A, B = "BC:24:11:00:00:0A", "BC:24:11:00:00:0B"
SUBNET, RANGE = "10.0.0.0/24", {"range_start": "10.0.0.10", "range_end": "10.0.0.10"}


class LosesAnswers:
    """A transport to the API in this process, whose next answers are lost after the request was carried out."""

    def __init__(self, api_client):
        self._api, self.lost, self.sent = api_client, 0, 0

    def send(self, request):
        parts = urlsplit(request.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        key = request.headers.get("Idempotency-Key")
        headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
        answer = self._api.generic(request.method, path, request.body or b"", "application/json", **headers)
        self.sent += 1
        if self.lost:
            self.lost -= 1
            raise CutOff("the answer is lost")
        return Response(answer.status_code, answer.reason_phrase, {}, answer.content)


@pytest.fixture
def transport(api_client):
    return LosesAnswers(api_client)


@pytest.fixture
def client(transport):
    """Of a PVE whose guest B asks for an address whenever the client waits before it repeats a request."""

    def between(_seconds):
        quiet.next_free_ip(SUBNET, mac=B, zone="zone1", **RANGE)

    quiet = Client("http://nautobot", data.namespace().name, "token", transport=transport)
    quiet.put_subnet(SUBNET, "zone1", "vnet1")
    quiet.next_free_ip(SUBNET, mac=A, vmid=100, zone="zone1", **RANGE)
    return Client("http://nautobot", data.namespace().name, "token", transport=transport, sleep=between)


def test_a_release_without_precondition_is_not_repeated(client, transport):
    transport.lost, transport.sent = 1, 0
    with pytest.raises(CutOff):
        client.del_ip("10.0.0.10", zone="zone1")
    assert transport.sent == 1
    assert client.get_ips_from_mac(A).ip4 is None


def test_a_change_without_precondition_is_not_repeated(client, transport):
    transport.lost, transport.sent = 1, 0
    with pytest.raises(CutOff):
        client.update_ip("10.0.0.10", hostname="web", zone="zone1")
    assert transport.sent == 1


@pytest.mark.parametrize("who", [{"if_mac": A}, {"if_vmid": 100}, {"if_mac": A, "if_vmid": 100}])
def test_a_repeated_release_leaves_the_next_guest_alone(client, transport, who):
    transport.lost = 1
    with pytest.raises(Conflict, match="is held by guest"):
        client.del_ip("10.0.0.10", zone="zone1", **who)
    assert client.get_ips_from_mac(B).ip4 == "10.0.0.10"
    assert client.get_ips_from_mac(A).ip4 is None


def test_a_repeated_release_of_an_address_that_stays_free_succeeds(client, transport):
    client._sleep = lambda seconds: None
    transport.lost = 1
    client.del_ip("10.0.0.10", zone="zone1", if_mac=A)
    assert client.get_ips_from_mac(A).ip4 is None


def test_a_repeated_change_succeeds(client, transport):
    """It is the change itself that no longer lets the precondition hold."""
    client._sleep = lambda seconds: None
    transport.lost = 1
    assert client.update_ip("10.0.0.10", mac=B, vmid=101, zone="zone1", if_mac=A, if_vmid=100).vmid == 101
    assert client.get_ips_from_mac(B).ip4 == "10.0.0.10"


def test_a_repeated_allocation_is_the_same(client, transport):
    client.del_ip("10.0.0.10", if_mac=A)
    client._sleep = lambda seconds: None
    transport.lost = 2
    assert client.next_free_ip(SUBNET, zone="zone1", **RANGE).ip == "10.0.0.10"
