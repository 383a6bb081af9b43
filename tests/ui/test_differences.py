"""Differences on the pages of what they are about, on the home page, and the pages on which people decide."""

import pytest
from django.urls import reverse
from nautobot.ipam.models import IPAddress

from nautobot_pve_ipam.models import Allocation, Difference
from nautobot_pve_ipam.services.differences import note_sync
from tests.models import data
from tests.models.test_core_panels import text_of
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

EVIDENCE = "PVE has no guest 101."


@pytest.fixture
def gone():
    """The guest of an allocation is gone."""
    return data.difference(1)


def url(difference, decision, **kwargs):
    return reverse(f"plugins:nautobot_pve_ipam:difference_{decision}", kwargs={"pk": difference.pk, **kwargs})


def page(client, thing):
    answer = client.get(thing if isinstance(thing, str) else thing.get_absolute_url())
    assert answer.status_code == 200
    return answer.content.decode()


def state(difference):
    difference.refresh_from_db()
    return difference.state


class TestShown:
    def test_on_the_pages_of_cluster_subnet_and_allocation(self, gone, admin_client):
        allocation = Allocation.objects.get()
        places = (gone.cluster, allocation.subnet, allocation)
        for thing in places:
            assert EVIDENCE in page(admin_client, thing), thing
        Difference.objects.update(state="settled")
        for thing in places:
            assert EVIDENCE not in page(admin_client, thing), thing

    def test_not_on_the_pages_of_others(self, gone, admin_client):
        other = data.allocation(2)
        for thing in (other.subnet.vnet.zone.cluster, other.subnet, other):
            assert EVIDENCE not in page(admin_client, thing), thing

    def test_on_the_page_of_the_allocation_that_another_cluster_wants(self, gone, admin_client):
        allocation = Allocation.objects.get()
        Difference.objects.update(cluster=data.cluster(2))
        assert EVIDENCE in page(admin_client, allocation)
        assert EVIDENCE not in page(admin_client, allocation.subnet)

    def test_on_the_page_of_the_allocation_whose_mac_the_cache_has(self, gone, admin_client):
        Difference.objects.update(ip=None, network="")
        assert EVIDENCE in page(admin_client, Allocation.objects.get())

    def test_the_home_page_counts_open_ones(self, gone, admin_client):
        data.difference(2, state="accepted", reason="a printer")
        link = f'href="{reverse("plugins:nautobot_pve_ipam:difference_list")}?state=open">1 open<'
        assert link in page(admin_client, "/")

    def test_its_own_page_compares_and_says_what_settles_it(self, gone, admin_client):
        text = text_of(admin_client.get(gone.get_absolute_url()))
        for shown in (EVIDENCE, "Field Nautobot PVE", "hostname guest1", "Release:", "an address is then free again"):
            assert shown in text

    def test_what_pves_cache_has_stands_beside_what_it_should_have(self, admin_client):
        before, after = {"mac": "BC:24:11:00:01:64", "ip4": "10.1.0.7"}, {"mac": "BC:24:11:00:01:64", "ip4": None}
        cached = data.difference(1, kind="cache", before=before, after=after, settlements=["take-nautobot"])
        text = text_of(admin_client.get(cached.get_absolute_url()))
        assert "Field PVE's Cache As in Nautobot" in text.replace("&#x27;", "'")
        assert "run pve-nautobot sync --repair-cache there" in text
        assert url(cached, "settle", settlement="take-nautobot") not in page(admin_client, cached)

    def test_what_nothing_settles_is_to_be_mended(self, admin_client):
        found = data.difference(1, kind="conflict", before=None, settlements=[])
        assert "Mend it in PVE or in Nautobot" in text_of(admin_client.get(found.get_absolute_url()))

    def test_a_cluster_says_when_it_was_last_synced(self, gone, admin_client, admin_user):

        note_sync(gone.cluster, user=admin_user, result="3 changes were made, 1 difference is left.", at=gone.last_seen)
        text = text_of(admin_client.get(gone.cluster.get_absolute_url()))
        for shown in ("Last Synced", "Last Synced By admin", "3 changes were made, 1 difference is left."):
            assert shown in text

    def test_only_to_those_who_may_view_them(self, gone, browser, user):
        permit(user, Allocation, "view")
        allocation = Allocation.objects.get()
        assert EVIDENCE not in page(browser, allocation)
        assert "Differences between" not in page(browser, "/")
        permit(user, Difference, "view", vmid=102)
        assert EVIDENCE not in page(browser, allocation)
        assert ">0 open<" in page(browser, "/")
        permit(user, Difference, "view", vmid=101)
        assert EVIDENCE in page(browser, allocation)
        assert ">1 open<" in page(browser, "/")


class TestDecided:
    def test_ignored_for_a_reason_until_it_is_opened_again(self, gone, admin_client):
        assert url(gone, "ignore") in page(admin_client, gone)
        assert EVIDENCE in page(admin_client, url(gone, "ignore"))
        assert "This field is required" in admin_client.post(url(gone, "ignore")).content.decode()
        assert state(gone) == "open"
        answer = admin_client.post(url(gone, "ignore"), {"reason": "a printer"}, follow=True)
        assert "Ignored until it changes: 10.1.0.0/24 guest 101" in answer.content.decode()
        assert (state(gone), gone.reason) == ("accepted", "a printer")
        text = page(admin_client, gone)
        assert url(gone, "ignore") not in text
        assert url(gone, "reopen") in text
        admin_client.post(url(gone, "reopen"))
        assert (state(gone), gone.reason) == ("open", "")

    def test_released_after_confirmation(self, gone, admin_client):
        way = url(gone, "settle", settlement="release")
        assert way in page(admin_client, gone)
        assert EVIDENCE in page(admin_client, way)
        assert IPAddress.objects.exists()
        answer = admin_client.post(way, follow=True)
        assert "Settled: 10.1.0.0/24 guest 101" in answer.content.decode()
        assert not IPAddress.objects.exists()
        assert state(gone) == "settled"
        assert way not in page(admin_client, gone)

    def test_what_has_changed_meanwhile_is_said_and_nothing_is_done(self, gone, admin_client):
        Allocation.objects.update(vmid=555)
        answer = admin_client.post(url(gone, "settle", settlement="release"), follow=True)
        assert "is held by guest guest1 with MAC BC:24:11:00:01:64" in answer.content.decode()
        assert IPAddress.objects.exists()
        assert state(gone) == "open"

    def test_a_way_that_nobody_knows_is_not_found(self, gone, admin_client):
        assert admin_client.get(url(gone, "settle", settlement="forget")).status_code == 404

    def test_viewing_is_not_enough(self, gone, browser, user):
        permit(user, Difference, "view")
        text = page(browser, gone)
        ways = [url(gone, "ignore"), url(gone, "reopen"), url(gone, "settle", settlement="release")]
        for way in ways:
            assert way not in text
            assert browser.post(way, {"reason": "mine"}).status_code == 403
        assert state(gone) == "open"

    def test_constraints_of_the_permissions_apply(self, gone, browser, user):
        permit(user, Difference, "view")
        permit(user, Difference, "change", vmid=102)
        assert browser.post(url(gone, "ignore"), {"reason": "mine"}).status_code == 403
        permit(user, Difference, "change", vmid=101)
        assert browser.post(url(gone, "settle", settlement="release")).status_code == 403, "may not delete the address"
        assert IPAddress.objects.exists()
        permit(user, IPAddress, "delete")
        assert browser.post(url(gone, "settle", settlement="release")).status_code == 302
        assert not IPAddress.objects.exists()
