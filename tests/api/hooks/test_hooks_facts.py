"""What PVE tells about a subnet's zone and vnet: stored, kept when omitted, cleared, refused, logged once."""

import pytest
from nautobot.extras.models import ObjectChange

from nautobot_pve_ipam.models import SDNVNet, SDNZone
from tests.models import data

pytestmark = pytest.mark.django_db

FACTS = {"zone_type": "vxlan", "zone_dhcp": "dnsmasq", "vnet_alias": "Büro (3.OG)", "vnet_tag": 16_777_215}


@pytest.fixture
def put(api_client):
    """PUT of a subnet of zone1/vnet1."""
    path = f"/api/plugins/pve-ipam/namespaces/{data.namespace().name}/subnets/10.0.0.0-24/"
    return lambda **facts: api_client.put(path, {"zone": "zone1", "vnet": "vnet1", **facts}, format="json")


def stored():
    zone, vnet = SDNZone.objects.get(), SDNVNet.objects.get()
    return {"zone_type": zone.type, "zone_dhcp": zone.dhcp, "vnet_alias": vnet.alias, "vnet_tag": vnet.tag}


def test_they_are_stored_with_a_new_subnet(put):
    assert put(**FACTS).status_code == 201
    assert stored() == FACTS


def test_they_follow_a_change_and_are_kept_when_omitted(put):
    assert put().status_code == 201
    assert stored() == {"zone_type": "simple", "zone_dhcp": "", "vnet_alias": "", "vnet_tag": None}
    assert put(**FACTS).status_code == 200
    assert put().status_code == 200
    assert stored() == FACTS


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_clear(put, nothing):
    put(**FACTS)
    cleared = {"zone_dhcp": nothing, "vnet_alias": nothing, "vnet_tag": None}
    assert put(**cleared).status_code == 200
    assert stored() == {"zone_type": "vxlan", "zone_dhcp": "", "vnet_alias": "", "vnet_tag": None}


def test_the_same_again_changes_nothing(put):
    put(**FACTS)
    changes = ObjectChange.objects.count()
    assert put(**FACTS).status_code == 200
    assert ObjectChange.objects.count() == changes


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"zone_type": "bridge"}, "bridge"),
        ({"zone_dhcp": "x" * 21}, "zone_dhcp"),
        ({"vnet_alias": "x" * 256}, "vnet_alias"),
        ({"vnet_tag": 0}, "vnet_tag 0"),
        ({"vnet_tag": 16_777_216}, "vnet_tag 16777216"),
    ],
)
def test_what_cannot_be_stored_is_refused(put, wrong, named):
    answer = put(**wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert named in answer.json()["detail"]
    assert not SDNZone.objects.exists()
