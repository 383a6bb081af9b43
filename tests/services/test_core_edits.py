"""Core's own objects edited under PVE's records: the records follow, or the edit is refused with a sentence."""

import html

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.custom_validators import PrefixValidator
from nautobot_pve_ipam.models import Allocation, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from tests.models import data

pytestmark = pytest.mark.django_db

P = "/api/plugins/pve-ipam"


@pytest.fixture
def edit(api_client):
    """A function that edits an object through core's API; returns None, or the sentence with which it is refused."""

    def edit(thing, **fields):
        kind = {Prefix: "prefix", IPAddress: "ipaddress", IPAddressRange: "ipaddressrange"}[type(thing)]
        fields = {name: str(getattr(value, "pk", value)) for name, value in fields.items()}
        answer = api_client.patch(reverse(f"ipam-api:{kind}-detail", args=[thing.pk]), fields, format="json")
        thing.refresh_from_db()
        if answer.status_code == 200:
            return None
        assert answer.status_code == 400, answer.data
        (messages,) = answer.data.values()
        return str(messages[0])

    return edit


@pytest.fixture
def held():
    """A guest at 10.1.0.100 in subnet 10.1.0.0/24 with gateway .1 and DHCP range .100 to .199."""
    return data.allocation(1)


@pytest.fixture
def other():
    return data.namespace("other")


def point_to_point():
    """The subnet 10.1.0.5/32, whose gateway lies outside of it."""
    prefix = Prefix(prefix="10.1.0.5/32", namespace=data.namespace(), status=data.active(Prefix))
    return data.saved(SDNSubnet(vnet=data.vnet(1), prefix=data.saved(prefix)))


class TestMove:
    def test_a_whole_zone_moves_along(self, held, other, edit, api_client):
        data.allocation(1, 1, held.subnet, is_gateway=True)
        assert edit(held.subnet.prefix, namespace=other) is None
        zone = SDNZone.objects.get()
        assert zone.namespace == other
        for thing in (zone, SDNSubnet.objects.get(), *SDNDHCPRange.objects.all(), *Allocation.objects.all()):
            thing.full_clean()
        assert ObjectChange.objects.filter(changed_object_id=zone.pk, action="update").count() == 1
        body = {"zone": "zone1", "vnet": "vnet1", "cluster": "cluster1", "snat": False}
        url = f"{P}/namespaces/other/subnets/10.1.0.0-24/"
        assert api_client.put(url, body, format="json").status_code == 200
        guest = {"cluster": "cluster1", "mac": str(held.mac)}
        answer = api_client.post(f"{url}next-free-ip/", guest, format="json")
        assert (answer.status_code, answer.data["address"]) == (200, "10.1.0.100/24")

    def test_with_the_prefix_around_it(self, held, other, edit):
        around = data.saved(Prefix(prefix="10.0.0.0/8", namespace=data.namespace(), status=data.active(Prefix)))
        assert edit(around, namespace=other) is None
        assert SDNZone.objects.get().namespace == other
        SDNSubnet.objects.get().full_clean()

    def test_into_prefixes_that_are_there_already(self, held, other, edit):
        around = data.saved(Prefix(prefix="10.0.0.0/8", namespace=data.namespace(), status=data.active(Prefix)))
        data.prefix(9, other)
        data.saved(SDNSubnet(vnet=held.subnet.vnet, prefix=data.prefix(2)))
        assert edit(around, namespace=other) is None
        assert SDNZone.objects.get().namespace == other
        for subnet in SDNSubnet.objects.all():
            subnet.full_clean()

    @pytest.mark.parametrize("into_a_container", [False, True])
    def test_part_of_a_zone_does_not(self, into_a_container, held, other, edit):
        if into_a_container:
            data.saved(Prefix(prefix="10.0.0.0/8", type="container", namespace=other, status=data.active(Prefix)))
        data.saved(SDNSubnet(vnet=held.subnet.vnet, prefix=data.prefix(2)))
        assert edit(held.subnet.prefix, namespace=other) == (
            "Prefix 10.1.0.0/24 cannot move to namespace other: zone cluster1/zone1 would be left with "
            "subnet 10.2.0.0/24 (cluster1/zone1/vnet1) in namespace models."
        )
        assert held.subnet.prefix.namespace == data.namespace()

    def test_nor_of_the_zone_of_another_cluster(self, held, other, edit):
        vnet = data.vnet(2)
        data.saved(SDNSubnet(vnet=vnet, prefix=held.subnet.prefix))
        data.saved(SDNSubnet(vnet=vnet, prefix=data.prefix(3)))
        assert "zone cluster2/zone2 would be left with" in edit(held.subnet.prefix, namespace=other)

    @pytest.mark.parametrize("clustered", [True, False])
    def test_two_zones_of_one_name(self, clustered, held, other, edit):
        zone = held.subnet.vnet.zone
        if not clustered:
            zone.cluster = None
            zone.validated_save()
        data.saved(SDNZone(name="zone1", cluster=zone.cluster, namespace=other))
        assert edit(held.subnet.prefix, namespace=other) == (
            f"Prefix 10.1.0.0/24 cannot move to namespace other, which has a zone {zone} already."
        )

    def test_overlapping_subnets(self, held, other, edit):
        wide = data.saved(Prefix(prefix="10.0.0.0/8", namespace=other, status=data.active(Prefix)))
        vnet = SDNVNet(name="wide", zone=data.saved(SDNZone(name="wide", namespace=other)))
        data.saved(SDNSubnet(vnet=data.saved(vnet), prefix=wide))
        assert edit(held.subnet.prefix, namespace=other) == (
            "Prefix 10.1.0.0/24 would overlap subnet 10.0.0.0/8 (wide/wide) in namespace other."
        )

    def test_a_pool_of_a_subnet(self, held, other, edit):
        pool = {"prefix": "10.1.0.96/28", "type": "pool", "namespace": data.namespace(), "status": data.active(Prefix)}
        assert edit(data.saved(Prefix(**pool)), namespace=other) == (
            "Prefix 10.1.0.96/28 cannot move to namespace other: it would part 10.1.0.100/24 from "
            "subnet 10.1.0.0/24 (cluster1/zone1/vnet1) in namespace models, which holds it."
        )

    def test_the_gateway_of_a_point_to_point_subnet_elsewhere(self, other, edit):
        subnet = point_to_point()
        data.prefix(9)
        gateway = data.allocation(9, 1, subnet, is_gateway=True)
        for prefix in (gateway.ip_address.parent, subnet.prefix):
            assert edit(prefix, namespace=other) == (
                f"Prefix {prefix.prefix} cannot move to namespace other: it would part 10.9.0.1/24 from "
                "subnet 10.1.0.5/32 (cluster1/zone1/vnet1) in namespace models, which holds it."
            )
        around = data.saved(Prefix(prefix="10.0.0.0/8", namespace=data.namespace(), status=data.active(Prefix)))
        assert edit(around, namespace=other) is None
        for thing in (SDNZone.objects.get(), SDNSubnet.objects.get(), Allocation.objects.get()):
            thing.full_clean()
        assert Allocation.objects.get().ip_address.parent.namespace == other

    def test_on_the_page(self, held, other, admin_client):
        data.saved(SDNSubnet(vnet=held.subnet.vnet, prefix=data.prefix(2)))
        prefix = held.subnet.prefix
        form = {"prefix": str(prefix), "namespace": other.pk, "status": prefix.status.pk, "type": "network"}
        answer = admin_client.post(reverse("ipam:prefix_edit", args=[prefix.pk]), form)
        assert "would be left with subnet 10.2.0.0/24" in answer.content.decode()


class TestResize:
    def test_larger(self, held, edit, api_client):
        assert edit(held.subnet.prefix, prefix="10.1.0.0/23") is None
        body = {"zone": "zone1", "vnet": "vnet1", "cluster": "cluster1", "gateway": "10.1.0.1"}
        url = f"{P}/namespaces/models/subnets/10.1.0.0-23/"
        assert api_client.put(url, body, format="json").status_code == 200
        held.refresh_from_db()
        held.full_clean()

    @pytest.mark.parametrize(
        ("to", "why"),
        [
            ("10.1.0.0/26", "leave no room for 10.1.0.100/24, which PVE holds."),
            ("10.1.0.64/26", "gateway 10.1.0.1 is not a usable address of 10.1.0.64/26"),
        ],
    )
    def test_smaller(self, to, why, held, edit):
        held.subnet.dhcp_ranges.get().delete()
        data.saved(Prefix(prefix="10.1.0.0/16", namespace=data.namespace(), status=data.active(Prefix)))
        assert why in edit(held.subnet.prefix, prefix=to)
        assert str(held.subnet.prefix) == "10.1.0.0/24"

    def test_a_gateway_that_the_subnet_had_before(self, edit):
        gateway = data.allocation(1, 1, is_gateway=True)
        gateway.subnet.dhcp_ranges.get().delete()
        SDNSubnet.objects.update(gateway="10.1.0.200")
        data.saved(Prefix(prefix="10.1.0.0/16", namespace=data.namespace(), status=data.active(Prefix)))
        assert "leave no room for 10.1.0.1/24" in edit(gateway.subnet.prefix, prefix="10.1.0.128/25")

    def test_a_point_to_point_subnet_and_its_gateway_elsewhere(self, edit):
        subnet = point_to_point()
        data.prefix(9)
        gateway = data.allocation(9, 1, subnet, is_gateway=True)
        assert "leave no room for 10.9.0.1/24, which PVE holds." in edit(subnet.prefix, prefix="10.1.0.4/31")
        assert edit(gateway.ip_address.parent, prefix="10.9.0.0/25") is None
        gateway.full_clean()

    def test_an_end_that_hosts_may_not_use(self, edit):
        allocation = data.allocation(1, 127)
        allocation.subnet.dhcp_ranges.get().delete()
        assert "leave no room for 10.1.0.127/24" in edit(allocation.subnet.prefix, prefix="10.1.0.0/25")

    def test_ranges(self, edit):
        """Core checks those of the prefix itself; here the range is one of a pool inside."""
        subnet = data.subnet(1)
        pool = {"prefix": "10.1.0.96/27", "type": "pool", "namespace": data.namespace(), "status": data.active(Prefix)}
        subnet.dhcp_ranges.get().delete()
        data.saved(Prefix(**pool))
        data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1, 100, 110)))
        assert "leave out 10.1.0.100 - 10.1.0.110, a DHCP range of PVE." in edit(subnet.prefix, prefix="10.1.0.0/26")

    def test_over_another_subnet(self, edit):
        first, second = data.subnet(1), data.subnet(2)
        assert edit(second.prefix, prefix="10.2.0.0/23") is None
        third = Prefix(prefix="10.2.2.0/24", namespace=data.namespace(), status=data.active(Prefix))
        data.saved(SDNSubnet(vnet=first.vnet, prefix=data.saved(third)))
        assert edit(second.prefix, prefix="10.2.0.0/22") == (
            "Prefix 10.2.0.0/22 would overlap subnet 10.2.2.0/24 (cluster1/zone1/vnet1) in namespace models."
        )


class TestAddressesAndRanges:
    """On the pages: core's API moves neither to another namespace."""

    @pytest.fixture
    def moved(self, admin_client):
        """A function that edits an object on its page; returns None, or the page that refuses it."""

        def moved(thing, space, **fields):
            form = {"namespace": space.pk, "status": thing.status.pk, **fields}
            kind = thing._meta.model_name
            answer = admin_client.post(reverse(f"ipam:{kind}_edit", args=[thing.pk]), form)
            thing.refresh_from_db()
            return None if answer.status_code == 302 else html.unescape(answer.content.decode())

        return moved

    def test_a_held_address_stays_in_its_namespace(self, held, other, moved):
        data.prefix(1, other)
        fields = {"address": "10.1.0.100/24", "type": "host"}
        assert (
            "Address 10.1.0.100/24 is held in subnet 10.1.0.0/24 (cluster1/zone1/vnet1) in namespace models: "
            "release it first."
        ) in moved(held.ip_address, other, **fields)
        assert moved(held.ip_address, data.namespace(), **fields, description="web") is None
        assert held.ip_address.description == "web"

    def test_one_without_a_subnet_takes_its_allocation_along(self, held, other, moved):
        held.subnet = None
        held.validated_save()
        data.prefix(1, other)
        assert moved(held.ip_address, other, address="10.1.0.100/24", type="host") is None
        held.refresh_from_db()
        assert held.ip_address.parent.namespace == other
        held.full_clean()

    def test_a_dhcp_range_stays_in_its_subnet(self, held, other, moved):
        around = {"prefix": "10.0.0.0/8", "status": data.active(Prefix)}
        for space in (data.namespace(), other):
            data.saved(Prefix(namespace=space, **around))
        found = held.subnet.dhcp_ranges.get()
        assert moved(found, data.namespace(), start_address="10.1.0.90", end_address="10.1.0.110") is None
        left = " would leave subnet 10.1.0.0/24 (cluster1/zone1/vnet1) in namespace models, whose DHCP range it is."
        for space, start, end in ((data.namespace(), "10.9.0.90", "10.9.0.110"), (other, "10.1.0.90", "10.1.0.110")):
            assert f"Range {start} - {end}{left}" in moved(found, space, start_address=start, end_address=end)


class TestLate:
    """PVE has made the subnets after the edit was validated."""

    SENTENCE = (
        "Prefix 10.1.0.0/24 cannot move to namespace other: zone cluster1/zone1 would be left with subnet 10.2.0.0"
    )

    @pytest.fixture(autouse=True)
    def _validated_before(self, held, monkeypatch):
        data.saved(SDNSubnet(vnet=held.subnet.vnet, prefix=data.prefix(2)))
        monkeypatch.setattr(PrefixValidator, "clean", lambda self: None)

    def test_in_the_api(self, held, other, api_client):
        prefix = held.subnet.prefix
        url = reverse("ipam-api:prefix-detail", args=[prefix.pk])
        answer = api_client.patch(url, {"namespace": str(other.pk)}, format="json")
        assert answer.status_code == 409
        assert answer.data["detail"].startswith(self.SENTENCE)
        assert Prefix.objects.get(pk=prefix.pk).namespace == data.namespace()

    def test_on_the_page(self, held, other, admin_client):
        prefix = held.subnet.prefix
        form = {"prefix": str(prefix), "namespace": other.pk, "status": prefix.status.pk, "type": "network"}
        answer = admin_client.post(reverse("ipam:prefix_edit", args=[prefix.pk]), form)
        assert self.SENTENCE in html.unescape(answer.content.decode())
        assert Prefix.objects.get(pk=prefix.pk).namespace == data.namespace()


class TestCost:
    @pytest.mark.parametrize("fields", [{"namespace": "other"}, {"prefix": "10.5.0.0/23"}, {"description": "x"}])
    def test_few_queries_for_a_prefix_that_pve_does_not_use(self, fields, held, other, edit):
        prefix = data.prefix(5)
        if "namespace" in fields:
            fields = {"namespace": other}
        with CaptureQueriesContext(connection) as captured:
            assert edit(prefix, **fields) is None
        ours = [query["sql"] for query in captured if '"nautobot_pve_ipam_' in query["sql"].split("WHERE")[0]]
        most = {"namespace": 11, "prefix": 3, "description": 0}  # each is checked two or three times
        assert len(ours) <= most[next(iter(fields))], ours
