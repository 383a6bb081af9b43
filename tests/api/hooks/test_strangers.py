"""A cluster that was renamed, or just made: the check of the entry and the refused guest say how to go on."""

import netaddr
import pytest
from nautobot.users.models import ObjectPermission
from rest_framework.test import APIClient

from nautobot_pve_ipam.models import PVECluster, SDNSubnet, SDNZone
from nautobot_pve_ipam.services.connect import connect_pve
from nautobot_pve_ipam.services.subnets import SubnetFacts, put_subnet
from tests.models import data

pytestmark = pytest.mark.django_db

SUBNET = netaddr.IPNetwork("10.0.0.0/24")


@pytest.fixture
def of(admin):
    """Makes zone1 with 10.0.0.0/24 for a cluster, or for none."""

    def make(cluster):
        put_subnet(data.namespace(), SUBNET, SubnetFacts(zone="zone1", vnet="vnet1", cluster=cluster), user=admin)

    return make


@pytest.fixture
def warning(api_client):
    """What the check of an IPAM entry answers to a cluster, or to a single node."""

    def ask(cluster=None):
        path = f"/api/plugins/pve-ipam/namespaces/{data.namespace().name}/"
        answer = api_client.get(path, {"cluster": cluster} if cluster else {})
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        return answer.json()["warning"]

    return ask


def guest(client, **caller):
    path = f"/api/plugins/pve-ipam/namespaces/{data.namespace().name}/subnets/10.0.0.0-24/next-free-ip/"
    return client.post(path, {"mac": "BC:24:11:00:00:01", **caller}, format="json")


@pytest.mark.parametrize("cluster", [None, "alpha"])
def test_the_first_one_is_no_stranger(warning, cluster):
    assert warning(cluster) is None


@pytest.mark.parametrize("cluster", [None, "alpha"])
def test_whose_zones_they_are_is_no_stranger(of, warning, cluster):
    of("beta")
    of(cluster)
    assert warning(cluster) is None


def test_a_renamed_cluster(of, warning, api_client):
    of("alpha")
    assert warning("gamma") == (
        f"cluster gamma is new here, but zones of namespace {data.namespace().name} belong to cluster alpha: if it was "
        "renamed, rename it in Nautobot; if it was made of a single node, select it in the zones in Nautobot; "
        "if it is another PVE, nothing is to do"
    )
    refused = guest(api_client, cluster="gamma", zone="zone1")
    assert refused.status_code == 404
    assert refused.json()["detail"] == (
        "cluster gamma is not known: if it was renamed, rename it in Nautobot; "
        "if it was just made, select it in its zones in Nautobot"
    )
    assert refused.reason_phrase == refused.json()["detail"]

    cluster = SDNZone.objects.get().cluster
    cluster.name = "gamma"
    cluster.validated_save()
    assert warning("gamma") is None
    assert guest(api_client, cluster="gamma", zone="zone1").status_code == 201


def test_a_single_node_that_became_a_cluster(of, warning, api_client):
    of(None)
    assert "gamma is new here, but zones of namespace" in warning("gamma")
    assert "belong to no cluster" in warning("gamma")
    held = guest(api_client, zone="zone1").json()

    zone = SDNZone.objects.get()
    zone.cluster = data.saved(PVECluster(name="gamma", status=data.active(PVECluster)))
    zone.validated_save()
    assert warning("gamma") is None
    again = guest(api_client, cluster="gamma", zone="zone1")
    assert (again.status_code, again.json()["address"]) == (200, held["address"])


def test_going_on_after_a_second_record_was_made(of, api_client):
    """The subnet was saved in PVE before the zone got its cluster, and a guest was started."""
    of(None)
    old = guest(api_client, zone="zone1").json()
    of("gamma")
    between = guest(api_client, zone="zone1", cluster="gamma", mac="BC:24:11:00:00:02").json()
    assert SDNSubnet.objects.count() == 2

    second, first = SDNZone.objects.get(cluster__name="gamma"), SDNZone.objects.get(cluster=None)
    cluster = second.cluster
    second.delete()
    first.cluster = cluster
    first.validated_save()

    for held, mac in ((old, "BC:24:11:00:00:01"), (between, "BC:24:11:00:00:02")):
        again = guest(api_client, cluster="gamma", zone="zone1", mac=mac)
        assert (again.status_code, again.json()["address"]) == (200, held["address"])
    assert SDNSubnet.objects.count() == 1


def test_a_node_that_left_its_cluster(of, warning):
    of("alpha")
    assert warning() == (
        f"this PVE is no cluster, but zones of namespace {data.namespace().name} belong to cluster alpha: if it has "
        "left its cluster, clear the cluster of its zones in Nautobot; if it is another PVE, give it its own namespace"
    )


def test_a_bound_cluster_is_renamed(api_client):
    space = data.namespace().name
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {connect_pve(space, 'pve', cluster='alpha').token}")
    path = f"/api/plugins/pve-ipam/namespaces/{space}/"
    place = {"zone": "zone1", "vnet": "vnet1", "cluster": "alpha"}
    assert client.put(f"{path}subnets/10.0.0.0-24/", place, format="json").status_code == 201
    refused = client.get(path, {"cluster": "gamma"})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "user pve acts for cluster alpha only, but the request names cluster gamma",
    )

    cluster = PVECluster.objects.get()
    cluster.name = "gamma"
    cluster.validated_save()
    connect_pve(space, "pve", cluster="gamma")
    assert client.get(path, {"cluster": "gamma"}).json()["warning"] is None
    assert client.put(f"{path}subnets/10.0.0.0-24/", {**place, "cluster": "gamma"}, format="json").status_code == 200
    assert guest(client, cluster="gamma", zone="zone1").status_code == 201


def test_an_ordinary_token_is_told(of):
    of("alpha")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {connect_pve(data.namespace().name, 'pve').token}")
    answer = client.get(f"/api/plugins/pve-ipam/namespaces/{data.namespace().name}/", {"cluster": "gamma"})
    assert "belong to cluster alpha" in answer.json()["warning"]


def test_who_may_not_view_zones_is_told_nothing_of_them(of, warning, api_client):
    of("alpha")
    made = connect_pve(data.namespace().name, "pve")
    ObjectPermission.objects.filter(groups__user__username="pve", object_types__model="sdnzone").delete()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {made.token}")
    answer = client.get(f"/api/plugins/pve-ipam/namespaces/{data.namespace().name}/", {"cluster": "gamma"})
    assert (answer.status_code, answer.json()["warning"]) == (200, None)
