"""The available-ips of an IP address range, which core lacks: below our own URL, in core's terms, setting or not."""

import pytest
from django.urls import NoReverseMatch, resolve, reverse
from nautobot.extras.models import Status
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace

from nautobot_pve_ipam.models import Allocation
from tests.api.available_ips.serving import asking, hosts
from tests.models import data
from tests.ui.users import logged_in, permit

pytestmark = pytest.mark.django_db


@pytest.fixture
def found():
    """10.1.0.100 to 10.1.0.103 of 10.1.0.0/24."""
    data.prefix(1)
    return data.dhcp_range(1, 100, 103)


@pytest.fixture
def ask(api_client, found):
    return asking(api_client, lambda of: f"/api/plugins/pve-ipam/ip-address-ranges/{of.pk}/available-ips/", found)


def test_shown(ask):
    answer = ask("GET")
    assert [dict(item) for item in answer.data] == [
        {"ip_version": 4, "address": f"10.1.0.{host}/24"} for host in range(100, 104)
    ]
    assert hosts(ask("GET", query="?limit=1")) == ["10.1.0.100"]
    assert hosts(ask("GET", query="?offset=3")) == ["10.1.0.103"]


def test_handed_out_as_core_answers(ask, found, api_client):
    answer = ask("POST", {"description": "mine"})
    assert (answer.status_code, hosts(answer)) == (201, "10.1.0.100")
    assert not Allocation.objects.exists()
    of_prefix = reverse("ipam-api:prefix-available-ips", args=[found.parent.pk])
    of_core = api_client.post(of_prefix, {"status": "Active"}, format="json")
    assert list(answer.data) == list(of_core.data)
    assert hosts(ask("POST", [{}, {}])) == ["10.1.0.101", "10.1.0.102"]


def test_too_few_are_a_silence_unless_the_client_prefers_otherwise(ask):
    assert ask("POST", [{}] * 5).status_code == 204
    answer = ask("POST", [{}] * 5, Prefer="handling=strict")
    assert (answer.status_code, "5 wanted, 4 free" in answer.data["detail"]) == (409, True)
    assert ask("POST", [{"offset": 0}] * 5).status_code == 409
    assert not IPAddress.objects.exists()


def test_our_fields(ask):
    answer = ask("POST", {"mac": "bc:24:11:00:00:01", "hostname": "web1", "range_start": "10.1.0.102"})
    assert (hosts(answer), answer.data["dns_name"]) == ("10.1.0.102", "web1")
    assert str(Allocation.objects.get().mac) == "BC:24:11:00:00:01"
    first = ask("POST", {}, Idempotency_Key="once")
    again = ask("POST", {}, Idempotency_Key="once")
    assert (first.status_code, again.status_code, again.data["id"]) == (201, 200, first.data["id"])


def test_bounds_lie_in_the_range(ask):
    for body in ({"range_start": "10.1.0.99"}, {"ranges": [{"start": "10.1.0.100", "end": "10.1.0.104"}]}):
        answer = ask("POST", body)
        assert (answer.status_code, "is outside 10.1.0.100-10.1.0.103" in str(answer.data)) == (400, True)
    # In the query, core's rule: what is outside is no bound.
    assert hosts(ask("GET", query="?range_start=10.1.0.9&range_end=10.1.0.101")) == ["10.1.0.100", "10.1.0.101"]
    assert hosts(ask("POST", query="?range_start=10.1.0.9")) == "10.1.0.100"


def test_ipv6(ask):
    core = {"namespace": data.namespace(), "status": data.active(IPAddressRange)}
    data.saved(type(data.prefix(2))(prefix="2001:db8::/64", **core))
    found = data.saved(IPAddressRange(start_address="2001:db8::100", end_address="2001:db8::1ff", **core))
    assert hosts(ask("POST", of=found)) == "2001:db8::100"


def test_nothing_in_an_exclusive_range(ask):
    exclusive = data.dhcp_range(1, 50, 59)
    exclusive.is_exclusive = True
    exclusive.validated_save()
    assert ask("GET", of=exclusive).data == []
    assert ask("POST", of=exclusive).status_code == 204


def test_permissions(ask, found, django_user_model):
    user = django_user_model.objects.create_user("limited")
    client = logged_in(user)
    for model in (Status, Namespace):
        permit(user, model, "view")
    assert ask("POST", client=client).status_code == 403
    permit(user, IPAddress, "add", "view", host="10.1.0.101")
    assert ask("POST", client=client).status_code == 404
    permit(user, IPAddressRange, "view")
    assert ask("GET", client=client).status_code == 200
    assert ask("POST", client=client).status_code == 403
    assert not IPAddress.objects.exists()
    assert hosts(ask("POST", query="?range_start=10.1.0.101", client=client)) == "10.1.0.101"


def test_core_has_no_such_url(found):
    """Were there one, Nautobot's `override_views` could put ours in its place, and no alias would be needed."""
    with pytest.raises(NoReverseMatch):
        reverse("ipam-api:ipaddressrange-available-ips", args=[found.pk])
    assert resolve(f"/api/ipam/prefixes/{found.parent.pk}/available-ips/").view_name == "ipam-api:prefix-available-ips"
