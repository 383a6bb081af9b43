"""A cluster bound to its user: nobody else acts for it, and it for no other. Two clusters share a namespace here."""

import pytest
from django.contrib.auth import get_user_model
from nautobot.ipam.models import IPAddress, Namespace
from nautobot.users.models import ObjectPermission
from rest_framework.test import APIClient

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNZone
from nautobot_pve_ipam.services.connect import connect_pve
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

SUBNET = {"zone": "z1", "vnet": "v1", "gateway": "10.0.0.1"}
NET = "subnets/10.0.0.0-24/"


class PVE:
    """A client with the token of `pve_ipam_connect`."""

    def __init__(self, user, cluster=None, namespace="shared"):
        self.namespace, self.client = namespace, APIClient()
        self.client.credentials(HTTP_AUTHORIZATION=f"Token {connect_pve(namespace, user, cluster=cluster).token}")

    def __call__(self, method, path, body=None, base="namespaces"):
        url = path if path.startswith("/") else f"/api/plugins/pve-ipam/{base}/{self.namespace}/{path}"
        answer = getattr(self.client, method.lower())(url, body, format="json")
        return answer.status_code, answer.json().get("detail") if answer.content else None


@pytest.fixture
def al(db):
    return PVE("pve-al", "al")


@pytest.fixture
def be(al):
    """The other cluster, with the guest .5 and a gateway."""
    be = PVE("pve-be", "be")
    assert be("PUT", NET, {**SUBNET, "cluster": "be"})[0] == 201
    guest = {"zone": "z1", "cluster": "be", "mac": "BC:24:11:00:00:05", "hostname": "web5"}
    assert be("PUT", "ips/10.0.0.5/", guest)[0] == 201
    return be


def held():
    return list(Allocation.objects.order_by("pk").values()), list(SDNZone.objects.order_by("pk").values())


CALLS = [
    ("PUT", NET, SUBNET),
    ("DELETE", NET, {}),
    ("POST", f"{NET}next-free-ip/", {"mac": "BC:24:11:00:00:05", "hostname": "stolen"}),
    ("PUT", "ips/10.0.0.5/", {"mac": "BC:24:11:00:00:05", "hostname": "stolen"}),
    ("PUT", "ips/10.0.0.6/", {}),
    ("PATCH", "ips/10.0.0.5/", {"hostname": "stolen"}),
    ("DELETE", "ips/10.0.0.5/", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=lambda part: part if isinstance(part, str) else "")
def test_nobody_names_the_cluster_of_another_user(al, be, method, path, body):
    unbound = PVE("pve-any")
    before = held()
    only = "user pve-al acts for cluster al only, but the request names cluster be"
    assert al(method, path, {**body, "zone": "z1", "cluster": "be"}) == (403, only)
    other = "cluster be is bound to another user than pve-any"
    assert unbound(method, path, {**body, "zone": "z1", "cluster": "be"}) == (403, other)
    none = "user pve-al acts for cluster al only, but the request names no cluster"
    if "next-free" not in path:  # without a cluster, the prefix is not its subnet
        assert al(method, path, {"zone": "z1", **body}) == (403, none)
    assert held() == before


def test_without_a_cluster_a_bound_user_gets_no_address_of_a_subnet(al, be):
    assert al("POST", f"{NET}next-free-ip/", {})[0] == 403


@pytest.mark.parametrize("path", ["aggregates/", "prefixes/?q=10.0.0.0", "ip-addresses/?q=10.0.0.5"])
def test_nor_in_the_urls_of_the_facade(al, be, path):
    assert al("GET", f"be/ipam/{path}", base="netbox")[0] == 403
    assert al("GET", f"ipam/{path}", base="netbox")[0] == 403
    assert al("GET", f"al/ipam/{path}", base="netbox")[0] == 200


def test_its_own_cluster_works(al, be):
    body = {"zone": "z1", "cluster": "al"}
    assert al("PUT", NET, {**SUBNET, **body})[0] == 201
    assert al("POST", f"{NET}next-free-ip/", {**body, "mac": "BC:24:11:00:00:07"})[0] == 201
    assert al("GET", "ips/?mac=BC:24:11:00:00:07&zone=z1&cluster=al")[0] == 200
    own = f"ips/{Allocation.objects.get(mac='BC:24:11:00:00:07').ip_address.host}/"
    assert al("PATCH", own, {**body, "hostname": "web7"})[0] == 200
    assert al("DELETE", own, body)[0] == 204
    assert al("DELETE", NET, body)[0] == 204
    assert IPAddress.objects.count() == 1, "be's guest"


def test_a_superuser_may_name_any(api_client, be):
    url = "/api/plugins/pve-ipam/namespaces/shared/ips/10.0.0.5/?cluster=be&zone=z1"
    assert api_client.delete(url).status_code == 204


def test_the_ways_around_it_through_nautobots_own_api_are_closed(al, be):
    """A token that may release addresses in the namespace may not release those of the other cluster."""
    before = held()
    guest, subnet = IPAddress.objects.get(host="10.0.0.5"), SDNSubnet.objects.get()
    cluster, api = PVECluster.objects.get(name="be"), "/api/plugins/pve-ipam"
    for method, path, body in (
        ("DELETE", f"/api/ipam/ip-addresses/{guest.pk}/", None),
        ("PATCH", f"/api/ipam/ip-addresses/{guest.pk}/", {"dns_name": "stolen"}),
        ("DELETE", f"{api}/subnets/{subnet.pk}/", None),
        ("PATCH", f"{api}/subnets/{subnet.pk}/", {"gateway": None}),
        ("PATCH", f"{api}/zones/{subnet.vnet.zone.pk}/", {"type": "vlan"}),
        ("GET", f"{api}/allocations/{guest.pve_allocation.pk}/", None),
        ("POST", f"{api}/zones/", {"name": "z9", "namespace": {"name": "shared"}, "cluster": str(cluster.pk)}),
    ):
        assert al(method, path, body)[0] in (400, 403, 404), (method, path)
    assert held() == before


@pytest.mark.parametrize("sees_namespaces", [False, True])
def test_no_zone_is_put_under_the_cluster_of_another_namespace(sees_namespaces, be):
    PVECluster.objects.update(user=None)
    stranger = PVE("pve-c", namespace="other")
    if sees_namespaces:
        permit(get_user_model().objects.get(username="pve-c"), Namespace, "view")
    refused = "cluster be belongs to another namespace, and user pve-c may not view it"
    assert stranger("PUT", NET, {**SUBNET, "cluster": "be"}) == (403, refused)
    assert stranger("POST", "be/ipam/prefixes/", {"prefix": "10.0.0.0/24"}, base="netbox") == (403, refused)
    cluster = str(PVECluster.objects.get(name="be").pk)
    zone = {"name": "z9", "namespace": {"name": "other"}, "cluster": cluster}
    assert stranger("POST", "/api/plugins/pve-ipam/zones/", zone)[0] == 400
    assert SDNZone.objects.count() == 1


def test_one_cluster_in_two_namespaces(be):
    """With two IPAM entries in PVE: for its own user, or one who may view the cluster."""
    connect_pve("second", "pve-be", cluster="be")
    be.namespace = "second"
    assert be("PUT", NET, {**SUBNET, "cluster": "be"})[0] == 201


def test_a_token_from_before_is_ready_and_works(db):
    """Made when there were neither bound clusters nor the rights to view our records."""
    old = PVE("pve-old")
    for permission in ObjectPermission.objects.filter(object_types__app_label="nautobot_pve_ipam"):
        permission.actions = [action for action in permission.actions if action != "view"]
        permission.save()
    answer = old.client.get("/api/plugins/pve-ipam/namespaces/shared/").json()
    assert (answer["ready"], answer["missing"]) == (True, [])
    assert old("PUT", NET, {**SUBNET, "cluster": "c1"})[0] == 201
    assert old("PUT", "ips/10.0.0.5/", {"zone": "z1", "cluster": "c1"})[0] == 201


def test_its_user_is_shown_and_may_be_deleted(be, api_client):
    user = get_user_model().objects.get(username="pve-be")
    answer = api_client.get("/api/plugins/pve-ipam/clusters/?user=pve-be").json()
    assert [(found["name"], found["user"]["id"]) for found in answer["results"]] == [("be", str(user.pk))]
    page = api_client.get(PVECluster.objects.get(name="be").get_absolute_url()).content.decode()
    assert "Bound to User" in page
    assert "pve-be" in page
    user.delete()
    assert PVECluster.objects.get(name="be").user is None
