"""What people decide about a difference is done as it was found, or not at all."""

from datetime import timedelta

import netaddr
import pytest
from django.utils import timezone
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam.errors import AddressTaken, Conflict, Forbidden, InvalidRequest, Missing, SubnetNotEmpty
from nautobot_pve_ipam.models import Allocation, Difference, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.addresses import put_address
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.settling import ignore, reopen, settle
from tests.models import data
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

MAC = "BC:24:11:00:01:64"


def hosts():
    return sorted(IPAddress.objects.values_list("host", flat=True))


def state(difference):
    return Difference.objects.get(pk=difference.pk).state


def about(known, **changed):
    """A fact like another one."""
    return {**known, **changed}


@pytest.fixture
def gone():
    """Guest 101 is gone, with MAC and 10.1.0.100."""
    return data.difference(1)


@pytest.fixture
def moved(gone):
    """PVE has 10.1.0.7 for that MAC."""
    after = about(gone.before, ip="10.1.0.7")
    return changed(gone, kind="conflict", ip="10.1.0.7", after=after, settlements=["take-pve", "take-nautobot"])


def changed(difference, **fields):
    Difference.objects.filter(pk=difference.pk).update(**fields)
    difference.refresh_from_db()
    return difference


class TestRelease:
    def test_releases_the_address(self, gone, admin):
        settle(gone, "release", user=admin)
        assert hosts() == []
        assert state(gone) == "settled"

    def test_an_adopted_address_stays(self, gone, admin):
        Allocation.objects.update(adopted=True)
        settle(gone, "release", user=admin)
        assert hosts() == ["10.1.0.100"]
        assert not Allocation.objects.exists()

    def test_what_is_gone_from_nautobot_too_needs_nothing(self, gone, admin):
        IPAddress.objects.all().delete()
        settle(gone, "release", user=admin)
        assert state(gone) == "settled"

    @pytest.mark.parametrize(
        "facts", [{"mac": "BC:24:11:00:00:99"}, {"vmid": 999}, {"is_gateway": True}, {"subnet": None}], ids=str
    )
    def test_not_what_somebody_else_has_by_now(self, facts, gone, admin):
        Allocation.objects.update(**facts)
        with pytest.raises(Conflict, match=r"address 10\.1\.0\.100/24 is held by .* by now: sync again"):
            settle(gone, "release", user=admin)
        assert hosts() == ["10.1.0.100"]
        assert state(gone) == "open"

    def test_not_what_pve_has_asked_for_since(self, gone, admin):
        Allocation.objects.update(last_seen=timezone.now())
        changed(gone, last_seen=timezone.now() - timedelta(minutes=1))
        with pytest.raises(Conflict, match="PVE has asked for address"):
            settle(gone, "release", user=admin)

    def test_not_what_is_no_allocation_any_more(self, gone, admin):
        Allocation.objects.all().delete()
        with pytest.raises(Conflict, match="has no allocation any more"):
            settle(gone, "release", user=admin)
        assert hosts() == ["10.1.0.100"]

    def test_a_subnet_goes_when_it_is_empty(self, gone, admin):
        place = SDNSubnet.objects.get()
        changed(gone, ip=None, mac="", vmid=None, zone="zone1", vnet="vnet1", before={"network": "10.1.0.0/24"})
        with pytest.raises(SubnetNotEmpty):
            settle(gone, "release", user=admin)
        assert state(gone) == "open"
        IPAddress.objects.all().delete()
        settle(gone, "release", user=admin)
        assert not SDNSubnet.objects.exists()
        assert not Prefix.objects.filter(pk=place.prefix_id).exists()

    def test_a_subnet_that_has_moved_to_another_vnet_stays(self, gone, admin):
        changed(gone, ip=None, mac="", vmid=None, zone="zone1", vnet="old", before={"network": "10.1.0.0/24"})
        settle(gone, "release", user=admin)
        assert SDNSubnet.objects.exists()

    def test_vnets_and_zones_go_when_they_are_empty(self, gone, admin):
        nothing = {"ip": None, "mac": "", "vmid": None, "network": "", "zone": "zone1"}
        vnet, zone = gone, data.difference(2)
        changed(vnet, **nothing, vnet="vnet1")
        changed(zone, **nothing, vnet="", cluster=vnet.cluster)
        for found in (vnet, zone):
            with pytest.raises(Conflict, match="is not empty"):
                settle(found, "release", user=admin)
        SDNSubnet.objects.all().delete()
        settle(vnet, "release", user=admin)
        assert [one.name for one in SDNVNet.objects.all()] == ["vnet2"]
        settle(zone, "release", user=admin)
        assert [one.name for one in SDNZone.objects.all()] == ["zone2"]


class TestAdopt:
    def test_an_address_becomes_the_guests(self, gone, admin):
        data.address(1, 7)
        after = about(gone.before, ip="10.1.0.7", mac="BC:24:11:00:00:07", vmid=107, hostname="web7")
        changed(gone, kind="conflict", ip="10.1.0.7", before=None, after=after, settlements=["adopt"])
        settle(gone, "adopt", user=admin)
        held = Allocation.objects.get(ip_address__host="10.1.0.7")
        assert (held.adopted, held.vmid, held.hostname, held.subnet.vnet.name) == (True, 107, "web7", "vnet1")
        assert state(gone) == "settled"

    def test_not_one_that_somebody_else_holds_by_now(self, gone, admin):
        after = about(gone.before, mac="BC:24:11:00:00:07", vmid=107)
        changed(gone, kind="conflict", before=None, after=after, settlements=["adopt"])
        with pytest.raises(AddressTaken, match="is held by guest guest1"):
            settle(gone, "adopt", user=admin)
        assert state(gone) == "open"

    def test_a_prefix_becomes_a_subnet(self, gone, admin):
        prefix = data.prefix(9)
        after = {"cluster": "cluster1", "zone": "zone1", "vnet": "vnet1", "network": "10.9.0.0/24"}
        changed(gone, kind="conflict", network="10.9.0.0/24", ip=None, before=None, after=after, settlements=["adopt"])
        settle(gone, "adopt", user=admin)
        record = SDNSubnet.objects.get(prefix=prefix)
        assert (record.adopted, record.vnet.name, record.vnet.zone.cluster) == (True, "vnet1", gone.cluster)


class TestTakePVEsWord:
    def test_the_guest_gets_the_address_that_pve_has_for_it(self, moved, admin):
        settle(moved, "take-pve", user=admin)
        assert hosts() == ["10.1.0.7"]
        held = Allocation.objects.get()
        assert (str(held.mac), held.vmid, held.hostname, held.subnet.vnet.name) == (MAC, 101, "guest1", "vnet1")
        assert state(moved) == "settled"

    def test_nothing_is_done_if_somebody_has_that_address_by_now(self, moved, admin):
        data.address(1, 7)
        with pytest.raises(AddressTaken):
            settle(moved, "take-pve", user=admin)
        assert hosts() == ["10.1.0.100", "10.1.0.7"]
        assert state(moved) == "open"

    def test_nothing_is_done_if_somebody_else_has_the_old_one_by_now(self, moved, admin):
        Allocation.objects.update(vmid=999)
        with pytest.raises(Conflict, match="by now: sync again"):
            settle(moved, "take-pve", user=admin)
        assert hosts() == ["10.1.0.100"]

    def test_the_old_one_may_be_gone(self, moved, admin):
        IPAddress.objects.all().delete()
        settle(moved, "take-pve", user=admin)
        assert hosts() == ["10.1.0.7"]

    def test_not_without_the_subnet(self, moved, admin):
        SDNSubnet.objects.all().delete()
        IPAddress.objects.all().delete()
        with pytest.raises(Conflict, match=r"subnet 10\.1\.0\.0/24 is not there any more"):
            settle(moved, "take-pve", user=admin)

    def test_a_repeated_request_of_pve_gets_what_was_settled(self, moved, admin):
        settle(moved, "take-pve", user=admin)
        caller = Caller(admin, moved.namespace, "cluster1", "zone1")
        assert not put_address(caller, netaddr.IPAddress("10.1.0.7"), Guest(MAC, 101, "guest1")).created


class TestDecisions:
    def test_nautobots_word_about_the_cache_is_taken_on_the_node(self, moved, admin):
        with pytest.raises(Conflict, match="run pve-nautobot sync --repair-cache there"):
            settle(moved, "take-nautobot", user=admin)
        assert state(moved) == "open"

    def test_only_what_is_offered(self, gone, admin):
        with pytest.raises(InvalidRequest, match="settlement adopt is not offered, but release"):
            settle(gone, "adopt", user=admin)

    def test_not_twice(self, gone, admin):
        settle(gone, "release", user=admin)
        for again in (lambda: settle(gone, "release", user=admin), lambda: ignore(gone, "late", user=admin)):
            with pytest.raises(Conflict, match="is settled already"):
                again()

    def test_not_what_was_deleted(self, gone, admin):
        Difference.objects.all().delete()
        with pytest.raises(Missing, match="was just deleted"):
            settle(gone, "release", user=admin)

    def test_ignoring_takes_a_reason_of_one_line(self, gone, admin):
        for reason in ("  ", "two\nlines"):
            with pytest.raises(InvalidRequest, match="reason"):
                ignore(gone, reason, user=admin)
        ignore(gone, " a printer ", user=admin)
        assert (gone.state, gone.reason) == ("accepted", "a printer")
        settle(gone, "release", user=admin)
        assert state(gone) == "settled"

    def test_decisions_need_the_permission_to_change_the_difference(self, gone, django_user_model):
        user = django_user_model.objects.create_user("reader")
        permit(user, IPAddress, "view", "delete")
        permit(user, Difference, "view")
        for decision in (
            lambda: settle(gone, "release", user=user),
            lambda: ignore(gone, "mine", user=user),
            lambda: reopen(gone, user=user),
        ):
            with pytest.raises(Forbidden, match=r"nautobot_pve_ipam\.change_difference"):
                decision()
        assert hosts() == ["10.1.0.100"]
        assert state(gone) == "open"

    def test_a_decision_is_in_the_change_log(self, gone, api_client):
        url = f"/plugins/pve-ipam/differences/{gone.pk}/ignore/"
        before = ObjectChange.objects.filter(changed_object_id=gone.pk).count()
        assert api_client.post(url, {"reason": "a printer"}).status_code == 302
        assert ObjectChange.objects.filter(changed_object_id=gone.pk).count() == before + 1
