"""REST API of the models: Nautobot's own test cases, and tests specific to our models."""

from nautobot.apps.testing import APIViewTestCases

from nautobot_pve_ipam import models
from tests.models import data


class PVEClusterAPI(APIViewTestCases.APIViewTestCase):
    model = models.PVECluster
    bulk_update_data = {"description": "many"}

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.cluster(number)
        status = data.active(models.PVECluster).pk
        cls.create_data = [{"name": f"new{number}", "status": status} for number in (1, 2, 3)]
        cls.update_data = {"name": "renamed", "description": "changed"}


class SDNZoneAPI(APIViewTestCases.APIViewTestCase):
    model = models.SDNZone
    choices_fields = ["type"]
    bulk_update_data = {"dhcp": "dnsmasq"}

    @classmethod
    def setUpTestData(cls):
        first, *_ = [data.zone(number) for number in (1, 2, 3)]
        cls.create_data = [
            {"name": "new1", "namespace": first.namespace.pk, "cluster": first.cluster.pk, "type": "vxlan"},
            {"name": "new2", "namespace": first.namespace.pk, "cluster": first.cluster.pk},
            {"name": "new3", "namespace": first.namespace.pk, "type": "simple"},
        ]
        cls.update_data = {"name": "renamed", "type": "qinq"}


class SDNVNetAPI(APIViewTestCases.APIViewTestCase):
    model = models.SDNVNet
    bulk_update_data = {"alias": "many"}

    @classmethod
    def setUpTestData(cls):
        first, *_ = [data.vnet(number) for number in (1, 2, 3)]
        cls.create_data = [
            {"name": f"new{number}", "zone": first.zone.pk, "tag": number, "vlan": first.vlan.pk}
            for number in (1, 2, 3)
        ]


class SDNSubnetAPI(APIViewTestCases.APIViewTestCase):
    model = models.SDNSubnet
    bulk_update_data = {"snat": True}

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.subnet(number)
        vnet = data.vnet(4)
        cls.create_data = [
            {"vnet": vnet.pk, "prefix": data.prefix(number).pk, "gateway": f"10.{number}.0.1", "snat": True}
            for number in (5, 6, 7)
        ]
        cls.update_data = {"gateway": None, "dns_zone_prefix": "changed"}


class SDNDHCPRangeAPI(APIViewTestCases.APIViewTestCase):
    model = models.SDNDHCPRange
    test_list_objects_exclude_m2m = None  # there are none
    test_notes_url_functionality = None  # no notes either
    bulk_update_data = {"adopted": True}

    @classmethod
    def setUpTestData(cls):
        first, *_ = [data.subnet(number) for number in (1, 2, 3)]
        cls.create_data = [
            {"subnet": first.pk, "ip_address_range": data.dhcp_range(1, start, start + 9).pk, "adopted": True}
            for start in (10, 20, 30)
        ]
        cls.update_data = {"adopted": True}


class DifferenceAPI(
    APIViewTestCases.GetObjectViewTestCase,
    APIViewTestCases.ListObjectsViewTestCase,
    APIViewTestCases.UpdateObjectViewTestCase,
    APIViewTestCases.DeleteObjectViewTestCase,
    APIViewTestCases.NotesURLViewTestCase,
):
    model = models.Difference
    choices_fields = ["state"]
    update_data = {"state": "accepted", "reason": "a printer"}
    bulk_update_data = {"state": "accepted", "reason": "printers"}

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.difference(number)

    def change(self, **changed):
        self.add_permissions("nautobot_pve_ipam.change_difference", "nautobot_pve_ipam.view_difference")
        url = self._get_detail_url(models.Difference.objects.get(vmid=101))
        return self.client.patch(url, changed, format="json", **self.header)

    def test_nobody_but_a_sync_makes_one(self):
        self.add_permissions("nautobot_pve_ipam.add_difference")
        answer = self.client.post(self._get_list_url(), {"kind": "gone"}, format="json", **self.header)
        self.assertHttpStatus(answer, 405)

    def test_is_ignored_for_a_reason_and_opened_again(self):
        self.assertHttpStatus(self.change(state="accepted"), 400)
        self.assertEqual(self.change(state="accepted", reason="a printer").data["reason"], "a printer")
        self.assertEqual(self.change(state="open").data["reason"], "")

    def test_what_a_sync_says_is_not_changed(self):
        self.change(evidence="It was me.", kind="cache", vmid=999, first_seen="2000-01-01T00:00:00Z")
        found = models.Difference.objects.get(vmid=101)
        self.assertEqual((found.evidence, found.kind, found.first_seen.year), ("PVE has no guest 101.", "gone", 2026))

    def test_says_what_it_is_about(self):
        self.add_permissions("nautobot_pve_ipam.view_difference")
        answer = self.client.get(self._get_detail_url(models.Difference.objects.get(vmid=101)), **self.header).data
        expected = {
            "subject": "10.1.0.0/24 guest 101 BC:24:11:00:01:64 10.1.0.100",
            "namespace_name": "models",
            "cluster_name": "cluster1",
            "evidence": "PVE has no guest 101.",
        }
        self.assertEqual({name: answer[name] for name in expected}, expected)


class AllocationAPI(APIViewTestCases.APIViewTestCase):
    model = models.Allocation
    bulk_update_data = {"hostname": "many"}

    @classmethod
    def setUpTestData(cls):
        first, *_ = [data.allocation(number) for number in (1, 2, 3)]
        cls.create_data = [
            {"ip_address": data.address(1, 11).pk, "subnet": first.subnet.pk, "mac": "BC:24:11:00:00:11", "vmid": 111},
            {"ip_address": data.address(1, 12).pk, "mac": None, "hostname": "router"},
            {"ip_address": data.address(1, 13).pk, "subnet": first.subnet.pk, "is_gateway": True},
        ]
        cls.update_data = {"mac": None, "vmid": 112, "hostname": "changed"}

    def test_names_are_included_beside_links(self):
        self.add_permissions("nautobot_pve_ipam.view_allocation")
        instance = models.Allocation.objects.get(vmid=101)
        answer = self.client.get(self._get_detail_url(instance), **self.header).data
        expected = {
            "address": "10.1.0.100/24",
            "mac": "BC:24:11:00:01:64",
            "namespace_name": "models",
            "vnet_name": "vnet1",
            "zone_name": "zone1",
            "cluster_name": "cluster1",
        }
        self.assertEqual({name: answer[name] for name in expected}, expected)

    def test_names_are_null_without_a_subnet(self):
        self.add_permissions("nautobot_pve_ipam.view_allocation")
        instance = models.Allocation.objects.get(vmid=101)
        models.Allocation.objects.filter(pk=instance.pk).update(subnet=None)
        answer = self.client.get(self._get_detail_url(instance), **self.header).data
        self.assertEqual((answer["vnet_name"], answer["zone_name"], answer["cluster_name"]), (None, None, None))

    def test_any_notation_of_a_mac_is_stored_the_same_way(self):
        self.add_permissions("nautobot_pve_ipam.change_allocation", "nautobot_pve_ipam.view_allocation")
        url = self._get_detail_url(models.Allocation.objects.get(vmid=101))
        for spelling in ("bc2411aabbcc", "bc-24-11-aa-bb-cc", "BC24.11AA.BBCC"):
            answer = self.client.patch(url, {"mac": spelling}, format="json", **self.header)
            self.assertEqual(answer.data["mac"], "BC:24:11:AA:BB:CC", spelling)
        self.assertHttpStatus(self.client.patch(url, {"mac": "bc:24"}, format="json", **self.header), 400)
