"""The whole life cycle of subnets and guests as driven by PVE, through each client, in two namespaces at once.

At every checkpoint, Nautobot holds exactly what PVE holds. The script names the addresses, so that all three clients
reach the same state.
"""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.api.hooks.clients import Facade, Guest, Net, PerlPlugin, PythonClient, Refused
from tests.api.hooks.entry import NOTHING, VNET, Entry, mac
from tests.nightly import nightly_only

FAMILIES = {4: ("10.0.0.0/24", "10.0.0.{}", "254"), 6: ("2001:db8::/64", "2001:db8::{}", "fe")}
GATEWAY = Guest(mac(255), f"{VNET}-gw")


def guest(number):
    return Guest(mac(number), f"guest{number}", 100 + number)


class PVE:
    """The state on the PVE side, and the order in which PVE calls the hooks."""

    def __init__(self, hooks, versions):
        self.hooks = hooks
        self.nets = {}
        self.held = {}
        self.versions = versions

    def at(self, version, last):
        return FAMILIES[version][1].format(last)

    def intervals(self, version, *spans):
        return tuple(tuple(self.at(version, last) for last in span.split("..")) for span in spans)

    def create(self, version, *spans):
        net = Net(FAMILIES[version][0], self.at(version, "1"), self.intervals(version, *spans))
        self.hooks.add_subnet(net)
        self.nets[version] = net
        self._register_gateway(net)

    def change_gateway(self, version, last):
        old = self.nets[version]
        net = replace(old, gateway=self.at(version, last))
        self.hooks.update_subnet(net, old)
        self._register_gateway(net)
        self.hooks.del_ip(old, old.gateway)
        del self.held[old.gateway]
        self.nets[version] = net

    def change_ranges(self, version, *spans):
        old = self.nets[version]
        net = replace(old, ranges=self.intervals(version, *spans))
        self.hooks.update_subnet(net, old)
        self.nets[version] = net

    def start(self, number):
        """Try range after range until one has a free address; returns the last octets of the addresses."""
        for net in self.nets.values():
            taken = (self.hooks.next_in_range(net, interval, guest(number)) for interval in net.ranges)
            ip = next(filter(None, taken)) if net.ranges else self.hooks.next_in_subnet(net, guest(number))
            self.held[ip] = guest(number)
        return self._lasts(self.hooks.find(mac(number)))

    def take(self, number, last):
        for version, net in self.nets.items():
            ip = self.at(version, last)
            self.hooks.add_ip(net, ip, guest(number))
            self.held[ip] = guest(number)

    def stop(self, number):
        found = dict(zip((4, 6), self.hooks.find(mac(number)), strict=True))
        for version, net in self.nets.items():
            self.hooks.del_ip(net, found[version])
            del self.held[found[version]]
        assert self.hooks.find(mac(number)) == (None, None)

    def delete(self):
        for version, net in list(self.nets.items()):
            self.hooks.del_subnet(net)
            del self.nets[version], self.held[net.gateway]

    def state(self):
        """What Nautobot must hold, in the form of `Entry.held`, as far as this client transmits it."""
        addresses = {}
        for ip, who in self.held.items():
            mask = next(net.mask for version, net in self.nets.items() if (":" in ip) == (version == 6))
            addresses[f"{ip}/{mask}"] = self._known(who)
        return {
            "prefixes": sorted(net.cidr for net in self.nets.values()),
            "ranges": sorted(f"{start}..{end}" for net in self.nets.values() for start, end in net.ranges),
            "addresses": addresses,
        }

    def check(self):
        held = self.hooks.entry.held()
        found = {**held, "prefixes": sorted(held["prefixes"]), "ranges": sorted(held["ranges"])}
        assert found == self.state()
        for record in self.hooks.entry.subnets():
            assert record["gateway"] in {net.gateway for net in self.nets.values()}

    def _known(self, who):
        if who is GATEWAY:
            told = {"mac": who.mac} if self.hooks.tells_all else {}
            return {**told, "hostname": who.hostname, "is_gateway": True}
        told = {"vmid": who.vmid} if self.hooks.tells_all else {}
        return {"mac": who.mac, **told, "hostname": who.hostname}

    def _register_gateway(self, net):
        self.hooks.add_ip(net, net.gateway, GATEWAY, gateway=True)
        self.held[net.gateway] = GATEWAY

    def _lasts(self, found):
        return [ip.rpartition(":" if ":" in ip else ".")[2] for ip in found if ip]


def life(pve):
    """The script; yields at each checkpoint."""
    both = len(pve.versions)
    pve.hooks.verify()
    for version in pve.versions:
        pve.create(version, "10..11", "20..29")
    yield "created"
    assert pve.hooks.find(mac(1)) == (None, None)
    assert pve.start(1) == ["10"] * both
    yield "a guest"
    assert pve.start(2) == ["11"] * both
    assert pve.start(3) == ["20"] * both, "the first range is full"
    assert pve.start(1) == ["10"] * both, "requested again, as after a timeout"
    pve.stop(2)
    assert pve.start(3) == ["20"] * both, "although there is an address in the first range again"
    assert pve.start(2) == ["11"] * both
    yield "guests in both ranges"
    pve.take(4, "50")
    yield "an explicit address"
    for version in pve.versions:
        pve.change_gateway(version, FAMILIES[version][2])
    yield "another gateway"
    for version in pve.versions:
        pve.change_ranges(version, "20..25", "30..39")
    yield "other ranges, addresses are kept"
    assert pve.start(5) == ["21"] * both
    with pytest.raises(Refused):
        pve.delete()
    yield "not deleted while it has guests"
    for number in (1, 2, 3, 4, 5):
        pve.stop(number)
    yield "emptied"
    for version in pve.versions:
        pve.change_ranges(version)
    assert pve.start(6) == ["1"] * both, "without ranges, the first free address"
    yield "a guest without ranges"
    pve.stop(6)
    pve.delete()
    assert pve.state() == NOTHING
    yield "deleted"


@pytest.mark.parametrize(
    "versions",
    [
        pytest.param((4,), id="IPv4", marks=nightly_only),  # part of the dual stack
        pytest.param((6,), id="IPv6", marks=nightly_only),
        pytest.param((4, 6), id="dual stack"),
    ],
)
@pytest.mark.parametrize("client", [PerlPlugin, PythonClient, Facade])
def test_nautobot_holds_what_pve_holds(live, client, versions):
    with ExitStack() as stack:
        pves = [PVE(stack.enter_context(client(Entry(live))), versions) for _ in range(2)]
        for checkpoints in zip(*(life(pve) for pve in pves), strict=True):
            for pve, checkpoint in zip(pves, checkpoints, strict=True):
                try:
                    pve.check()
                except AssertionError as error:
                    error.add_note(f"checkpoint: {checkpoint}")
                    raise
