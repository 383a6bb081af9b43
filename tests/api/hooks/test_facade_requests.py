"""The facade, requests as such: its URL, what is not served, bad input, and tokens."""

import re
from dataclasses import replace

import pytest

from tests.api.hooks.entry import NOTHING, mac
from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import PVE, RANGES


@pytest.mark.parametrize("cluster", [None, "alpha"])
def test_the_url_may_end_in_a_slash(entry, cluster):
    pve = PVE(entry, cluster)
    pve.plugin.url += "/"
    pve.plugin.play("on_update_hook")
    pve.add_subnet(RANGES)
    assert pve.start_guest(1) == "10.0.0.10"
    pve.plugin.play("update_ip", ip="10.0.0.10", mask=24, hostname="renamed", description=f"mac:{mac(1)}")
    pve.del_ip("10.0.0.10")
    pve.del_subnet(RANGES)
    assert entry.held() == NOTHING


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ipam/vlans/"),
        ("GET", "/ipam/prefixes/any/"),
        ("GET", "/ipam/prefixes/00000000-0000-0000-0000-000000000000/"),
        ("PUT", "/ipam/ip-addresses/"),
        ("GET", "/status/"),
        ("GET", "/"),
        ("GET", ""),
    ],
)
def test_it_is_not_netbox(pve, method, path):
    answer = pve.plugin._call(method, path, None)
    assert answer.status == 404
    sentence = (
        r"(GET|PUT) /api/plugins/pve-ipam/netbox/.* is not served: this is Nautobot answering PVE's NetBox plugin"
    )
    assert re.match(sentence, answer.reason)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ipam/prefixes/", None),
        ("GET", "/ipam/prefixes/?q=net", None),
        ("GET", "/ipam/ip-addresses/?parent=10.0.0.0", None),
        ("GET", "/ipam/ip-addresses/?description__ic=x", None),
        ("GET", "/ipam/ip-ranges/?start_address=10.0.0.1", None),
        ("POST", "/ipam/prefixes/", {"prefix": "10.0.0.1/24"}),
        ("POST", "/ipam/prefixes/", {}),
        ("POST", "/ipam/prefixes/", []),
        ("POST", "/ipam/ip-ranges/", {"start_address": "10.0.0.9"}),
        ("POST", "/ipam/ip-ranges/", {"start_address": "10.0.0.9", "end_address": "10.0.0.2"}),
        ("POST", "/ipam/ip-ranges/", {"start_address": "10.0.0.9", "end_address": "10.0.1.2"}),
        ("POST", "/ipam/ip-addresses/", {"address": "10.0.0.0/24"}),
        ("POST", "/ipam/ip-addresses/", {"address": None}),
        ("POST", "/ipam/ip-addresses/", {"address": "10.0.0.9/24", "description": "mac:none"}),
        ("POST", "/ipam/ip-addresses/", {"address": "10.0.0.9/24", "description": 7}),
    ],
)
def test_bad_input(pve, method, path, body):
    pve.add_subnet()
    before = pve.entry.held()
    answer = pve.plugin._call(method, path, body)
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert pve.entry.held() == before


def test_a_token_without_permissions(pve, limited):
    """PVE's check when the entry is saved lists the missing permissions."""
    pve.plugin.play("on_update_hook")
    lacking = replace(pve.plugin, token=limited.without("ipam.add_ipaddress"))
    lacking.url = f"{limited.live.api}netbox/{limited.name}"
    with pytest.raises(Died, match=r"403 user .* lacks permission ipam.add_ipaddress$"):
        lacking.play("on_update_hook")
    stranger = replace(pve.plugin, token="0" * 40)
    with pytest.raises(Died, match=r"40[13] Invalid token"):
        stranger.play("on_update_hook")
    with pytest.raises(Died, match=r"404 namespace none does not exist"):
        replace(pve.plugin, url=f"{pve.entry.live.api}netbox/none").play("on_update_hook")
