"""What Nautobot's own pages show about PVE, and to whom."""

import re

import pytest
from django.urls import reverse
from nautobot.apps.testing import TestCase

from nautobot_pve_ipam import models
from tests.models import data

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:django_tables2.*")  # Nautobot's own tables


def text_of(response):
    """The page's text without markup, scripts and line breaks."""
    body = re.sub(r"<(script|style|template)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


class PanelTestCase(TestCase):
    def setUp(self):
        super().setUp()
        self.allocation = data.allocation(1)
        self.subnet = self.allocation.subnet

    def page(self, thing):
        response = self.client.get(thing.get_absolute_url())
        self.assertHttpStatus(response, 200)
        return text_of(response)


class IPAddressPanel(PanelTestCase):
    def test_names_the_guest(self):
        self.add_permissions("ipam.view_ipaddress", "nautobot_pve_ipam.view_allocation")
        text = self.page(self.allocation.ip_address)
        for shown in ("PROXMOX VE", "guest1", "101", "BC:24:11:00:01:64", "zone1", "Since"):
            self.assertIn(shown, text)

    def test_is_hidden_for_an_address_without_a_guest(self):
        self.add_permissions("ipam.view_ipaddress", "nautobot_pve_ipam.view_allocation")
        self.assertNotIn("PROXMOX VE", self.page(data.address(1, 7)))

    def test_is_hidden_without_permission_to_view_allocations(self):
        self.add_permissions("ipam.view_ipaddress")
        text = self.page(self.allocation.ip_address)
        self.assertNotIn("PROXMOX VE", text)
        self.assertNotIn("guest1", text)

    def test_is_hidden_if_only_other_allocations_may_be_viewed(self):
        self.add_permissions("ipam.view_ipaddress")
        self.add_permissions("nautobot_pve_ipam.view_allocation", constraints={"hostname": "guest2"})
        self.assertNotIn("guest1", self.page(self.allocation.ip_address))


class PrefixPanel(PanelTestCase):
    def test_names_zone_vnet_and_ranges(self):
        self.add_permissions("ipam.view_prefix", "nautobot_pve_ipam.view_sdnsubnet")
        text = self.page(self.subnet.prefix)
        for shown in ("Subnets In Proxmox VE", "zone1", "vnet1", "cluster1", str(self.subnet.dhcp_ranges.get())):
            self.assertIn(shown, text)

    def test_shows_both_clusters_of_a_shared_prefix(self):
        self.add_permissions("ipam.view_prefix", "nautobot_pve_ipam.view_sdnsubnet")
        data.saved(models.SDNSubnet(vnet=data.vnet(2), prefix=self.subnet.prefix))
        text = self.page(self.subnet.prefix)
        self.assertIn("cluster1", text)
        self.assertIn("cluster2", text)

    def test_is_hidden_for_other_prefixes(self):
        self.add_permissions("ipam.view_prefix", "nautobot_pve_ipam.view_sdnsubnet")
        self.assertNotIn("Subnets In Proxmox VE", self.page(data.prefix(9)))

    def test_is_hidden_without_permission_to_view_subnets(self):
        self.add_permissions("ipam.view_prefix")
        text = self.page(self.subnet.prefix)
        self.assertNotIn("Subnets In Proxmox VE", text)
        self.assertNotIn("vnet1", text)

    def test_shows_only_what_the_user_may_view(self):
        self.add_permissions("ipam.view_prefix")
        self.add_permissions("nautobot_pve_ipam.view_sdnsubnet", constraints={"vnet__zone__cluster__name": "cluster2"})
        data.saved(models.SDNSubnet(vnet=data.vnet(2), prefix=self.subnet.prefix))
        text = self.page(self.subnet.prefix)
        self.assertNotIn("cluster1", text)
        self.assertIn("cluster2", text)


class VirtualizationClusterPanel(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.inventory = self.subnet.vnet.zone.cluster.virtualization_cluster

    def test_lists_the_zones(self):
        self.add_permissions("virtualization.view_cluster", "nautobot_pve_ipam.view_sdnzone")
        text = self.page(self.inventory)
        self.assertIn("Zones In Proxmox VE", text)
        self.assertIn("zone1", text)

    def test_links_to_the_list_of_just_these_zones(self):
        self.add_permissions("virtualization.view_cluster", "nautobot_pve_ipam.view_sdnzone")
        data.zone(2)
        link = f"{reverse('plugins:nautobot_pve_ipam:sdnzone_list')}?virtualization_cluster={self.inventory.pk}"
        self.assertBodyContains(self.client.get(self.inventory.get_absolute_url()), link)
        text = text_of(self.client.get(link, headers={"HX-Request": "true"}))
        self.assertIn("zone1", text)
        self.assertNotIn("zone2", text)

    def test_is_hidden_without_permission_to_view_zones(self):
        self.add_permissions("virtualization.view_cluster")
        text = self.page(self.inventory)
        self.assertNotIn("Zones In Proxmox VE", text)
        self.assertNotIn("zone1", text)


class DetailPanels(PanelTestCase):
    """Our own pages show related objects only as far as the user may view them."""

    def test_a_subnet_hides_allocations_and_ranges(self):
        self.add_permissions("nautobot_pve_ipam.view_sdnsubnet")
        text = self.page(self.subnet)
        self.assertNotIn("guest1", text)
        self.assertNotIn("10.1.0.199", text)
        self.add_permissions("nautobot_pve_ipam.view_allocation", "ipam.view_ipaddressrange")
        text = self.page(self.subnet)
        self.assertIn("guest1", text)
        self.assertIn("10.1.0.199", text)

    def test_a_cluster_counts_and_lists_only_what_may_be_viewed(self):
        self.add_permissions("nautobot_pve_ipam.view_pvecluster")
        cluster = self.subnet.vnet.zone.cluster
        self.assertNotIn("zone1", self.page(cluster))
        self.add_permissions("nautobot_pve_ipam.view_sdnzone")
        self.assertIn("zone1", self.page(cluster))
