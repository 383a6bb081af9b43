"""Pages of the models: Nautobot's own test cases, and tests specific to our models."""

from nautobot_pve_ipam import models
from tests.models import data
from tests.models.cases import FoundPages, NamedPages, Pages


class PVEClusterPages(NamedPages):
    __test__ = True
    model = models.PVECluster

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.zone(number)
        inventory = data.virtualization_cluster("another")
        cls.form_data = {
            "name": "pve-new",
            "status": data.active(models.PVECluster).pk,
            "virtualization_cluster": inventory.pk,
            "description": "a new one",
            "tags": [tag.pk for tag in data.tags(models.PVECluster)],
        }
        cls.bulk_edit_data = {"virtualization_cluster": inventory.pk, "description": "many"}


class SDNZonePages(NamedPages):
    __test__ = True
    model = models.SDNZone
    test_bulk_rename_regex_redos_protection = None  # uses a name of 21 characters, ours allow 8

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.vnet(number)
        other = data.cluster(4)
        cls.form_data = {
            "name": "new",
            "type": "evpn",
            "namespace": data.namespace("other").pk,
            "cluster": other.pk,
            "dhcp": "dnsmasq",
            "description": "a new one",
            "tags": [tag.pk for tag in data.tags(models.SDNZone)],
        }
        cls.bulk_edit_data = {"type": "simple", "cluster": other.pk, "dhcp": "", "description": "many"}


class SDNVNetPages(NamedPages):
    __test__ = True
    model = models.SDNVNet
    test_bulk_rename_regex_redos_protection = None  # uses a name of 21 characters, ours allow 8

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.subnet(number)
        zone, vlan = data.zone(4), data.vlan(4)
        cls.form_data = {
            "name": "new",
            "zone": zone.pk,
            "alias": "new servers",
            "tag": 77,
            "vlan": vlan.pk,
            "description": "a new one",
            "tags": [tag.pk for tag in data.tags(models.SDNVNet)],
        }
        cls.bulk_edit_data = {"zone": zone.pk, "vlan": vlan.pk, "description": "many"}


class SDNSubnetPages(Pages):
    __test__ = True
    model = models.SDNSubnet

    @classmethod
    def setUpTestData(cls):
        data.subnet(1)  # the edited one: it could not take an allocation along to another prefix
        for number in (2, 3):
            data.allocation(number)
        vnet = data.vnet(4)
        cls.form_data = {
            "vnet": vnet.pk,
            "prefix": data.prefix(4).pk,
            "gateway": "10.4.0.1",
            "dhcp_ranges": [data.dhcp_range(4).pk],
            "snat": True,
            "dns_zone_prefix": "new",
            "adopted": True,
            "tags": [tag.pk for tag in data.tags(models.SDNSubnet)],
        }
        cls.bulk_edit_data = {"dns_zone_prefix": "many", "snat": True, "adopted": True}

    def test_ranges_chosen_in_the_form_are_adopted(self):
        self.user.is_superuser = True
        self.user.save()
        self.assertHttpStatus(self.client.post(self._get_url("add"), self.form_data), 302)
        links = models.SDNDHCPRange.objects.filter(subnet__prefix=self.form_data["prefix"])
        self.assertEqual([link.adopted for link in links], [True])

    def test_an_edit_keeps_ownership_of_ranges_created_by_pve(self):
        self.user.is_superuser = True
        self.user.save()
        link = models.SDNDHCPRange.objects.get(subnet__vnet__name="vnet1")
        form_data = {
            "vnet": link.subnet.vnet.pk,
            "prefix": link.subnet.prefix.pk,
            "dhcp_ranges": [link.ip_address_range.pk],
        }
        self.assertHttpStatus(self.client.post(self._get_url("edit", link.subnet), form_data), 302)
        link.refresh_from_db()
        self.assertFalse(link.adopted)

    def test_a_range_of_another_prefix_is_refused(self):
        self.user.is_superuser = True
        self.user.save()
        form_data = {**self.form_data, "dhcp_ranges": [models.SDNDHCPRange.objects.first().ip_address_range.pk]}
        response = self.client.post(self._get_url("add"), form_data)
        self.assertBodyContains(response, "is not within prefix 10.4.0.0/24")


class AllocationPages(Pages):
    __test__ = True
    model = models.Allocation

    @classmethod
    def setUpTestData(cls):
        made = [data.allocation(number) for number in (1, 2, 3)]
        cls.form_data = {
            "ip_address": data.address(1, 150).pk,
            "subnet": made[0].subnet.pk,
            "hostname": "web9",
            "vmid": 900,
            "mac": "BC:24:11:00:00:99",
            "is_gateway": False,
            "adopted": True,
            "tags": [tag.pk for tag in data.tags(models.Allocation)],
        }
        cls.bulk_edit_data = {"vmid": 901, "hostname": "web10", "is_gateway": True, "adopted": True}


class DifferencePages(FoundPages):
    __test__ = True
    model = models.Difference
    test_bulk_edit_objects_nullable_fields = None  # there are none

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.difference(number)
        cls.bulk_edit_data = {"state": "accepted", "reason": "printers"}
