"""Core's available-ips, served by the App, beside guarded DHCP ranges: without bounds it passes over them."""

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.extras.models import Status
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix

from nautobot_pve_ipam.models import SDNDHCPRange, SDNSubnet
from tests.api.available_ips.serving import hosts
from tests.models import data
from tests.ui.users import logged_in, permit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("served")]


@pytest.fixture(autouse=True)
def _guarded(served, monkeypatch):
    monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "guard_dhcp_ranges", True)


@pytest.fixture
def prefix():
    """10.1.0.0/24, gateway .1; its DHCP ranges are .2 to .9 and .11 to .19, and .21 to .29 is a range of nobody's."""
    subnet = data.subnet(1)
    subnet.dhcp_ranges.get().delete()
    for start, end in ((2, 9), (11, 19)):
        data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1, start, end)))
    data.dhcp_range(1, 21, 29)
    return subnet.prefix


@pytest.fixture
def client(django_user_model):
    user = django_user_model.objects.create_user("limited")
    for model in (Status, Namespace):
        permit(user, model, "view")
    for model in (IPAddress, Prefix):
        permit(user, model, "view", "add")
    return logged_in(user)


def test_without_bounds_it_passes_over_them(ask, prefix, client):
    assert hosts(ask("GET", query="?limit=4", of=prefix)) == ["10.1.0.10", "10.1.0.20", "10.1.0.21", "10.1.0.22"]
    assert hosts(ask("POST", [{}] * 3, of=prefix, client=client)) == ["10.1.0.10", "10.1.0.20", "10.1.0.21"]
    assert hosts(ask("POST", {"offset": 1}, of=prefix, client=client)) == "10.1.0.23"
    assert hosts(ask("POST", {"mac": "bc:24:11:00:00:01"}, of=prefix, client=client)) == "10.1.0.22"
    assert hosts(ask("POST", of=prefix)) == "10.1.0.24", "superusers, too: they have not named it"


def test_who_names_a_range_gets_its_addresses(ask, prefix, client):
    bounds = "?range_start=10.1.0.2&range_end=10.1.0.9"
    assert hosts(ask("POST", query=bounds, of=prefix, client=client)) == "10.1.0.2"
    inside = {"ranges": [{"start": "10.1.0.11", "end": "10.1.0.19"}]}
    assert hosts(ask("POST", [inside, inside], of=prefix, client=client)) == ["10.1.0.11", "10.1.0.12"]


def test_the_cursor_of_a_search_is_not_that_of_the_other(ask, prefix, monkeypatch):
    assert hosts(ask("POST", of=prefix)) == "10.1.0.10"
    monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "guard_dhcp_ranges", False)
    assert hosts(ask("POST", of=prefix)) == "10.1.0.2"
    monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "guard_dhcp_ranges", True)
    assert hosts(ask("POST", of=prefix)) == "10.1.0.20"


def test_in_a_child_network_and_in_ipv6(ask, prefix):
    core = {"namespace": data.namespace(), "status": data.active(Prefix)}
    vnet = SDNSubnet.objects.get().vnet
    around = data.saved(Prefix(prefix="10.1.0.0/23", type="container", **core))
    assert hosts(ask("GET", query="?limit=2", of=around)) == ["10.1.0.10", "10.1.0.20"]
    assert hosts(ask("POST", of=around)) == "10.1.0.10"
    assert hosts(ask("POST", query="?range_end=10.1.0.9", of=around)) == "10.1.0.2"
    six = data.saved(Prefix(prefix="2001:db8::/64", **core))
    found = data.saved(IPAddressRange(start_address="2001:db8::", end_address="2001:db8::ff", **core))
    data.saved(SDNDHCPRange(subnet=data.saved(SDNSubnet(vnet=vnet, prefix=six)), ip_address_range=found))
    assert hosts(ask("POST", of=six)) == "2001:db8::100"


def test_a_range_across_the_end_of_the_prefix(ask, prefix):
    """Core lets a prefix be made over the end of a range that it leaves outside."""
    core = {"namespace": data.namespace(), "status": data.active(Prefix)}
    data.saved(Prefix(prefix="10.1.0.0/28", **core))
    small = Prefix.objects.get(prefix_length=28)
    assert hosts(ask("GET", of=small)) == ["10.1.0.10"]


def test_it_takes_no_query_more_however_many_ranges_there_are(ask, prefix):
    def queries():
        ask("POST", of=prefix)
        with CaptureQueriesContext(connection) as captured:
            assert ask("POST", of=prefix).status_code == 201
        return len(captured)

    few = queries()
    subnet = SDNSubnet.objects.get()
    for start in range(40, 80, 2):
        data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1, start, start)))
    assert queries() == few
