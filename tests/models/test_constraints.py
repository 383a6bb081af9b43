"""What the models reject, and what is deleted together with what, however the deletion is triggered."""

import html

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from nautobot.apps.testing import APITestCase, create_job_result_and_run_job
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.models import Allocation, Difference, PVECluster, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from tests.models import data

pytestmark = pytest.mark.django_db


def refused(thing, field):
    """The validation error of `thing` for `field`."""
    with pytest.raises(ValidationError) as caught:
        thing.validated_save()
    return caught.value.message_dict[field][0]


def test_a_zone_without_cluster_is_unique_in_its_namespace():
    space = data.namespace()
    data.saved(SDNZone(name="simple1", namespace=space))
    assert "already exists" in refused(SDNZone(name="simple1", namespace=space), "name")
    data.saved(SDNZone(name="simple1", namespace=data.namespace("other")))
    data.saved(SDNZone(name="simple1", namespace=space, cluster=data.cluster(1)))
    data.saved(SDNZone(name="simple1", namespace=space, cluster=data.cluster(2)))


def test_a_zone_without_cluster_can_be_saved_again():
    zone = data.saved(SDNZone(name="simple1", namespace=data.namespace()))
    zone.description = "changed"
    zone.validated_save()


def test_a_zone_is_unique_in_its_cluster_and_namespace():
    zone = data.zone(1)
    twin = SDNZone(name=zone.name, namespace=zone.namespace, cluster=zone.cluster)
    with pytest.raises(ValidationError):
        twin.validated_save()
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()


@pytest.mark.parametrize("name", ["ninechars", "1zone", "a-b", "", "zöne"])
def test_bad_ids(name):
    refused(SDNZone(name=name, namespace=data.namespace()), "name")
    refused(SDNVNet(name=name, zone=data.zone(1)), "name")


def test_eight_characters_are_a_valid_id():
    assert data.saved(SDNZone(name="eightchr", namespace=data.namespace())).pk


@pytest.mark.parametrize("tag", [0, 16_777_216])
def test_tags_of_vnets(tag):
    refused(SDNVNet(name="vnet1", zone=data.zone(1), tag=tag), "tag")


@pytest.mark.parametrize("vmid", [99, 1_000_000_000])
def test_vmids(vmid):
    refused(Allocation(ip_address=data.allocation(1).ip_address, vmid=vmid), "vmid")


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x00b", "a\x7fb", "a\x9bb"], ids=ascii)
def test_names_from_pve_have_no_control_characters(name):
    """So on the pages, in bulk and in imports, too, which all validate the model."""
    allocation, zone = data.allocation(1), data.zone(2)
    for thing, field in (
        (allocation, "hostname"),
        (allocation.subnet, "dns_zone_prefix"),
        (SDNVNet(name="vnet9", zone=zone), "alias"),
        (zone.cluster, "name"),
    ):
        setattr(thing, field, name)
        assert "control character" in refused(thing, field)


def test_one_allocation_per_address():
    refused(Allocation(ip_address=data.allocation(1).ip_address), "ip_address")


def test_a_subnet_is_in_the_namespace_of_its_zone():
    foreign = data.prefix(1, data.namespace("other"))
    assert "is not in namespace" in refused(SDNSubnet(vnet=data.vnet(1), prefix=foreign), "prefix")


def test_a_zone_or_vnet_with_subnets_stays_in_its_namespace():
    vnet = data.subnet(1).vnet
    vnet.zone = SDNZone.objects.create(name="other", namespace=data.namespace("other"))
    assert "is in namespace models" in refused(vnet, "zone")
    zone = SDNZone.objects.get(name="zone1")
    zone.namespace = data.namespace("other")
    assert "is in namespace models" in refused(zone, "namespace")


@pytest.mark.parametrize("gateway", ["10.2.0.1", "2001:db8::1"])
def test_a_gateway_is_in_its_subnet(gateway):
    subnet = SDNSubnet(vnet=data.vnet(1), prefix=data.prefix(1), gateway=gateway)
    assert f"Gateway {gateway} is not in 10.1.0.0/24" in refused(subnet, "gateway")


def test_an_invalid_address_is_not_a_gateway():
    refused(SDNSubnet(vnet=data.vnet(1), prefix=data.prefix(1), gateway="router"), "gateway")


def test_a_point_to_point_subnet_has_its_gateway_outside():
    host = data.saved(Prefix(prefix="10.1.0.7/32", namespace=data.namespace(), status=data.active(Prefix)))
    assert data.saved(SDNSubnet(vnet=data.vnet(1), prefix=host, gateway="10.9.0.1")).pk


def test_two_clusters_may_have_the_same_prefix_but_a_vnet_only_once():
    subnet = data.subnet(1)
    data.saved(SDNSubnet(vnet=data.vnet(2), prefix=subnet.prefix))
    with pytest.raises(ValidationError):
        SDNSubnet(vnet=subnet.vnet, prefix=subnet.prefix).validated_save()


def test_a_dhcp_range_is_in_its_subnet():
    subnet, foreign = data.subnet(1), data.subnet(2).dhcp_ranges.get()
    assert "is not within" in refused(SDNDHCPRange(subnet=subnet, ip_address_range=foreign), "ip_address_range")
    twin = data.dhcp_range(1, space=_with_prefix("other", 1))
    assert "is not within" in refused(SDNDHCPRange(subnet=subnet, ip_address_range=twin), "ip_address_range")


def test_an_allocation_is_in_its_subnet():
    subnet, elsewhere = data.subnet(1), data.address(2, 9, _with_prefix("models", 2))
    assert "is not in subnet 10.1.0.0/24" in refused(Allocation(ip_address=elsewhere, subnet=subnet), "ip_address")
    twin = data.address(1, 9, _with_prefix("other", 1))
    assert "of namespace models" in refused(Allocation(ip_address=twin, subnet=subnet), "ip_address")
    assert data.saved(Allocation(ip_address=twin)).pk


def test_an_allocation_in_a_child_prefix_of_its_subnet_stays_valid():
    held = data.allocation(1, 200)
    data.saved(Prefix(prefix="10.1.0.200/29", namespace=data.namespace(), status=data.active(Prefix)))
    held = Allocation.objects.get()
    assert str(held.ip_address.parent) == "10.1.0.200/29"
    held.validated_save()


def test_the_gateway_of_a_point_to_point_subnet_is_allocated_outside():
    host = data.saved(Prefix(prefix="10.1.0.7/32", namespace=data.namespace(), status=data.active(Prefix)))
    subnet = data.saved(SDNSubnet(vnet=data.vnet(1), prefix=host, gateway="10.9.0.1"))
    outside = data.address(9, 1, _with_prefix("models", 9))
    refused(Allocation(ip_address=outside, subnet=subnet), "ip_address")
    assert data.saved(Allocation(ip_address=outside, subnet=subnet, is_gateway=True)).pk


def test_a_mac_holds_one_address_of_a_subnet():
    held = data.allocation(1, 9)
    fields = {"mac": held.mac, "subnet": held.subnet}
    address = data.address(1, 10)
    assert f"MAC {held.mac} already holds 10.1.0.9/24" in refused(Allocation(ip_address=address, **fields), "mac")
    held.validated_save()
    gateway = data.saved(Allocation(ip_address=address, is_gateway=True, **fields))
    gateway.is_gateway = False
    refused(gateway, "mac")
    data.saved(Allocation(ip_address=data.address(1, 11), mac=held.mac))


def test_a_mac_with_two_addresses_that_were_asked_for_can_still_be_edited():
    held = data.allocation(1, 9)
    second = Allocation(ip_address=data.address(1, 10), subnet=held.subnet, mac=held.mac)
    second.save()  # as next-free-ip does for a caller that names bounds
    second.hostname = "renamed"
    second.validated_save()


def test_a_subnet_takes_what_it_holds_along():
    held = data.allocation(1, 9)
    subnet = held.subnet
    subnet.gateway, subnet.prefix = None, data.prefix(2)
    assert "does not contain 10.1.0.9/24" in refused(subnet, "prefix")
    held.delete()
    assert "does not contain DHCP range" in refused(subnet, "prefix")
    subnet.dhcp_ranges.clear()
    subnet.validated_save()


@pytest.mark.parametrize("fields", [{"subnet": 2}, {"ip_address": 2}, {"mac": "BC:24:11:00:01:09"}])
def test_api_and_pages_say_so(fields, admin_client):
    held, other = data.allocation(1, 10), data.allocation(2, 9)
    data.allocation(1, 9, held.subnet)
    fields = {
        name: str({"subnet": other.subnet.pk, "ip_address": data.address(2, 10).pk}.get(name, value))
        for name, value in fields.items()
    }
    url = reverse("plugins-api:nautobot_pve_ipam-api:allocation-detail", args=[held.pk])
    answer = admin_client.patch(url, fields, content_type="application/json")
    assert answer.status_code == 400
    sentence = str(next(iter(answer.json().values()))[0])
    form = {"ip_address": held.ip_address.pk, "subnet": held.subnet.pk, "mac": str(held.mac), **fields}
    page = admin_client.post(reverse("plugins:nautobot_pve_ipam:allocation_edit", args=[held.pk]), form)
    assert sentence in html.unescape(page.content.decode())


def _with_prefix(name, number):
    space = data.namespace(name)
    data.prefix(number, space)
    return space


class Cascades(APITestCase):
    """None of our records are left dangling, however Nautobot's objects are deleted."""

    def setUp(self):
        super().setUp()
        self.user.is_superuser = True
        self.user.save()
        self.allocation = data.allocation(1)
        self.subnet = self.allocation.subnet
        self.address = self.allocation.ip_address

    def kept(self):
        """Number of clusters, zones, vnets, subnets, DHCP ranges and allocations."""
        tables = (PVECluster, SDNZone, SDNVNet, SDNSubnet, SDNDHCPRange, Allocation)
        return [table.objects.count() for table in tables]

    def test_deleting_an_address_deletes_its_allocation(self):
        self.address.delete()
        self.assertEqual(self.kept(), [1, 1, 1, 1, 1, 0])

    def test_bulk_deleting_an_address_deletes_its_allocation(self):
        url = reverse("ipam-api:ipaddress-list")
        response = self.client.delete(url, [{"id": str(self.address.pk)}], format="json", **self.header)
        self.assertHttpStatus(response, 204)
        self.assertEqual(self.kept(), [1, 1, 1, 1, 1, 0])

    def test_deleting_an_address_on_the_list_page_deletes_its_allocation(self):
        data.allocation(1, 101, self.subnet)
        result = create_job_result_and_run_job(
            "nautobot.core.jobs.bulk_actions",
            "BulkDeleteObjects",
            username=self.user.username,
            content_type=ContentType.objects.get_for_model(IPAddress).pk,
            pk_list=[str(self.address.pk)],
        )
        self.assertJobResultStatus(result)
        self.assertFalse(IPAddress.objects.filter(pk=self.address.pk).exists())
        self.assertEqual(self.kept(), [1, 1, 1, 1, 1, 1])

    def test_deleting_a_prefix_deletes_its_subnet_but_not_the_allocations(self):
        Prefix.objects.create(prefix="10.0.0.0/8", namespace=data.namespace(), status=data.active(Prefix))
        self.subnet.prefix.refresh_from_db()
        self.subnet.prefix.delete()
        self.assertEqual(self.kept(), [1, 1, 1, 0, 0, 1])
        self.allocation.refresh_from_db()
        self.assertIsNone(self.allocation.subnet)

    def test_deleting_a_range_removes_it_from_the_subnet(self):
        self.subnet.dhcp_ranges.get().delete()
        self.assertEqual(self.kept(), [1, 1, 1, 1, 0, 1])

    def test_deleting_a_cluster_deletes_its_zones_but_not_the_addresses(self):
        PVECluster.objects.get().delete()
        self.assertEqual(self.kept(), [0, 0, 0, 0, 0, 1])
        self.assertTrue(IPAddress.objects.filter(pk=self.address.pk).exists())

    def test_deleting_a_virtualization_cluster_keeps_the_cluster(self):
        PVECluster.objects.get().virtualization_cluster.delete()
        self.assertIsNone(PVECluster.objects.get().virtualization_cluster)

    def test_deleting_an_allocation_keeps_its_address(self):
        self.allocation.delete()
        self.assertTrue(IPAddress.objects.filter(pk=self.address.pk).exists())

    def test_deleting_a_namespace_deletes_its_zone(self):
        space = Namespace.objects.create(name="empty")
        data.saved(SDNZone(name="simple1", namespace=space))
        space.delete()
        self.assertEqual(self.kept(), [1, 1, 1, 1, 1, 1])


def test_a_difference_is_the_only_one_of_its_cluster_kind_and_subject():
    found = data.difference(1)
    facts = {
        "first_seen": found.first_seen,
        "last_seen": found.last_seen,
        "evidence": "again",
        "cluster": found.cluster,
    }
    subject = {name: getattr(found, name) for name in ("kind", "network", "vmid", "mac", "ip")}
    for cluster in (found.cluster, None):
        twins = [Difference(namespace=found.namespace, **{**facts, **subject, "cluster": cluster}) for _ in range(2)]
        if cluster is None:
            data.saved(twins.pop())
        with pytest.raises(ValidationError):
            twins[0].validated_save()
        with pytest.raises(IntegrityError), transaction.atomic():
            twins[0].save()
    data.saved(Difference(namespace=found.namespace, **{**facts, **subject, "kind": "stale"}))


def test_a_difference_is_still_itself_when_it_is_saved_again():
    found = data.difference(1)
    again = Difference.objects.get()
    again.validated_save()
    assert Difference.objects.get().identity == found.identity


def test_a_difference_is_ignored_for_a_reason_and_open_without():
    found = data.difference(1)
    found.state = "accepted"
    assert "for a reason" in refused(found, "reason")
    found.reason = "a printer\n"
    assert "contains a control character" in refused(found, "reason")
    found.reason = "a printer"
    found.validated_save()
    found.state = "open"
    found.validated_save()
    assert found.reason == ""
