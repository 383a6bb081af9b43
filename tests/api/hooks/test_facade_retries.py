"""A stock PVE whose calls are refused half-way, or whose answers are lost: nothing is left behind, a retry works."""

from contextlib import suppress

import pytest

from tests.api.hooks.entry import NOTHING
from tests.api.hooks.stock_plugin import Died
from tests.api.hooks.stock_pve import RANGES

OLD, NEW = RANGES[0], ("10.0.0.10", "10.0.0.30")
CREATED = {
    "prefixes": ["10.0.0.0/24"],
    "ranges": ["10.0.0.10..10.0.0.11", "10.0.0.20..10.0.0.21"],
    "addresses": {"10.0.0.1/24": {"hostname": "vnet0-gw", "is_gateway": True}},
}


def until_done(pve, step, lost):
    """PVE's user repeats an action, the answer to whose call `lost` did not arrive, until it is done."""
    pve.plugin.log.clear()
    pve.plugin.loses = lost
    with suppress(Died):
        step()
        return
    pve.plugin.log.clear()
    pve.plugin.loses = None
    step()


@pytest.mark.parametrize("ranges", [RANGES, []], ids=["with ranges", "without"])
@pytest.mark.parametrize("lost", range(1, 6))
def test_creation(pve, lost, ranges):
    until_done(pve, lambda: pve.add_subnet(ranges), lost)
    assert pve.entry.held() == {**CREATED, "ranges": CREATED["ranges"] if ranges else []}
    (record,) = pve.entry.subnets()
    assert record["gateway"] == "10.0.0.1"


@pytest.mark.parametrize("lost", range(1, 10))
def test_deletion(pve, lost):
    pve.add_subnet(RANGES)
    until_done(pve, lambda: pve.del_subnet(RANGES), lost)
    assert pve.entry.held() == NOTHING


@pytest.mark.parametrize("lost", range(1, 4))
def test_a_change_of_ranges(pve, lost):
    pve.add_subnet([OLD])
    until_done(pve, lambda: pve.change_ranges([OLD], [NEW]), lost)
    assert pve.entry.held()["ranges"] == ["10.0.0.10..10.0.0.30"]


@pytest.mark.parametrize("ranges", [RANGES, []], ids=["with ranges", "without"])
def test_a_refused_gateway_leaves_nothing(pve, ranges):
    pve.entry.prefix("10.0.0.0/16", type="container")
    blocker = pve.entry.address("10.0.0.1/24")
    before = pve.entry.held()
    with pytest.raises(Died, match="not a gateway"):
        pve.add_subnet(ranges)
    assert pve.entry.held() == before
    assert pve.entry.live.request("DELETE", f"/api/ipam/ip-addresses/{blocker['id']}/").status == 204
    pve.add_subnet(ranges)


@pytest.mark.parametrize("removed", [[OLD], RANGES], ids=["one range", "two"])
def test_a_refused_change_keeps_the_old_ranges(pve, removed):
    pve.add_subnet(removed)
    pve.entry.range("10.0.0.100", "10.0.0.110")
    before = pve.entry.held()
    with pytest.raises(Died, match=r"409 dhcp_ranges 10.0.0.105-10.0.0.120"):
        pve.change_ranges(removed, [NEW, ("10.0.0.105", "10.0.0.120")])
    assert pve.entry.held() == before


def test_a_refused_change_after_another_one(pve):
    pve.add_subnet([OLD])
    pve.entry.range("10.0.0.100", "10.0.0.110")
    pve.change_ranges([OLD], [NEW])
    before = pve.entry.held()
    with pytest.raises(Died, match=r"409 dhcp_ranges"):
        pve.change_ranges([NEW], [("10.0.0.105", "10.0.0.120")])
    assert pve.entry.held() == before


def test_guests_use_the_applied_ranges_until_pve_applies_the_new_ones(pve):
    pve.add_subnet([OLD])
    pve.change_ranges([OLD], [("10.0.0.50", "10.0.0.60")])
    assert [pve.next_in(OLD, number) for number in (1, 2)] == ["10.0.0.10", "10.0.0.11"]
    assert pve.entry.held()["ranges"] == ["10.0.0.50..10.0.0.60"]


def test_a_refused_deletion_keeps_the_ranges(pve):
    """A guest that starts while the subnet is being deleted."""
    pve.add_subnet(RANGES)
    before = pve.entry.held()["ranges"]
    subnet = id_of(pve, "prefixes/?q=10.0.0.0")
    for path in ("ip-ranges/10.0.0.10-10.0.0.11", "ip-ranges/10.0.0.20-10.0.0.21"):
        assert pve.plugin._call("DELETE", f"/ipam/{path}/", None).status == 204
    pve.add_ip("10.0.0.9", 9)
    answer = pve.plugin._call("DELETE", f"/ipam/prefixes/{subnet}/", None)
    assert (answer.status, answer.body["code"]) == (409, "subnet_not_empty")
    assert pve.entry.held()["ranges"] == before


def id_of(pve, path):
    (entry,) = pve.plugin._call("GET", f"/ipam/{path}", None).body["results"]
    return entry["id"]
