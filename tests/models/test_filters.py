"""Filters of the models: Nautobot's own test cases, and the ways in which people look for a guest."""

from nautobot.apps.testing import FilterTestCases

from nautobot_pve_ipam import filters, models
from tests.models import data


class Filters(FilterTestCases.FilterTestCase):
    """Three allocations in three clusters: guest1 to guest3 in 10.1.0.0/24 to 10.3.0.0/24."""

    __test__ = False
    test_filters_distinct = None  # runs in Nautobot's own suite only

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.allocation(number)

    def found(self, **params):
        """What the filters find, as the numbers of the objects' data; None if they are rejected."""
        filterset = self.filterset(params, self.queryset)
        if not filterset.is_valid():
            return None
        return sorted(self.number(one) for one in filterset.qs)


class PVEClusterFilters(Filters):
    __test__ = True
    queryset = models.PVECluster.objects.all()
    filterset = filters.PVEClusterFilterSet
    generic_filter_tests = (
        ["name"],
        ["description"],
        ["virtualization_cluster", "virtualization_cluster__id"],
        ["virtualization_cluster", "virtualization_cluster__name"],
    )


class SDNZoneFilters(Filters):
    __test__ = True
    queryset = models.SDNZone.objects.all()
    filterset = filters.SDNZoneFilterSet
    generic_filter_tests = (
        ["name"],
        ["dhcp"],
        ["cluster", "cluster__id"],
        ["cluster", "cluster__name"],
        ["virtualization_cluster", "cluster__virtualization_cluster__name"],
    )

    @staticmethod
    def number(zone):
        return int(zone.name[-1])

    def test_namespace_and_type(self):
        models.SDNZone.objects.filter(name="zone2").update(namespace=data.namespace("other"), type="evpn")
        self.assertEqual(self.found(namespace=["other"]), [2])
        self.assertEqual(self.found(type=["vlan"]), [1, 3])
        self.assertIsNone(self.found(type=["token ring"]))


class SDNVNetFilters(Filters):
    __test__ = True
    queryset = models.SDNVNet.objects.all()
    filterset = filters.SDNVNetFilterSet
    generic_filter_tests = (
        ["name"],
        ["alias"],
        ["tag"],
        ["vlan", "vlan__id"],
        ["vlan", "vlan__vid"],
        ["zone", "zone__name"],
        ["cluster", "zone__cluster__name"],
    )

    @staticmethod
    def number(vnet):
        return int(vnet.name[-1])

    def test_namespace(self):
        models.SDNZone.objects.filter(name="zone2").update(namespace=data.namespace("other"))
        self.assertEqual(self.found(namespace=["other"]), [2])

    def test_a_tag_is_found_by_search(self):
        self.assertEqual(self.found(q="1002"), [2])


class SDNSubnetFilters(Filters):
    __test__ = True
    queryset = models.SDNSubnet.objects.all()
    filterset = filters.SDNSubnetFilterSet
    generic_filter_tests = (
        ["vnet", "vnet__name"],
        ["zone", "vnet__zone__name"],
        ["cluster", "vnet__zone__cluster__name"],
        ["prefix", "prefix__id"],
        ["dns_zone_prefix"],
        ["dhcp_ranges", "dhcp_ranges__id"],
    )

    @staticmethod
    def number(subnet):
        return int(subnet.vnet.name[-1])

    def test_prefix_as_text(self):
        self.assertEqual(self.found(prefix=["10.2.0.0/24", "10.3.0.0/24"]), [2, 3])
        self.assertIsNone(self.found(prefix=["10.2.0.0/25"]))

    def test_namespace(self):
        self.assertEqual(self.found(namespace=["models"]), [1, 2, 3])
        data.namespace("other")
        self.assertEqual(self.found(namespace=["other"]), [])

    def test_subnets_containing_an_address(self):
        self.assertEqual(self.found(contains=["10.2.0.77"]), [2])
        self.assertEqual(self.found(contains=["10.2.0.77", "10.3.0.1"]), [2, 3])
        self.assertEqual(self.found(contains=["2001:db8::1"]), [])

    def test_gateway_and_snat(self):
        self.assertEqual(self.found(gateway=["10.2.0.1"]), [2])
        self.assertEqual(self.found(snat=True), [1, 3])

    def test_search(self):
        for text, expected in {
            "10.2.0": [2],
            "10.2.0.7": [2],
            "10.2.0.0/24": [2],
            "10.": [1, 2, 3],
            "zone3": [3],
            "2001:db8:": [],
            "nothing": [],
        }.items():
            self.assertEqual(self.found(q=text), expected, text)


class SDNDHCPRangeFilters(Filters):
    __test__ = True
    queryset = models.SDNDHCPRange.objects.all()
    filterset = filters.SDNDHCPRangeFilterSet
    generic_filter_tests = (["subnet", "subnet__id"], ["ip_address_range", "ip_address_range__id"])
    test_q_filter_valid = None  # nothing to search by
    test_tags_filter = None  # a link has no tags


class AllocationFilters(Filters):
    __test__ = True
    queryset = models.Allocation.objects.all()
    filterset = filters.AllocationFilterSet
    generic_filter_tests = (
        ["hostname"],
        ["vmid"],
        ["ip_address", "ip_address__id"],
        ["subnet", "subnet__id"],
        ["vnet", "subnet__vnet__name"],
        ["zone", "subnet__vnet__zone__name"],
        ["cluster", "subnet__vnet__zone__cluster__name"],
    )

    @staticmethod
    def number(allocation):
        return allocation.vmid - 100

    def test_mac_in_any_notation(self):
        for mac in ("BC:24:11:00:02:64", "bc:24:11:0:2:64", "bc-24-11-00-02-64", "bc24.1100.0264", "bc2411000264"):
            self.assertEqual(self.found(mac=[mac]), [2], mac)
            self.assertEqual(self.found(q=mac), [2], mac)
        self.assertEqual(self.found(mac=["bc:24:11:00:02:64", "bc:24:11:00:03:64"]), [2, 3])

    def test_address(self):
        self.assertEqual(self.found(ip_address=["10.2.0.100"]), [2])
        self.assertEqual(self.found(ip_address=["10.2.0.100/24", "10.3.0.100"]), [2, 3])

    def test_prefix_containing_the_address(self):
        self.assertEqual(self.found(prefix=["10.2.0.96/28"]), [2])
        self.assertEqual(self.found(prefix=["10.2.0.0/15"]), [2, 3])
        self.assertEqual(self.found(prefix=["10.0.0.0/8"]), [1, 2, 3])
        self.assertEqual(self.found(prefix=["10.2.0.0/30"]), [])

    def test_prefix_by_id_stays_in_its_namespace(self):
        space = data.namespace("other")
        twin = data.prefix(2, space)
        models.Allocation.objects.create(ip_address=data.address(2, 100, space), vmid=104)
        self.assertEqual(self.found(prefix=[str(twin.pk)]), [4])
        self.assertEqual(self.found(prefix=["10.2.0.0/24"]), [2, 4])
        self.assertEqual(self.found(namespace=["other"]), [4])

    def test_gateways_and_those_without_subnet(self):
        models.Allocation.objects.filter(vmid=101).update(is_gateway=True, subnet=None)
        self.assertEqual(self.found(is_gateway=True), [1])
        self.assertEqual(self.found(subnet=["null"]), [1])

    def test_search(self):
        for text, expected in {
            "guest2": [2],
            "102": [2],
            "10.2": [2],
            "10.2.0.100": [2],
            "10.2.0.0/24": [2],
            "vnet3": [3],
            "zone3": [3],
            "10.2.0.101": [],
        }.items():
            self.assertEqual(self.found(q=text), expected, text)


class BadValues(FilterTestCases.BaseFilterTestCase):
    """Invalid addresses and MACs are client errors, never server errors."""

    def test_are_refused(self):
        self.add_permissions("nautobot_pve_ipam.view_allocation", "nautobot_pve_ipam.view_sdnsubnet")
        for url in (
            "allocations/?mac=zz",
            "allocations/?ip_address=10.0.0.256",
            "allocations/?prefix=10.0.0.0/33",
            "subnets/?gateway=router",
            "subnets/?contains=10.0.0",
        ):
            for root in ("/plugins/pve-ipam/", "/api/plugins/pve-ipam/"):
                response = self.client.get(root + url)
                self.assertLess(response.status_code, 500, root + url)
                if root.startswith("/api"):
                    self.assertHttpStatus(response, 400, root + url)


class DifferenceFilters(Filters):
    __test__ = True
    queryset = models.Difference.objects.all()
    filterset = filters.DifferenceFilterSet
    generic_filter_tests = (
        ["network"],
        ["vmid"],
        ["ip"],
        ["evidence"],
        ["first_seen"],
        ["last_seen"],
        ["cluster", "cluster__id"],
        ["cluster", "cluster__name"],
    )

    @classmethod
    def setUpTestData(cls):
        for number in (1, 2, 3):
            data.difference(number)

    @staticmethod
    def number(difference):
        return difference.vmid - 100

    def test_namespace_state_and_kind(self):
        changed = {"namespace": data.namespace("other"), "state": "accepted", "reason": "a printer", "kind": "stale"}
        models.Difference.objects.filter(vmid=102).update(**changed)
        self.assertEqual(self.found(namespace=["other"]), [2])
        self.assertEqual(self.found(state=["open"]), [1, 3])
        self.assertEqual(self.found(kind=["stale"]), [2])
        self.assertEqual(self.found(reason=["a printer"]), [2])
        self.assertIsNone(self.found(state=["forgotten"]))

    def test_a_mac_in_any_notation(self):
        self.assertEqual(self.found(mac=["bc2411000264"]), [2])
        self.assertIsNone(self.found(mac=["bc24"]))

    def test_search(self):
        self.assertEqual(self.found(q="guest 103"), [3])
        self.assertEqual(self.found(q="10.2.0.100"), [2])
        self.assertEqual(self.found(q="10.1.0.0/24"), [1])
        self.assertEqual(self.found(q="bc-24-11-00-01-64"), [1])
        self.assertEqual(self.found(q="102"), [2])
