"""Each model in GraphQL."""

import pytest
from django.utils import timezone
from nautobot.apps.graphql import execute_query

from nautobot_pve_ipam import models
from tests.models import data
from tests.models.test_citizenship import SHOWN

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:graphene.*"),  # Nautobot's own
]


def answer(query, user):
    result = execute_query(query, user=user)
    assert not result.errors, result.errors
    return result.data


def test_allocations_with_address_and_subnet(admin_user):
    data.allocation(1)
    data.allocation(2)
    query = """{
        allocations(vmid: [102]) {
            ip_address { address }
            mac vmid hostname is_gateway
            subnet { gateway prefix { prefix } vnet { name zone { name type cluster { name status { name } } } } }
        }
    }"""
    assert answer(query, admin_user) == {
        "allocations": [
            {
                "ip_address": {"address": "10.2.0.100/24"},
                "mac": "BC:24:11:00:02:64",
                "vmid": 102,
                "hostname": "guest2",
                "is_gateway": False,
                "subnet": {
                    "gateway": "10.2.0.1",
                    "prefix": {"prefix": "10.2.0.0/24"},
                    "vnet": {
                        "name": "vnet2",
                        "zone": {
                            "name": "zone2",
                            "type": "VLAN",
                            "cluster": {"name": "cluster2", "status": {"name": "Active"}},
                        },
                    },
                },
            }
        ]
    }


def test_open_differences_of_a_cluster(admin_user):
    data.difference(1)
    data.difference(2)
    query = """{
        differences(cluster: ["cluster2"], state: ["open"]) {
            kind evidence vmid ip settlements before cluster { name } namespace { name }
        }
    }"""
    (found,) = answer(query, admin_user)["differences"]
    assert found.pop("before")["hostname"] == "guest2"
    assert found == {
        "kind": "GONE",
        "evidence": "PVE has no guest 102.",
        "vmid": 102,
        "ip": "10.2.0.100",
        "settlements": ["release"],
        "cluster": {"name": "cluster2"},
        "namespace": {"name": "models"},
    }


def test_filters_by_mac_and_prefix(admin_user):
    data.allocation(1)
    data.allocation(2)
    query = """{
        by_mac: allocations(mac: ["bc2411000264"]) { vmid }
        by_prefix: allocations(prefix: ["10.1.0.0/24"]) { vmid }
    }"""
    assert answer(query, admin_user) == {"by_mac": [{"vmid": 102}], "by_prefix": [{"vmid": 101}]}


def test_from_the_cluster_down(admin_user):
    data.allocation(1)
    query = """{
        pve_clusters { name sdn_zones { name vnets { name tag subnets { snat allocations { hostname }
            dhcp_ranges { start_host } } } } }
        sdn_zones { dhcp } sdn_vnets { alias } sdn_subnets { dns_zone_prefix } sdn_dhcp_ranges { adopted }
    }"""
    assert answer(query, admin_user) == {
        "pve_clusters": [
            {
                "name": "cluster1",
                "sdn_zones": [
                    {
                        "name": "zone1",
                        "vnets": [
                            {
                                "name": "vnet1",
                                "tag": 1001,
                                "subnets": [
                                    {
                                        "snat": True,
                                        "allocations": [{"hostname": "guest1"}],
                                        "dhcp_ranges": [{"start_host": "10.1.0.100"}],
                                    }
                                ],
                            }
                        ],
                    }
                ],
            }
        ],
        "sdn_zones": [{"dhcp": "dnsmasq1"}],
        "sdn_vnets": [{"alias": "servers of rack 1"}],
        "sdn_subnets": [{"dns_zone_prefix": "dns1"}],
        "sdn_dhcp_ranges": [{"adopted": False}],
    }


def test_from_the_address_to_its_guest(admin_user):
    data.allocation(1)
    query = """{ ip_addresses(address: ["10.1.0.100"]) { pve_allocation { hostname } } }"""
    assert answer(query, admin_user) == {"ip_addresses": [{"pve_allocation": {"hostname": "guest1"}}]}


@pytest.mark.parametrize("model", [*SHOWN, models.SDNDHCPRange])
def test_every_field_of_an_object_of_which_only_the_required_is_known(model, admin_user):
    bare(model)
    fields = [
        field.name
        for field in model._meta.concrete_fields
        if not field.is_relation and not field.name.startswith("_") and field.name != "id"
    ]
    (shown,) = answer(f"{{ {listed(model)} {{ {' '.join(fields)} }} }}", admin_user)[listed(model)]
    assert set(shown) == set(fields)


def test_no_mac_is_null(admin_user):
    bare(models.Allocation)
    assert answer("{ allocations { mac } }", admin_user) == {"allocations": [{"mac": None}]}


def listed(model):
    """The model's list in GraphQL."""
    return model._meta.verbose_name_plural.lower().replace(" ", "_")


def bare(model):
    """One object of the model, and of those that it needs, with nothing but what is required."""
    space = data.namespace()
    cluster = data.saved(models.PVECluster(name="pve", status=data.active(models.PVECluster)))
    zone = data.saved(models.SDNZone(name="zone", namespace=space, cluster=cluster))
    vnet = data.saved(models.SDNVNet(name="vnet", zone=zone))
    subnet = data.saved(models.SDNSubnet(vnet=vnet, prefix=data.prefix(1)))
    data.saved(models.SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1)))
    data.saved(models.Allocation(ip_address=data.address(1, 100)))
    seen = {"first_seen": timezone.now(), "last_seen": timezone.now()}
    data.saved(models.Difference(namespace=space, kind="conflict", evidence="Something is different.", **seen))
    return model.objects.get()


def test_shows_nobody_what_they_may_not_view(django_user_model):
    data.allocation(1)
    nobody = django_user_model.objects.create_user("nobody")
    assert answer("{ allocations { vmid } }", nobody) == {"allocations": []}
