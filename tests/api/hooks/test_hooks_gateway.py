"""A gateway is never a guest's address, and a gateway that somebody else holds is refused; without a web server."""

import pytest
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.forms import SDNSubnetForm
from nautobot_pve_ipam.models import Allocation, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.ui import address_map
from nautobot_pve_ipam.ui.usage import gauges
from tests.models import data
from tests.networks import hosts

pytestmark = pytest.mark.django_db

S = "10.82.0.0-24"
API = "/api/plugins/pve-ipam"
GUEST = {"mac": "BC:24:11:00:00:01", "vmid": 101, "hostname": "web1"}


@pytest.fixture
def namespace():
    return Namespace.objects.create(name="pve")


@pytest.fixture
def call(api_client, namespace):
    """Call a hook: `call("PUT", "ips/10.82.0.1/", gateway=True)`."""

    def call(method, path, **body):
        url = f"{API}/namespaces/{namespace}/{path}"
        return getattr(api_client, method.lower())(url, body, format="json")

    return call


@pytest.fixture
def subnet(call):
    """Creates or changes the subnet."""

    def put(status=201, **body):
        answer = call("PUT", f"subnets/{S}/", zone="simple1", vnet="vnet0", **body)
        assert answer.status_code == status, answer.json()
        return answer.json()

    return put


def core_prefix(namespace, text, **fields):
    return data.saved(Prefix(prefix=text, namespace=namespace, status=data.active(Prefix), **fields))


def core_address(namespace, text):
    return data.saved(IPAddress(address=text, namespace=namespace, status=data.active(IPAddress)))


def by_hand(namespace, prefix, gateway):
    """A subnet's record as made on the pages."""
    vnet = data.saved(SDNVNet(name="web", zone=data.saved(SDNZone(name="hand", namespace=namespace))))
    return data.saved(SDNSubnet(vnet=vnet, prefix=prefix, gateway=gateway))


class TestIsNeverAGuests:
    def check(self, call, api_client, admin):
        """Preview, allocation, map and facade all begin with the second address."""
        prefix = Prefix.objects.get(network="10.82.0.0")
        preview = api_client.get(f"{API}/prefixes/{prefix.pk}/next-free-ip/", {"limit": 2}).json()
        assert hosts(preview) == ["10.82.0.2", "10.82.0.3"]
        bounds = {"range_start": "10.82.0.1", "range_end": "10.82.0.3"}
        assert hosts(call("POST", f"subnets/{S}/next-free-ip/", **bounds).json()) == "10.82.0.2"
        assert address_map.build(prefix, admin).sections[0].cells[1].kind == "gateway"
        record = SDNSubnet.objects.get(prefix=prefix)
        facade = f"{API}/netbox/pve/ipam/prefixes/{record.pk}/available-ips/"
        answer = api_client.post(facade, {"dns_name": "web2", "description": "mac:BC:24:11:00:00:02"}, format="json")
        assert hosts(answer.json()) == "10.82.0.3"

    def test_before_its_address_is_registered(self, call, subnet, api_client, admin):
        subnet(gateway="10.82.0.1")
        self.check(call, api_client, admin)

    def test_after_an_admin_has_deleted_its_address(self, call, subnet, api_client, admin):
        subnet(gateway="10.82.0.1")
        assert call("PUT", "ips/10.82.0.1/", zone="simple1", gateway=True).status_code == 201
        IPAddress.objects.get(host="10.82.0.1").delete()
        self.check(call, api_client, admin)

    def test_of_a_subnet_made_by_hand(self, call, namespace, api_client, admin):
        by_hand(namespace, core_prefix(namespace, "10.82.0.0/24"), "10.82.0.1")
        self.check(call, api_client, admin)

    def test_in_a_dhcp_range(self, call, subnet):
        made = subnet(gateway="10.82.0.11", dhcp_ranges=[{"start": "10.82.0.10", "end": "10.82.0.12"}])
        (gauge,) = gauges(SDNSubnet.objects.get(pk=made["id"]).dhcp_ranges.select_related("parent__namespace"))
        assert (gauge.size, gauge.left) == (2, 2)
        bounds = {"range_start": "10.82.0.10", "range_end": "10.82.0.12"}
        given = (
            call("POST", f"subnets/{S}/next-free-ip/", **bounds),
            call("POST", f"subnets/{S}/next-free-ip/", **bounds),
        )
        assert [hosts(answer.json()) for answer in given] == ["10.82.0.10", "10.82.0.12"]
        assert call("POST", f"subnets/{S}/next-free-ip/", **bounds).json()["code"] == "no_free_address"

    def test_in_a_pool_of_the_subnet(self, call, namespace):
        around = core_prefix(namespace, "10.82.0.0/16")
        core_prefix(namespace, "10.82.0.0/24", type="pool")
        by_hand(namespace, around, "10.82.0.0")
        assert hosts(call("POST", f"subnets/{S}/next-free-ip/").json()) == "10.82.0.1"

    def test_when_a_guest_asks_for_it(self, call, subnet):
        subnet(gateway="10.82.0.1")
        answer = call("PUT", "ips/10.82.0.1/", zone="simple1", **GUEST)
        assert (answer.status_code, answer.json()["code"]) == (409, "address_taken")
        assert "10.82.0.1 is the gateway of subnet 10.82.0.0/24" in answer.json()["detail"]
        assert call("PUT", "ips/10.82.0.1/", zone="simple1", gateway=True).status_code == 201


class TestThatSomebodyElseHolds:
    def test_is_refused_for_a_new_subnet(self, subnet, namespace):
        core_prefix(namespace, "10.82.0.0/16")
        core_address(namespace, "10.82.0.1/24")
        refused = subnet(status=409, gateway="10.82.0.1")
        assert (refused["code"], refused["detail"][:15]) == ("address_taken", "gateway 10.82.0")
        assert Prefix.objects.filter(namespace=namespace).count() == 1
        assert not SDNZone.objects.exists()

    def test_is_refused_for_a_changed_subnet(self, call, subnet):
        subnet(gateway="10.82.0.1")
        assert call("PUT", "ips/10.82.0.5/", zone="simple1", **GUEST).status_code == 201
        refused = subnet(status=409, gateway="10.82.0.5", snat=True)
        assert "gateway 10.82.0.5 is held by guest web1" in refused["detail"]
        record = SDNSubnet.objects.get()
        assert (record.gateway, record.snat) == ("10.82.0.1", False)

    def test_does_not_matter_if_nothing_changes(self, subnet):
        subnet(gateway="10.82.0.1")
        core_address(Namespace.objects.get(name="pve"), "10.82.0.1/24")
        subnet(status=200, gateway="10.82.0.1", snat=True)

    def test_can_be_adopted(self, call, subnet, namespace):
        core_prefix(namespace, "10.82.0.0/24")
        core_address(namespace, "10.82.0.1/24")
        subnet(gateway="10.82.0.1", adopt=True)
        assert call("PUT", "ips/10.82.0.1/", zone="simple1", gateway=True, adopt=True).status_code == 200

    def test_can_be_shared_by_two_clusters(self, call, subnet):
        subnet(gateway="10.82.0.1", cluster="a")
        assert call("PUT", "ips/10.82.0.1/", zone="simple1", cluster="a", gateway=True).status_code == 201
        subnet(gateway="10.82.0.1", cluster="b")

    def test_is_refused_by_the_facade(self, subnet, call, api_client):
        subnet()
        assert call("PUT", "ips/10.82.0.1/", zone="simple1", **GUEST).status_code == 201
        body = {"address": "10.82.0.1/24", "dns_name": "vnet0-gw", "description": "gateway"}
        assert api_client.post(f"{API}/netbox/pve/ipam/ip-addresses/", body, format="json").status_code == 409
        assert SDNSubnet.objects.get().gateway is None

    def test_is_refused_on_the_pages(self, subnet, call):
        made = subnet()
        assert call("PUT", "ips/10.82.0.1/", zone="simple1", **GUEST).status_code == 201
        record = SDNSubnet.objects.get(pk=made["id"])
        fields = {"vnet": record.vnet.pk, "prefix": record.prefix.pk, "gateway": "10.82.0.1"}
        form = SDNSubnetForm(fields, instance=record)
        assert not form.is_valid()
        assert form.errors["gateway"] == [f"Gateway 10.82.0.1 is held by {Allocation.objects.get()}."]
        assert SDNSubnetForm({**fields, "gateway": "10.82.0.2"}, instance=record).is_valid()
