"""The PVE of a small office in the live Nautobot, created through the hooks as a PVE node would."""

import ipaddress
from typing import Any

from tests.live import Live

GUESTS = ("dns1", "web1", "db1", "mail1", "gitlab", "monitoring", "backup", "runner1", "runner2", "wiki", "ldap", "vpn")
SUBNET = "10.0.0.0-24"
SUBNET6 = "2001:db8:10::-64"
LARGE = "10.4.0.0/16"


class PVENetwork:
    """Namespace "office": 10.0.0.0/24 with a gateway, two DHCP ranges (12 of 50 and 43 of 50 in use), two plain
    addresses, an exclusive range and a child prefix; an IPv6 subnet; 10.4.0.0/16, whose /24 networks
    are empty (10.4.0.0) to full.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self.name, self.cluster = "office", "lab"
        self._core("namespaces", {"name": self.name})
        self.subnet = self._subnet(SUBNET, "10.0.0.1", [("10.0.0.100", "10.0.0.149"), ("10.0.0.150", "10.0.0.199")])
        self.subnet6 = self._subnet(SUBNET6, "2001:db8:10::1", [("2001:db8:10::100", "2001:db8:10::1ff")])
        for number, name in enumerate(GUESTS):
            self.allocate(SUBNET, "10.0.0.100", "10.0.0.149", 100 + number, name)
            self.allocate(SUBNET6, "2001:db8:10::100", "2001:db8:10::1ff", 100 + number, name)
        for number in range(43):
            self.allocate(SUBNET, "10.0.0.150", "10.0.0.199", 300 + number, f"node{number + 1}")
        for host, name in ((10, "printer.example.com"), (11, "nas.example.com")):
            self._core("ip-addresses", {"address": f"10.0.0.{host}/24", "dns_name": name})
        self._core(
            "ip-address-ranges", {"start_address": "10.0.0.50", "end_address": "10.0.0.59", "is_exclusive": True}
        )
        self._core("prefixes", {"prefix": "10.0.0.240/28"})
        self.large = self._core("prefixes", {"prefix": LARGE})
        self._fill(self.large["id"])

    @property
    def subnet_page(self) -> str:
        return f"/plugins/pve-ipam/subnets/{self.subnet['id']}/"

    @property
    def large_map(self) -> str:
        return f"/plugins/pve-ipam/prefixes/{self.large['id']}/address-map/"

    def allocate(self, subnet: str, start: str, end: str, vmid: int, hostname: str) -> dict[str, Any]:
        mac = f"BC:24:11:00:{vmid >> 8:02X}:{vmid & 255:02X}"
        body = {"range_start": start, "range_end": end, "vmid": vmid, "hostname": hostname, "mac": mac}
        return self._hook("POST", f"subnets/{subnet}/next-free-ip/", {**body, "zone": "simple1"})

    def allocation(self, hostname: str) -> str:
        """The page of a guest's IPv4 allocation."""
        answer = self._live.request("GET", f"allocations/?hostname={hostname}&namespace={self.name}&limit=10")
        found = [item["id"] for item in answer.body["results"] if "10.0.0." in item["display"]]
        return f"/plugins/pve-ipam/allocations/{found[0]}/"

    def _subnet(self, subnet: str, gateway: str, ranges: list[tuple[str, str]]) -> dict[str, Any]:
        facts = {"zone": "simple1", "zone_type": "simple", "vnet": "vnet0", "snat": True, "gateway": gateway}
        made = self._hook(
            "PUT", f"subnets/{subnet}/", {**facts, "dhcp_ranges": [{"start": a, "end": b} for a, b in ranges]}
        )
        self._hook("PUT", f"ips/{gateway}/", {"hostname": "gw", "gateway": True, "zone": "simple1"})
        return made

    def _fill(self, prefix_id: str) -> None:
        """Use 37 addresses of 10.4.1.0/24, 74 of 10.4.2.0/24 and so on, in one statement."""
        with self._live.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO ipam_ipaddress (id, created, last_updated, _custom_field_data, host, mask_length,"
                " dns_name, description, status_id, ip_version, parent_id, type)"
                " SELECT gen_random_uuid(), now(), now(), '{}', int4send(%s + n), 16, '', '', extras_status.id, 4, %s,"
                " 'host' FROM generate_series(0, 65535) AS n, extras_status"
                " WHERE n %% 256 < n / 256 * 37 %% 300 AND extras_status.name = 'Active'",
                [int(ipaddress.ip_network(LARGE)[0]), prefix_id],
            )

    def _hook(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._live.request(method, f"namespaces/{self.name}/{path}", {**body, "cluster": self.cluster})
        assert answer.status in (200, 201), answer.body
        return answer.body

    def _core(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        fields = {} if kind == "namespaces" else {"namespace": {"name": self.name}, "status": "Active"}
        answer = self._live.request("POST", f"/api/ipam/{kind}/", {**fields, **body})
        assert answer.status == 201, answer.body
        return answer.body
