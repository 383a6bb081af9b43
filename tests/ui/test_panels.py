"""Where map and gauges appear on the pages, and who sees them."""

import pytest
from django.urls import reverse
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.models import Allocation, SDNSubnet
from tests.models import data
from tests.ui.networks import fill, prefix
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

CELL = 'aria-label="10.1.0.101: guest web1, VMID 201, MAC BC:24:11:00:01:65"'
ALL_CELLS = 256


@pytest.fixture
def subnet():
    found = data.subnet(1)
    data.allocation(1, 101, found, hostname="web1", vmid=201)
    return found


def map_url(prefix):
    return reverse("plugins:nautobot_pve_ipam:prefix_address_map", kwargs={"pk": prefix.pk})


def page(client, thing):
    answer = client.get(thing if isinstance(thing, str) else thing.get_absolute_url())
    assert answer.status_code == 200
    return answer.content.decode()


class TestMap:
    def test_is_on_a_subnets_page(self, subnet, admin_client):
        text = page(admin_client, subnet)
        assert CELL in text
        assert text.count("pve-map-cell") == ALL_CELLS
        allocate = reverse("plugins:nautobot_pve_ipam:sdnsubnet_allocate", kwargs={"pk": subnet.pk})
        assert f'href="{allocate}?range_start=10.1.0.7&amp;range_end=10.1.0.7"' in text

    def test_is_a_tab_of_every_prefix(self, subnet, admin_client):
        assert f'href="{map_url(subnet.prefix)}"' in page(admin_client, subnet.prefix)
        text = page(admin_client, map_url(subnet.prefix))
        assert CELL in text
        assert text.count("pve-map-cell") == ALL_CELLS

    def test_opens_a_block(self, admin_client):
        network = prefix("10.3.0.0/16")
        fill(network, [5 * 256 + 7])
        text = page(admin_client, map_url(network))
        assert text.count("pve-map-cell") == ALL_CELLS
        assert f'href="{map_url(network)}?block=10.3.5.0%2F24"' in text
        assert 'aria-label="10.3.5.7: in use, without a guest"' in page(
            admin_client, f"{map_url(network)}?block=10.3.5.0/24"
        )

    def test_a_block_of_another_prefix_is_not_found(self, subnet, admin_client):
        assert admin_client.get(f"{map_url(subnet.prefix)}?block=10.9.0.0/24").status_code == 404

    def test_shows_no_more_than_the_user_may_view(self, subnet, browser, user):
        permit(user, SDNSubnet, "view")
        permit(user, Prefix, "view")
        text = page(browser, subnet)
        assert 'aria-label="10.1.0.101: in use"' in text
        assert "web1" not in text
        assert "allocate/" not in text
        permit(user, IPAddress, "view")
        permit(user, Allocation, "view")
        assert CELL in page(browser, subnet)

    def test_is_hidden_if_the_prefix_may_not_be_viewed(self, subnet, browser, user):
        permit(user, SDNSubnet, "view")
        assert "pve-map-cell" not in page(browser, subnet)
        assert browser.get(map_url(subnet.prefix)).status_code == 403
        permit(user, Prefix, "view", description="another")
        assert "pve-map-cell" not in page(browser, subnet)
        assert browser.get(map_url(subnet.prefix)).status_code == 404


class TestGauge:
    def test_is_on_the_pages_of_subnet_prefix_and_range(self, subnet, admin_client):
        for thing in (subnet, subnet.prefix, subnet.dhcp_ranges.get()):
            text = page(admin_client, thing)
            assert "99 left" in text, thing
            assert 'aria-valuetext="1 of 100 in use"' in text
            assert "10.1.0.100</a>" in text, "the next free address"

    def test_is_not_on_other_prefixes(self, admin_client):
        assert "Addresses Left".upper() not in page(admin_client, data.prefix(9))

    def test_is_hidden_if_the_range_may_not_be_viewed(self, subnet, browser, user):
        permit(user, SDNSubnet, "view")
        assert "99 left" not in page(browser, subnet)
        permit(user, IPAddressRange, "view")
        assert "99 left" in page(browser, subnet)
