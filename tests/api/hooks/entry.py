"""A PVE's IPAM entry: a namespace of the live Nautobot, used through the hooks, and access to its contents."""

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

from tests.live import Answer, Live
from tests.networks import Network

ZONE, VNET = "simple1", "vnet0"

_PREFIXES = "SELECT network, prefix_length FROM ipam_prefix WHERE namespace_id = %s ORDER BY ip_version, network"
_RANGES = (
    "SELECT r.start_host, r.end_host FROM ipam_ipaddressrange r JOIN ipam_prefix p ON p.id = r.parent_id"
    " WHERE p.namespace_id = %s ORDER BY r.ip_version, r.start_host"
)
_ADDRESSES = (
    "SELECT a.host, a.mask_length, l.id, l.mac, l.vmid, l.hostname, l.is_gateway, l.adopted"
    " FROM ipam_ipaddress a JOIN ipam_prefix p ON p.id = a.parent_id"
    " LEFT JOIN nautobot_pve_ipam_allocation l ON l.ip_address_id = a.id"
    " WHERE p.namespace_id = %s ORDER BY a.ip_version, a.host"
)


def text(packed: Any) -> str:
    """The text form of an address as stored by Nautobot."""
    return str(ip_address(bytes(packed)))


def mac(number: int) -> str:
    return f"BC:24:11:00:00:{number:02X}"


def dhcp(*intervals: str) -> list[dict[str, str]]:
    """DHCP ranges from `first..last` strings."""
    return [dict(zip(("start", "end"), interval.split(".."), strict=True)) for interval in intervals]


class Entry(Network):
    """The hooks in a separate namespace, as the superuser unless `token` is given; `cluster` is sent along."""

    def __init__(self, live: Live, *, cluster: str | None = None, token: str | None = None) -> None:
        super().__init__(live)
        self.token = token or live.token
        self.cluster = cluster

    def of(self, *, cluster: str | None = None, token: str | None = None, live: Live | None = None) -> "Entry":
        """Another cluster or another token in the same namespace."""
        twin = object.__new__(Entry)
        twin.live, twin.name, twin.id = live or self.live, self.name, self.id
        twin.cluster, twin.token = cluster or self.cluster, token or self.token
        return twin

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Call a hook; `path` is relative to the namespace. The cluster is added if the hook accepts one."""
        if self.cluster and isinstance(body, dict):
            body = {"cluster": self.cluster, **body}
        elif self.cluster and body is None:
            path += ("&" if "?" in path else "?") + urlencode({"cluster": self.cluster})
        return self.live.request(method, f"namespaces/{self.name}/{path}", body, token=self.token)

    def put_subnet(self, subnet: str, **body: Any) -> Answer:
        """`subnet` as in URLs, 10.0.0.0-24."""
        return self.call("PUT", f"subnets/{subnet}/", {"zone": ZONE, "vnet": VNET, **body})

    def delete_subnet(self, subnet: str, zone: str = ZONE) -> Answer:
        return self.call("DELETE", f"subnets/{subnet}/?zone={zone}")

    def put_ip(self, ip: str, **body: Any) -> Answer:
        return self.call("PUT", f"ips/{ip}/", {"zone": ZONE, **body})

    def patch_ip(self, ip: str, **body: Any) -> Answer:
        return self.call("PATCH", f"ips/{ip}/", {"zone": ZONE, **body})

    def delete_ip(self, ip: str, zone: str = ZONE) -> Answer:
        return self.call("DELETE", f"ips/{ip}/?zone={zone}")

    def by_mac(self, mac: str, zone: str = ZONE) -> Answer:
        return self.call("GET", f"ips/?mac={mac}&zone={zone}")

    def next_free_ip(self, subnet: str, **body: Any) -> Answer:
        return self.call("POST", f"subnets/{subnet}/next-free-ip/", {"zone": ZONE, **body})

    def made(self, answer: Answer, status: int = 201) -> Any:
        """The body of a response that must be successful."""
        assert answer.status == status, (answer.status, answer.reason, answer.body)
        return answer.body

    def held(self) -> dict[str, Any]:
        """Everything in the namespace: prefixes, ranges, and addresses with their holders."""
        with self.live.connect() as connection, connection.cursor() as cursor:
            cursor.execute(_PREFIXES, [self.id])
            prefixes = [f"{text(network)}/{length}" for network, length in cursor]
            cursor.execute(_RANGES, [self.id])
            ranges = [f"{text(start)}..{text(end)}" for start, end in cursor]
            cursor.execute(_ADDRESSES, [self.id])
            addresses = {
                f"{text(host)}/{length}": _facts(*row) if held else "nobody's" for host, length, held, *row in cursor
            }
        return {"prefixes": prefixes, "ranges": ranges, "addresses": addresses}

    def subnets(self) -> list[dict[str, Any]]:
        """The subnets as listed by our own REST API."""
        answer = self.live.request("GET", f"/api/plugins/pve-ipam/subnets/?namespace={self.id}")
        return self.made(answer, 200)["results"]


def _facts(mac, vmid, hostname, is_gateway, adopted) -> dict[str, Any]:
    """Those that exist. (MariaDB returns booleans as numbers.)"""
    facts = {"mac": mac, "vmid": vmid, "hostname": hostname, "is_gateway": bool(is_gateway), "adopted": bool(adopted)}
    return {name: fact for name, fact in facts.items() if fact}


NOTHING = {"prefixes": [], "ranges": [], "addresses": {}}


def refusal(answer: Answer) -> tuple[int, str, str]:
    """Status, machine code and sentence of an error; the sentence must also be the reason phrase."""
    assert answer.reason == answer.body["detail"][:200], (answer.status, answer.reason, answer.body)
    return answer.status, answer.body["code"], answer.body["detail"]
