"""Pages and metrics take as many queries in a large network as in a small one."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.models import Allocation, SDNSubnet, SDNVNet, SDNZone
from tests.crowd import BUSY, crowd
from tests.nightly import examples

pytestmark = pytest.mark.django_db

#: Subnets and allocations. A page of a list is full even in the small network.
SMALL, LARGE = (60, 60), (examples(120, 200), examples(1000, 50_000))
LISTS = ("zones", "vnets", "subnets", "allocations")


def pages(namespace):
    """The pages of one network, by name."""
    busy = Prefix.objects.get(namespace=namespace, prefix=BUSY)
    record = SDNSubnet.objects.get(prefix=busy)
    shown = (
        SDNZone.objects.get(namespace=namespace),
        SDNVNet.objects.get(zone__namespace=namespace),
        record,
        busy,
        Allocation.objects.filter(subnet=record).first(),
    )
    yield "home", "/"
    yield "metrics", "/metrics/"
    for name in LISTS:
        yield name, f"/plugins/pve-ipam/{name}/"
    for thing in shown:
        yield type(thing).__name__, thing.get_absolute_url()


def count(client, url, headers):
    client.get(url, headers=headers)  # what is looked up once per process, or kept by core for the object
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url, headers=headers).status_code == 200, url
    return len(queries)


def test_pages_and_metrics(api_client):
    counts = []
    for size in (SMALL, LARGE):
        namespace = crowd(f"{size}", *size)
        requests = {
            (name, *headers): (url, headers)
            for name, url in pages(namespace)
            for headers in ({}, {"HX-Request": "true"})  # the page, and its rows
        }
        counts.append({what: count(api_client, *request) for what, request in requests.items()})
    small, large = counts
    # Core keeps some of what it looks up for five seconds, which may be over before a page is counted.
    grown = {what: count(api_client, *requests[what]) for what in small if large[what] > small[what]}
    assert {what: (small[what], now) for what, now in grown.items() if now > small[what]} == {}
