"""PVE often tells no name, or only the subnet's DNS zone prefix: that never erases a name which is known of the MAC."""

import pytest

from tests.api.hooks.entry import Entry, mac
from tests.inside import Inside

S, V6, IP = "10.0.0.0-24", "2001:db8::-64", "10.0.0.9"
WEB1 = {"mac": mac(1), "hostname": "web1"}
NAMELESS = [{}, {"hostname": None}, {"hostname": ""}, {"hostname": ".example"}]


@pytest.fixture
def entry(api_client):
    entry = Entry(Inside(api_client))
    for subnet in (S, V6):
        entry.made(entry.put_subnet(subnet))
    return entry


def shown(body):
    return body["hostname"], body["dns_name"]


@pytest.mark.parametrize("nameless", NAMELESS)
def test_of_an_address_that_is_held(entry, nameless):
    entry.made(entry.put_ip(IP, **WEB1))
    for answer in (
        entry.put_ip(IP, mac=mac(1), **nameless),
        entry.patch_ip(IP, **nameless),
        entry.patch_ip(IP, vmid=101, **nameless),
        entry.next_free_ip(S, mac=mac(1), **nameless),
    ):
        assert shown(entry.made(answer, 200)) == ("web1", "web1")


@pytest.mark.parametrize("nameless", NAMELESS)
def test_of_the_other_family(entry, nameless):
    entry.made(entry.put_ip(IP, **WEB1))
    assert shown(entry.made(entry.put_ip("2001:db8::9", mac=mac(1), **nameless))) == ("web1", "web1")


def test_of_an_address_that_is_adopted(entry):
    entry.made(entry.put_ip("2001:db8::9", **WEB1))
    entry.address(f"{IP}/24")
    assert entry.made(entry.put_ip(IP, mac=mac(1), adopt=True), 200)["hostname"] == "web1"


@pytest.mark.parametrize("nameless", NAMELESS)
def test_of_an_address_that_is_changed_on_pves_page(entry, committed, nameless):
    """That page releases all addresses of the MAC, and then takes another one."""
    entry.made(entry.put_ip(IP, **WEB1))
    with committed():
        entry.made(entry.delete_ip(IP), 204)
    assert shown(entry.made(entry.put_ip("10.0.0.8", mac=mac(1), **nameless))) == ("web1", "web1")
    assert shown(entry.made(entry.put_ip("10.0.0.7", mac=mac(2), **nameless))) == ("", "")


def test_a_released_name_stays_in_its_namespace_and_cluster(entry, committed):
    entry.made(entry.put_ip(IP, **WEB1))
    with committed():
        entry.made(entry.delete_ip(IP), 204)
    others = [entry.of(cluster="alpha"), Entry(entry.live)]
    for other in others:
        other.made(other.put_subnet(S))
        assert other.made(other.next_free_ip(S, mac=mac(1)))["hostname"] == ""


def test_a_new_name_replaces_it(entry):
    entry.made(entry.put_ip(IP, **WEB1))
    assert shown(entry.made(entry.patch_ip(IP, hostname="web2"), 200)) == ("web2", "web2")


@pytest.mark.parametrize("nameless", ["", None, ".example"])
def test_through_pves_own_netbox_plugin(entry, committed, nameless):
    base = f"netbox/{entry.name}/ipam/ip-addresses/"
    body = {"address": f"{IP}/24", "dns_name": "web1", "description": f"mac:{mac(1)}"}
    held = entry.made(entry.live.request("POST", base, body))
    same = entry.live.request("PATCH", f"{base}{held['id']}/", {**body, "dns_name": nameless})
    assert entry.made(same, 200)["dns_name"] == "web1"
    with committed():
        entry.made(entry.live.request("DELETE", f"{base}{held['id']}/"), 204)
    body = {**body, "address": "10.0.0.8/24", "dns_name": nameless}
    assert entry.made(entry.live.request("POST", base, body))["dns_name"] == "web1"
