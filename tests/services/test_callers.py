"""Whose an allocation is: the same for every hook. One without a subnet belongs to whose subnet it lies in."""

import netaddr
import pytest
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam.errors import AddressTaken, Conflict, Missing, NotOurs
from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.addresses import delete_address, find_by_mac, patch_address, put_address
from nautobot_pve_ipam.services.allocation import Guest, Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.subnets import SubnetFacts, put_subnet
from tests.models import data

pytestmark = pytest.mark.django_db

MAC = "BC:24:11:00:00:01"
GUEST = Guest(MAC, 101, "web1")
IP = netaddr.IPAddress("10.1.0.7")


@pytest.fixture
def world(admin):
    """10.1.0.0/24 is a subnet of cluster alpha, 10.2.0.0/24 one of beta, 10.3.0.0/24 nobody's."""
    space = data.namespace()
    for number, cluster in ((1, "alpha"), (2, "beta")):
        network = netaddr.IPNetwork(f"10.{number}.0.0/24")
        put_subnet(space, network, SubnetFacts(zone="zone1", vnet="vnet1", cluster=cluster), user=admin)
    data.prefix(3)
    return space


@pytest.fixture
def alpha(admin, world):
    return Caller(admin, world, "alpha", "zone1")


@pytest.fixture
def beta(admin, world):
    return Caller(admin, world, "beta", "zone1")


@pytest.fixture
def nobody(admin, world):
    """Who names neither cluster nor zone."""
    return Caller(admin, world)


def loose(host, length=24):
    """An allocation without a subnet, of an address that was handed out in a prefix of that length."""
    address = f"{host}/{length}"
    address = IPAddress(address=address, namespace=data.namespace(), status=data.active(IPAddress), type="host")
    return data.saved(Allocation(ip_address=data.saved(address), mac=MAC, vmid=101, hostname="web1"))


def child(prefix, kind="network"):
    """A prefix that was made inside a subnet."""
    return data.saved(Prefix(prefix=prefix, namespace=data.namespace(), status=data.active(Prefix), type=kind))


def test_find_by_mac_sees_it(alpha, beta, nobody):
    held = loose("10.1.0.7")
    assert find_by_mac(alpha, MAC) == [held]
    assert find_by_mac(beta, MAC) == []
    assert find_by_mac(nobody, MAC) == [held]


def test_what_lies_in_no_subnet_belongs_to_who_names_nothing(alpha, nobody):
    held = loose("10.3.0.7")
    assert find_by_mac(alpha, MAC) == []
    assert find_by_mac(nobody, MAC) == [held]


@pytest.mark.parametrize(("kind", "is_own"), [("pool", True), ("network", False), ("container", False)])
def test_a_pool_belongs_to_its_parents_subnet_and_a_child_network_does_not(kind, is_own, alpha):
    child("10.1.0.0/28", kind)
    held = loose("10.1.0.7", 28)
    assert find_by_mac(alpha, MAC) == ([held] if is_own else [])


@pytest.mark.parametrize("kind", ["network", "container"])
def test_a_network_made_over_it_later_does_not_take_it_away(kind, alpha, beta):
    """It was handed out in the subnet, whose length it has."""
    held = loose("10.1.0.7")
    network = child("10.1.0.0/28", kind)
    assert find_by_mac(alpha, MAC) == [held]
    # Unless that is another PVE's subnet.
    data.saved(SDNSubnet(vnet=SDNVNet.objects.get(zone__cluster__name="beta"), prefix=network))
    assert find_by_mac(alpha, MAC) == []
    assert find_by_mac(beta, MAC) == [held]


def test_pools_may_be_nested(alpha):
    for length in (28, 29, 30):
        child(f"10.1.0.0/{length}", "pool")
    held = loose("10.1.0.2")
    assert str(held.ip_address.parent) == "10.1.0.0/30"
    assert find_by_mac(alpha, MAC) == [held]


def test_patch_changes_it(alpha, beta):
    held = loose("10.1.0.7")
    with pytest.raises(Missing):
        patch_address(beta, IP, Guest(hostname="web2"))
    patch_address(alpha, IP, Guest(hostname="web2"))
    held.refresh_from_db()
    assert held.hostname == "web2"


def test_delete_releases_it(alpha, beta):
    loose("10.1.0.7")
    with pytest.raises(NotOurs):
        delete_address(beta, IP)
    delete_address(alpha, IP)
    assert not Allocation.objects.exists()


def test_taking_it_again_gives_it_the_subnet(alpha):
    held = loose("10.1.0.7")
    again = put_address(alpha, IP, GUEST)
    assert (again.created, again.allocation) == (False, held)
    held.refresh_from_db()
    assert str(held.subnet.prefix) == "10.1.0.0/24"


def test_the_next_free_address_for_its_mac_is_it_and_gives_it_the_subnet(alpha):
    held = loose("10.1.0.7")
    prefix = Prefix.objects.select_related("namespace").get(network="10.1.0.0")
    (again,) = allocate(Search(prefix), [Wanted(GUEST)], caller=alpha.in_prefix(prefix))
    assert (again.created, again.allocation) == (False, held)
    held.refresh_from_db()
    assert held.subnet.vnet.zone.cluster.name == "alpha"


def test_it_stays_with_whom_it_has_a_subnet_of(alpha, beta):
    loose("10.1.0.7")
    put_address(alpha, IP, GUEST)
    put_subnet(
        alpha.namespace,
        netaddr.IPNetwork("10.1.0.0/24"),
        SubnetFacts(zone="zone1", vnet="vnet1", cluster="beta"),
        user=alpha.user,
    )
    with pytest.raises(AddressTaken):
        put_address(beta, IP, GUEST)
    assert find_by_mac(beta, MAC) == []


def test_an_unknown_cluster_or_zone_is_named(admin, world):
    prefix = Prefix.objects.get(network="10.1.0.0")
    with pytest.raises(Missing, match="cluster gamma is not known"):
        Caller(admin, world, "gamma").in_prefix(prefix)
    with pytest.raises(Missing, match=r"zone zone9 of cluster alpha has no subnet 10\.1\.0\.0/24 in namespace models"):
        Caller(admin, world, "alpha", "zone9").in_prefix(prefix)
    assert Caller(admin, world).in_prefix(prefix).subnet is None


def test_a_cluster_with_the_prefix_in_several_zones_has_to_name_one(admin, alpha):
    prefix = Prefix.objects.get(network="10.1.0.0")
    cluster = PVECluster.objects.get(name="alpha")
    zone = data.saved(SDNZone(namespace=alpha.namespace, cluster=cluster, name="zone2"))
    data.saved(SDNSubnet(vnet=data.saved(SDNVNet(zone=zone, name="vnet2")), prefix=prefix))
    with pytest.raises(Conflict, match=r"cluster alpha has several subnets 10\.1\.0\.0/24 in namespace models"):
        Caller(admin, alpha.namespace, "alpha").in_prefix(prefix)
    assert alpha.in_prefix(prefix).subnet.vnet.zone.name == "zone1"
