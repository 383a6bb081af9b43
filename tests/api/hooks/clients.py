"""The three clients that implement PVE's hooks: Perl plugin, Python client, and stock plugin on the NetBox facade."""

import json
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_nautobot import Client
from pve_nautobot.errors import NoFreeAddress, PveNautobotError
from pve_nautobot.transport import HttpTransport

from tests.api.hooks.entry import VNET, ZONE, Entry
from tests.api.hooks.perl import PLUGIN, need_perl
from tests.api.hooks.stock_plugin import Died, StockPlugin


class Refused(Exception):
    """The hook failed; PVE would show this message to its user."""


@dataclass(frozen=True)
class Net:
    """A subnet as known to PVE; ranges are (first, last)."""

    cidr: str
    gateway: str | None = None
    ranges: tuple[tuple[str, str], ...] = ()

    @property
    def network(self) -> str:
        return self.cidr.split("/")[0]

    @property
    def mask(self) -> int:
        return int(self.cidr.split("/")[1])


@dataclass(frozen=True)
class Guest:
    mac: str
    hostname: str
    vmid: int | None = None


class Hooks(AbstractContextManager):
    """PVE's hooks on one namespace."""

    #: Whether the client transmits vmid, zone and the vnet's MAC.
    tells_all = True

    def __init__(self, entry: Entry):
        self.entry = entry

    def __exit__(self, *_):
        return None


class PythonClient(Hooks):
    """`pve_nautobot.Client`; each hook is one request."""

    def __init__(self, entry):
        super().__init__(entry)
        self._http, self._requests = HttpTransport(None), 0
        self._client = Client(entry.live.url, entry.name, entry.token, transport=self)

    def send(self, request):
        self._requests += 1
        return self._http.send(request)

    def _one(self, verb, *args, **options):
        self._requests = 0
        try:
            return getattr(self._client, verb)(*args, **options)
        except PveNautobotError as error:
            raise Refused(str(error)) from error
        finally:
            assert self._requests == 1, (verb, self._requests)

    def verify(self):
        assert self._one("verify").ready

    def add_subnet(self, net):
        self._one("put_subnet", net.cidr, ZONE, VNET, gateway=net.gateway, dhcp_ranges=net.ranges)

    def update_subnet(self, net, old):
        self.add_subnet(net)

    def del_subnet(self, net):
        self._one("del_subnet", net.cidr, zone=ZONE)

    def add_ip(self, net, ip, guest, *, gateway=False):
        self._one("add_ip", ip, gateway=gateway, zone=ZONE, **vars(guest))

    def del_ip(self, net, ip):
        self._one("del_ip", ip, zone=ZONE)

    def next_in_range(self, net, interval, guest):
        start, end = interval
        try:
            held = self._one("next_free_ip", net.cidr, range_start=start, range_end=end, zone=ZONE, **vars(guest))
        except Refused as error:
            if isinstance(error.__cause__, NoFreeAddress):
                return None
            raise
        return held.address.split("/")[0]

    def next_in_subnet(self, net, guest):
        return self._one("next_free_ip", net.cidr, zone=ZONE, **vars(guest)).address.split("/")[0]

    def find(self, mac):
        found = self._one("get_ips_from_mac", mac, zone=ZONE)
        return found.ip4, found.ip6


class PerlPlugin(Hooks):
    """NautobotPlugin.pm under PVE's api_request; each hook is one request."""

    def __init__(self, entry):
        super().__init__(entry)
        need_perl()
        self._config = {"url": f"{entry.live.url}/api", "token": entry.token, "namespace": entry.name}
        self._process = subprocess.Popen(
            ["perl", str(Path(__file__).with_name("plugin_driver.pl")), str(PLUGIN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __exit__(self, *_):
        self._process.communicate()

    def _one(self, hook: str, *args: Any) -> list[Any]:
        print(json.dumps({"hook": hook, "args": [self._config, *args]}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert answer["requests"] == 1, (hook, answer)
        if answer["error"]:
            raise Refused(answer["error"])
        return answer["result"]

    @staticmethod
    def _subnet(net: Net, *, parsed: bool = False) -> dict[str, Any]:
        ends = [{"start-address": start, "end-address": end} for start, end in net.ranges]
        texts = [",".join(f"{key}={value}" for key, value in one.items()) for one in ends]
        return {
            "id": f"{ZONE}-{net.cidr.replace('/', '-')}",
            "cidr": net.cidr,
            "network": net.network,
            "mask": net.mask,
            "zone": ZONE,
            "vnet": VNET,
            "gateway": net.gateway,
            "dhcp-range": ends if parsed else texts,
        }

    def verify(self):
        self._one("on_update_hook")

    def add_subnet(self, net):
        self._one("add_subnet", None, self._subnet(net))

    def update_subnet(self, net, old):
        self._one("update_subnet", None, self._subnet(net), self._subnet(old, parsed=True))

    def del_subnet(self, net):
        self._one("del_subnet", None, self._subnet(net))

    def add_ip(self, net, ip, guest, *, gateway=False):
        vmid = str(guest.vmid) if guest.vmid else None
        self._one("add_ip", None, self._subnet(net), ip, guest.hostname, guest.mac, vmid, 1 if gateway else None)

    def del_ip(self, net, ip):
        self._one("del_ip", None, self._subnet(net), ip)

    def next_in_range(self, net, interval, guest):
        ends = dict(zip(("start-address", "end-address"), interval, strict=True))
        return self._one("add_range_next_freeip", self._subnet(net), ends, vars(guest))[0]

    def next_in_subnet(self, net, guest):
        return self._one("add_next_freeip", None, self._subnet(net), guest.hostname, guest.mac, str(guest.vmid))[0]

    def find(self, mac):
        return tuple(self._one("get_ips_from_mac", mac, ZONE))


class Facade(Hooks):
    """The stock NetBox plugin on the facade."""

    tells_all = False

    def __init__(self, entry):
        super().__init__(entry)
        self._plugin = StockPlugin(f"{entry.live.api}netbox/{entry.name}", entry.token)

    def _play(self, hook, net=None, **known):
        subnet = {"cidr": net.cidr, "network": net.network, "mask": net.mask, "gateway": net.gateway} if net else {}
        try:
            return self._plugin.play(hook, **subnet, **known)
        except Died as error:
            raise Refused(str(error)) from error

    @staticmethod
    def _guest(guest):
        return {"hostname": guest.hostname, "description": f"mac:{guest.mac}"}

    def verify(self):
        self._play("on_update_hook")

    def add_subnet(self, net):
        self._play("add_subnet", net, ranges=net.ranges)

    def update_subnet(self, net, old):
        removed = [one for one in old.ranges if one not in net.ranges]
        added = [one for one in net.ranges if one not in old.ranges]
        self._play("update_subnet", net, removed=removed, added=added)

    def del_subnet(self, net):
        self._play("del_subnet", net, ranges=net.ranges)

    def add_ip(self, net, ip, guest, *, gateway=False):
        if gateway:
            self._play("add_gateway", net, ip=ip, hostname=guest.hostname, description="gateway")
        else:
            self._play("add_ip", net, ip=ip, **self._guest(guest))

    def del_ip(self, net, ip):
        self._play("del_ip", net, ip=ip)

    def next_in_range(self, net, interval, guest):
        start, end = interval
        return self._play("add_range_next_freeip", net, start=start, end=end, **self._guest(guest))

    def next_in_subnet(self, net, guest):
        return self._play("add_next_freeip", net, **self._guest(guest))

    def find(self, mac):
        return self._play("get_ips_from_mac", mac=mac)
