"""A PVE that uses one namespace with its stock NetBox plugin, and a network for it."""

from tests.api.hooks.entry import Entry, mac
from tests.api.hooks.stock_plugin import StockPlugin

NET = {"network": "10.0.0.0", "mask": 24, "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"}
RANGES = [("10.0.0.10", "10.0.0.11"), ("10.0.0.20", "10.0.0.21")]


class PVE:
    """A stock PVE using one namespace: its plugin, with shorthands for the arguments that PVE passes."""

    def __init__(self, entry: Entry, cluster: str | None = None):
        path = f"netbox/{entry.name}" + (f"/{cluster}" if cluster else "")
        self.entry = entry
        self.plugin = StockPlugin(entry.live.api + path, entry.token)

    def add_subnet(self, ranges=(), gateway=True, **more):
        self.plugin.play("add_subnet", ranges=ranges, **{**NET, **more})
        if gateway:
            self.add_gateway()

    def add_gateway(self, ip="10.0.0.1", hostname="vnet0-gw"):
        self.plugin.play("add_gateway", ip=ip, mask=24, hostname=hostname, description="gateway")

    def add_ip(self, ip, number):
        self.plugin.play("add_ip", ip=ip, mask=24, hostname=f"guest{number}", description=f"mac:{mac(number)}")

    def del_ip(self, ip):
        return self.plugin.play("del_ip", ip=ip)

    def del_subnet(self, ranges=(), **more):
        return self.plugin.play("del_subnet", ranges=ranges, **{**NET, **more})

    def change_ranges(self, removed, added):
        self.plugin.play("update_subnet", removed=removed, added=added)

    def next_in(self, interval, number, **more):
        start, end = interval
        guest = {"hostname": f"guest{number}", "description": f"mac:{mac(number)}", **more}
        return self.plugin.play("add_range_next_freeip", start=start, end=end, **guest)

    def next(self, number, **more):
        guest = {"hostname": f"guest{number}", "description": f"mac:{mac(number)}", **more}
        return self.plugin.play("add_next_freeip", **NET, **guest)

    def start_guest(self, number, ranges=RANGES):
        """PVE tries one range after another until one has a free address."""
        return next((ip for interval in ranges if (ip := self.next_in(interval, number))), None)

    def addresses(self):
        """All addresses in the namespace."""
        return list(self.entry.held()["addresses"])
