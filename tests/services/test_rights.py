"""What a user may not view or change is neither told nor changed by an operation that has nothing left to do."""

import netaddr
import pytest
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.errors import Conflict, Forbidden, SubnetNotEmpty
from nautobot_pve_ipam.models import Allocation, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.addresses import patch_address, put_address
from nautobot_pve_ipam.services.allocation import Guest, Wanted, allocate, release
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.subnets import SubnetFacts, delete_subnet, put_subnet
from tests.models import data
from tests.ui.users import permit, revoke

pytestmark = pytest.mark.django_db

NETWORK = netaddr.IPNetwork("10.1.0.0/24")
MAC = "BC:24:11:00:00:01"
FACTS = SubnetFacts(zone="zone1", vnet="vnet1", dhcp_ranges=[])


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("limited")


@pytest.fixture
def subnet(admin):
    record, _created = put_subnet(data.namespace(), NETWORK, FACTS, user=admin)
    return record


@pytest.fixture
def held(admin, subnet):
    """10.1.0.1, the guest web1."""
    caller = Caller.in_subnet(admin, subnet)
    (held,) = allocate(Search(subnet.prefix), [Wanted(Guest(MAC, 101, "web1"))], caller=caller)
    return held.allocation


@pytest.fixture
def caller(user, subnet):
    return Caller.in_subnet(user, subnet)


def allocated(caller, guest, **options):
    (held,) = allocate(Search(caller.subnet.prefix), [Wanted(guest)], caller=caller, **options)
    return held


def facts_of(allocation):
    allocation.refresh_from_db()
    return str(allocation.mac), allocation.vmid, allocation.hostname


class TestKnownMAC:
    def test_is_not_shown_without_view(self, caller, held):
        permit(caller.user, IPAddress, "add", "change")
        with pytest.raises(Forbidden, match=r"lacks permission ipam\.view_ipaddress for this IP address"):
            allocated(caller, Guest(MAC))

    def test_is_shown_but_not_changed_with_view(self, caller, held):
        permit(caller.user, IPAddress, "add", "view")
        before = facts_of(held)
        assert allocated(caller, Guest(MAC)).allocation == held
        for guest in (Guest(MAC, hostname="stolen"), Guest(MAC, vmid=999)):
            with pytest.raises(Forbidden, match=r"ipam\.change_ipaddress for 10\.1\.0\.1/24"):
                allocated(caller, guest)
        assert facts_of(held) == before

    def test_is_changed_with_both(self, caller, held):
        permit(caller.user, IPAddress, "view", "change")
        assert allocated(caller, Guest(MAC, hostname="web2")).allocation == held
        assert facts_of(held) == (MAC, 101, "web2")

    def test_gets_no_subnet_without_change(self, caller, held):
        Allocation.objects.update(subnet=None)
        permit(caller.user, IPAddress, "add", "view")
        with pytest.raises(Forbidden, match=r"ipam\.change_ipaddress"):
            allocated(caller, Guest(MAC))
        held.refresh_from_db()
        assert held.subnet is None

    def test_another_address_for_it_does_not_tell_the_held_one(self, caller, held):
        permit(caller.user, IPAddress, "add")
        permit(caller.user, Prefix, "view")
        with pytest.raises(Conflict, match=f"mac {MAC} already holds an address in "):
            put_address(caller, netaddr.IPAddress("10.1.0.9"), Guest(MAC))


class TestReplayedKey:
    def test_is_not_shown_without_view(self, caller):
        permit(caller.user, IPAddress, "add", dns_name="")
        allocated(caller, Guest(), key="k1")
        with pytest.raises(Forbidden, match=r"ipam\.view_ipaddress for this IP address"):
            allocated(caller, Guest(), key="k1")
        assert IPAddress.objects.count() == 1

    def test_is_not_shown_once_the_address_is_out_of_sight(self, caller):
        permit(caller.user, IPAddress, "add", "view", dns_name="")
        address = allocated(caller, Guest(), key="k1").address
        assert allocated(caller, Guest(), key="k1").address == address
        IPAddress.objects.update(dns_name="secret.example.com")
        with pytest.raises(Forbidden):
            allocated(caller, Guest(), key="k1")


class TestAddresses:
    def test_patch_does_not_show_without_view(self, caller, held):
        permit(caller.user, IPAddress, "change")
        with pytest.raises(Forbidden, match=r"ipam\.view_ipaddress"):
            patch_address(caller, netaddr.IPAddress("10.1.0.1"), Guest())

    def test_put_of_a_shared_gateway_needs_what_any_put_needs(self, admin, user, subnet):
        ip, gateway = netaddr.IPAddress("10.1.0.254"), Guest(hostname="gw", is_gateway=True)
        put_address(Caller.in_subnet(admin, subnet), ip, gateway)
        other, _created = put_subnet(
            data.namespace(), NETWORK, SubnetFacts(zone="zone2", vnet="vnet2", cluster="be"), user=admin
        )
        permit(user, Prefix, "view")
        permit(user, IPAddress, "add")
        with pytest.raises(Forbidden, match=r"ipam\.view_ipaddress"):
            put_address(Caller.in_subnet(user, other), ip, gateway)
        permit(user, IPAddress, "view")
        assert put_address(Caller.in_subnet(user, other), ip, gateway).created is False

    def test_the_hand_over_of_a_shared_gateway_needs_delete(self, admin, user, subnet):
        subnet.gateway = "10.1.0.254"
        subnet.validated_save()
        shared = SubnetFacts(zone="zone2", vnet="vnet2", cluster="be", gateway=netaddr.IPAddress(subnet.gateway))
        put_subnet(data.namespace(), NETWORK, shared, user=admin)
        gateway = data.allocation(1, 254, subnet, is_gateway=True)
        permit(user, IPAddress, "view")
        with pytest.raises(Forbidden, match=r"ipam\.delete_ipaddress for 10\.1\.0\.254/24"):
            release(gateway, user=user)
        gateway.refresh_from_db()
        assert gateway.subnet == subnet


class TestSubnets:
    @pytest.fixture
    def adopted(self, subnet):
        return data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1), adopted=True))

    def permit(self, user):
        for model in (SDNZone, SDNVNet, SDNSubnet):
            permit(user, model, "add")
        permit(user, Prefix, "view")

    def test_an_adopted_range_is_not_unlinked_without_change(self, user, adopted):
        self.permit(user)
        with pytest.raises(Forbidden, match=r"change_sdnsubnet"):
            put_subnet(data.namespace(), NETWORK, FACTS, user=user)
        assert SDNDHCPRange.objects.filter(pk=adopted.pk).exists()
        permit(user, SDNSubnet, "change")
        put_subnet(data.namespace(), NETWORK, FACTS, user=user)
        assert not SDNDHCPRange.objects.exists()
        assert IPAddressRange.objects.exists()

    @pytest.mark.parametrize("missing", [SDNVNet, SDNSubnet, Prefix])
    def test_a_put_that_changes_nothing_needs_the_same_rights(self, user, subnet, missing):
        self.permit(user)
        facts = SubnetFacts(zone="zone1", vnet="vnet1")
        assert put_subnet(data.namespace(), NETWORK, facts, user=user) == (subnet, False)
        revoke(user, missing)
        with pytest.raises(Forbidden, match=missing._meta.model_name):
            put_subnet(data.namespace(), NETWORK, facts, user=user)

    def test_an_overlapping_subnet_is_not_named_without_view(self, user, subnet):
        self.permit(user)
        facts, network = SubnetFacts(zone="zone1", vnet="vnet1"), netaddr.IPNetwork("10.1.0.0/25")
        with pytest.raises(Conflict, match=r"overlaps 10\.1\.0\.0/24 of vnet zone1/vnet1 in namespace"):
            put_subnet(data.namespace(), network, facts, user=user)
        revoke(user, Prefix)
        with pytest.raises(Conflict, match="overlaps another one in namespace"):
            put_subnet(data.namespace(), network, facts, user=user)

    def test_its_guests_are_not_told_to_who_may_not_delete_it_or_view_them(self, user, subnet, held):
        with pytest.raises(Forbidden, match="delete_sdnsubnet for this SDN subnet"):
            delete_subnet(subnet, user=user)
        permit(user, SDNSubnet, "delete")
        with pytest.raises(SubnetNotEmpty, match=r"a guest holds an address$"):
            delete_subnet(subnet, user=user)
