"""What the endpoint takes beyond core: offset, ranges, exclude, a guest, an Idempotency-Key, and being strict."""

import json

import pytest
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import IPAddress

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNVNet, SDNZone
from tests.api.available_ips.serving import hosts
from tests.models import data
from tests.ui.users import logged_in, permit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("served")]

MAC = "bc:24:11:00:00:01"


def refused(answer, status, sentence, field="detail"):
    assert answer.status_code == status, answer.data
    assert list(answer.data) == [field]
    assert sentence in str(answer.data[field])


def test_offset(ask):
    assert hosts(ask("GET", query="?offset=9&limit=2")) == ["10.0.0.10", "10.0.0.11"]
    assert hosts(ask("POST", query="?offset=9")) == "10.0.0.10"
    assert hosts(ask("POST", {"offset": 9})) == "10.0.0.11"
    assert hosts(ask("POST", [{"offset": 1}, {}])) == ["10.0.0.2", "10.0.0.3"]
    for answer in (ask("POST", {"offset": -1}), ask("POST", query="?offset=-1"), ask("GET", query="?offset=-1")):
        refused(answer, 400, "offset -1 is less than 0", "offset")
    refused(ask("POST", {"offset": 2}, "?offset=3"), 400, "offset is given twice: 2 and 3", "offset")
    refused(ask("POST", {"offset": 256}), 400, "is beyond the 256 addresses", "offset")
    assert IPAddress.objects.count() == 4


def test_bounds_and_ranges_in_the_body(ask):
    assert hosts(ask("POST", {"range_start": "10.0.0.50", "range_end": "10.0.0.50"})) == "10.0.0.50"
    ranges = [{"start": "10.0.0.200", "end": "10.0.0.200"}, {"start": "10.0.0.100", "end": "10.0.0.101"}]
    assert hosts(ask("POST", [{"ranges": ranges}, {}, {}])) == ["10.0.0.200", "10.0.0.100", "10.0.0.101"]
    where = "10.0.0.200-10.0.0.200, 10.0.0.100-10.0.0.101 of 10.0.0.0/24"
    refused(ask("POST", {"ranges": ranges}), 409, f"No free address in {where}")
    refused(ask("POST", {"range_start": "10.1.0.1"}), 400, "range_start 10.1.0.1 is outside 10.0.0.0/24", "range_start")
    refused(ask("POST", {"offset": 1}, "?range_end=10.1.0.1"), 400, "range_end 10.1.0.1 is outside", "range_end")


def test_exclude(ask):
    query = "?exclude=10.0.0.1-10.0.0.9&exclude=10.0.0.10,10.0.0.12/31"
    assert hosts(ask("GET", query=f"{query}&limit=2")) == ["10.0.0.11", "10.0.0.14"]
    assert hosts(ask("POST", query=query)) == "10.0.0.11"
    assert hosts(ask("POST", {"exclude": ["10.0.0.0/28"]})) == "10.0.0.16"
    refused(ask("POST", {"exclude": "x"}), 400, "exclude x is not an address", "exclude")


def test_null_and_an_empty_string_are_no_field_of_ours(ask):
    nothing = {"offset": None, "mac": "", "exclude": "", "ranges": None}
    assert hosts(ask("POST", nothing, "?offset=&exclude=")) == "10.0.0.1"
    full = "?range_start=10.0.0.1&range_end=10.0.0.1"
    assert ask("POST", nothing, full).status_code == 204
    assert not Allocation.objects.exists()


def test_a_guest(ask):
    body = {"mac": MAC, "vmid": 101, "hostname": "Web1"}
    first = ask("POST", body)
    assert (first.status_code, hosts(first), first.data["dns_name"]) == (201, "10.0.0.1", "web1")
    assert "mac" not in first.data
    allocation = Allocation.objects.get()
    assert (str(allocation.ip_address_id), allocation.vmid) == (first.data["id"], 101)
    again = ask("POST", body)
    assert (again.status_code, again.data["id"]) == (200, first.data["id"])
    several = ask("POST", [{"hostname": "new", "dns_name": "named.example.com"}, body])
    assert (several.status_code, hosts(several)) == (201, ["10.0.0.2", "10.0.0.1"])
    assert several.data[0]["dns_name"] == "named.example.com"
    refused(ask("POST", [{"mac": MAC}, {"mac": MAC}]), 400, "twice in the list", "mac")
    refused(ask("POST", {"vmid": 1}), 400, "vmid 1 is not between 100 and", "vmid")
    changed = {change.changed_object_type.model for change in ObjectChange.objects.all()}
    assert changed == {"ipaddress", "allocation"}


def test_a_guest_is_not_put_into_another_subnet(ask, ground, prefix):
    """Into an IP address range, which core takes for free, but not into a child network."""
    ground.children(prefix, range(1), size=8, type="network")
    ground.ranges(prefix, range(8, 9), size=8)
    assert hosts(ask("POST")) == "10.0.0.1"
    assert hosts(ask("POST", {"vmid": 101})) == "10.0.0.8"


def test_an_allocation_belongs_to_the_subnet_of_the_callers_cluster(ask, ground, prefix, django_user_model):
    cluster = data.saved(PVECluster(name="alfa", status=data.active(PVECluster)))
    zone = data.saved(SDNZone(name="zone1", cluster=cluster, namespace=ground.namespace))
    subnet = data.saved(SDNSubnet(vnet=data.saved(SDNVNet(name="vnet1", zone=zone)), prefix=prefix))
    assert hosts(ask("POST", {"mac": MAC, "cluster": "alfa"})) == "10.0.0.1"
    assert Allocation.objects.get().subnet == subnet
    refused(ask("POST", {"mac": MAC, "cluster": "bravo"}), 404, "cluster bravo is not known")
    cluster.user = django_user_model.objects.create_user("pve")
    cluster.save()
    stranger = django_user_model.objects.create_superuser("stranger")
    stranger.is_superuser = False
    stranger.save()
    for model in (IPAddress, type(prefix)):
        permit(stranger, model, "view", "add")
    answer = ask("POST", {"vmid": 101, "cluster": "alfa"}, client=logged_in(stranger))
    refused(answer, 403, "cluster alfa is bound to another user")


def test_an_idempotency_key(ask):
    first = ask("POST", [{}, {}], Idempotency_Key="once")
    again = ask("POST", [{}, {}], Idempotency_Key="once")
    assert (first.status_code, again.status_code) == (201, 200)
    assert [item["id"] for item in first.data] == [item["id"] for item in again.data]
    refused(ask("POST", {}, Idempotency_Key="once"), 409, "used for another request", "Idempotency-Key")
    refused(ask("POST", {}, Idempotency_Key="x" * 300), 400, "has 300 characters", "Idempotency-Key")
    full = "?range_start=10.0.0.1&range_end=10.0.0.1"
    refused(ask("POST", {}, full, Idempotency_Key="full"), 409, "No free address in 10.0.0.1-10.0.0.1 of 10.0.0.0/24")
    assert IPAddress.objects.count() == 2


@pytest.mark.parametrize(
    ("prefer", "is_strict"),
    [
        ("handling=strict", True),
        ('respond-async, Handling="strict"; foo', True),
        ("handling=lenient", False),
        ("handling=strictly", False),
        ("return=minimal", False),
    ],
)
def test_too_few_free_addresses(ask, prefix, prefer, is_strict):
    nothing = "?range_start=10.0.0.9&range_end=10.0.0.8"
    answer = ask("POST", query=nothing, Prefer=prefer)
    if is_strict:
        refused(answer, 409, "No free address in")
    else:
        sentence = f"within the prefix {prefix} (1 requested, 0 available between 10.0.0.9 and 10.0.0.8)."
        refused(answer, 204, f"An insufficient number of IP addresses are available {sentence}")
    assert not IPAddress.objects.exists()


def test_the_gateway_of_a_pve_subnet_is_never_handed_out(ask, ground, prefix):
    zone = data.saved(SDNZone(name="zone1", namespace=ground.namespace))
    vnet = data.saved(SDNVNet(name="vnet1", zone=zone))
    data.saved(SDNSubnet(vnet=vnet, prefix=prefix, gateway="10.0.0.1"))
    ground.children(prefix, range(8, 9), size=8, type="network")
    child = type(prefix).objects.get(prefix_length=29)
    data.saved(SDNSubnet(vnet=vnet, prefix=child, gateway="10.0.0.9"))
    assert hosts(ask("GET", query="?limit=8"))[-2:] == ["10.0.0.8", "10.0.0.10"]
    assert hosts(ask("POST", [{}] * 8)) == [f"10.0.0.{last}" for last in (2, 3, 4, 5, 6, 7, 8, 10)]


def test_an_exclusive_range_across_the_end_is_passed_over(ask, ground):
    container = ground.prefix("10.2.0.0/16", type="container")
    ground.ranges(container, range(250, 251), size=10, is_exclusive=True)
    prefix = ground.prefix("10.2.1.0/24", parent=container)
    assert hosts(ask("POST", of=prefix)) == "10.2.1.4"


def test_limit_0_is_the_maximum(ask, ground):
    large = ground.prefix("10.4.0.0/16")
    for limit in ("0", "-1"):
        assert len(ask("GET", query=f"?limit={limit}", of=large).data) == 1000


def test_what_is_no_object(ask, api_client, prefix):
    url = f"/api/ipam/prefixes/{prefix.pk}/available-ips/"
    for body in ("x", 5, None, ["x"], [None], [[]]):
        answer = api_client.generic("POST", url, json.dumps(body), content_type="application/json")
        refused(answer, 400, "Expected a dictionary", "non_field_errors")
    assert api_client.get("/api/ipam/prefixes/x/available-ips/").status_code == 404
    refused(ask("GET", query="?range_start=2001:db8::1"), 400, "is IPv6, 10.0.0.0/24 is IPv4", "range_start")
