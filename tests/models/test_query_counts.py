"""Lists take the same number of queries regardless of their length."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from nautobot_pve_ipam import models, tables
from tests.models import data

pytestmark = pytest.mark.django_db

ROWS = {"HX-Request": "true"}  # a list page fetches its rows with a second request like this
LISTS = ("clusters", "zones", "vnets", "subnets", "allocations", "differences")


def count_queries(client, url):
    client.get(url, headers=ROWS)  # warm up permanent caches, which are not part of the list's cost
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url, headers=ROWS)
    assert response.status_code == 200
    return len(captured)


@pytest.fixture
def all_columns(admin_user):
    """Show all columns."""
    for name in ("PVECluster", "SDNZone", "SDNVNet", "SDNSubnet", "Allocation", "Difference"):
        table = getattr(tables, f"{name}Table")
        admin_user.set_config(f"tables.{name}Table.columns", list(table.base_columns), commit=True)


@pytest.mark.parametrize("url", LISTS)
def test_pages(url, admin_client, all_columns):
    assert_constant(admin_client, f"/plugins/pve-ipam/{url}/")


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("url", [*LISTS, "dhcp-ranges"])
def test_api(url, depth, admin_client):
    assert_constant(admin_client, f"/api/plugins/pve-ipam/{url}/?depth={depth}&exclude_m2m=false")


@pytest.mark.parametrize("model", [models.PVECluster, models.SDNZone, models.SDNVNet, models.SDNSubnet])
def test_detail_pages(model, admin_client, all_columns):
    data.difference(1)
    url = model.objects.get().get_absolute_url()
    few = count_queries(admin_client, url)
    subnet = models.SDNSubnet.objects.get()
    for number in (2, 3, 4):
        zone = data.saved(
            models.SDNZone(name=f"more{number}", namespace=data.namespace(), cluster=subnet.vnet.zone.cluster)
        )
        data.saved(models.SDNVNet(name=f"more{number}", zone=zone))
        vnet = data.saved(models.SDNVNet(name=f"more{number}", zone=subnet.vnet.zone))
        prefix = data.prefix(number)
        data.saved(models.SDNSubnet(vnet=vnet, prefix=prefix))
        more = data.saved(models.SDNSubnet(vnet=subnet.vnet, prefix=prefix))
        data.saved(models.SDNDHCPRange(subnet=more, ip_address_range=data.dhcp_range(number)))
        data.saved(models.SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1, number * 10, number * 10)))
        data.difference(1, data.allocation(1, 100 + number, subnet))
    assert count_queries(admin_client, url) == few


def assert_constant(client, url):
    data.difference(1)
    few = count_queries(client, url)
    for number in range(2, 7):
        data.difference(number)
    assert count_queries(client, url) == few
