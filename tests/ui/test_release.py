"""Release asks for confirmation, then uses the service, which handles shared and adopted addresses."""

import pytest
from django.urls import reverse
from nautobot.ipam.models import IPAddress

from nautobot_pve_ipam.models import Allocation, SDNSubnet
from tests.models import data
from tests.ui.users import permit

pytestmark = pytest.mark.django_db


@pytest.fixture
def held():
    return data.allocation(1, 101, hostname="web1", vmid=201)


def url(allocation):
    return reverse("plugins:nautobot_pve_ipam:allocation_release", kwargs={"pk": allocation.pk})


def test_is_offered_and_asks_first(held, admin_client):
    assert url(held) in admin_client.get(held.get_absolute_url()).content.decode()
    text = admin_client.get(url(held)).content.decode()
    for shown in ("10.1.0.101/24", "web1", "VMID 201", str(held.mac)):
        assert shown in text
    assert Allocation.objects.exists()


def test_deletes_allocation_and_address(held, admin_client):
    answer = admin_client.post(url(held), follow=True)
    assert not Allocation.objects.exists()
    assert not IPAddress.objects.exists()
    assert answer.redirect_chain[-1][0] == held.subnet.get_absolute_url()
    assert "Released 10.1.0.101/24 web1." in answer.content.decode()


def test_keeps_an_adopted_address(held, admin_client):
    held.adopted = True
    held.validated_save()
    assert "the address is kept" in admin_client.get(url(held)).content.decode()
    admin_client.post(url(held))
    assert not Allocation.objects.exists()
    assert str(IPAddress.objects.get().address) == "10.1.0.101/24"


def test_hands_a_shared_gateway_over(admin_client):
    subnet = data.subnet(1)
    other = data.saved(SDNSubnet(vnet=data.vnet(2), prefix=subnet.prefix, gateway=subnet.gateway))
    gateway = data.allocation(1, 1, subnet, is_gateway=True)
    admin_client.post(url(gateway))
    assert Allocation.objects.get().subnet == other


class TestRights:
    def test_viewing_is_not_enough(self, held, browser, user):
        permit(user, Allocation, "view")
        assert url(held) not in browser.get(held.get_absolute_url()).content.decode()
        assert browser.get(url(held)).status_code == 403
        assert browser.post(url(held)).status_code == 403
        assert IPAddress.objects.exists()

    def test_what_may_not_be_viewed_is_not_found(self, held, browser, user):
        permit(user, IPAddress, "delete")
        permit(user, Allocation, "view", hostname="db1")
        assert browser.post(url(held)).status_code == 404
        assert IPAddress.objects.exists()

    def test_constraints_of_the_permission_apply(self, held, browser, user):
        permit(user, Allocation, "view")
        permit(user, IPAddress, "delete", dns_name="db1")
        assert browser.post(url(held)).status_code == 403
        assert IPAddress.objects.exists()

    def test_both_permissions_are_enough(self, held, browser, user):
        permit(user, Allocation, "view")
        permit(user, IPAddress, "delete")
        assert browser.post(url(held)).status_code == 302
        assert not IPAddress.objects.exists()
