"""The ways to get an address that are compared: what each of them sends."""

import dataclasses
import ipaddress
import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from benchmarks.fill import Address, Network, Subnet, subnet_path
from benchmarks.load import CREATED, Request, Server

POOL_LENGTH = 24
POOL_SIZE = 256
#: More pools than this are skipped: their time is extrapolated from this many.
POOLS_TIMED = 40
POOLS_SAMPLED = 5

_guests = itertools.count()


def plain(subnet: Subnet) -> Request:
    """Core: create one address that is known to be free."""
    body = {"address": subnet.known_address(), "namespace": subnet.namespace_id, "status": "Active"}
    return Request("POST", "/api/ipam/ip-addresses/", body)


def core(subnet: Subnet) -> Request:
    """Core: `available-ips` with bounds, given the prefix's id; PVE would have to look that up first."""
    query = urlencode(_bounds(subnet))
    return Request("POST", f"/api/ipam/prefixes/{subnet.prefix_id}/available-ips/?{query}", {"status": "Active"})


def served(subnet: Subnet) -> Request:
    """The same, answered by the App: the setting `serve_available_ips` is on."""
    return dataclasses.replace(core(subnet), taken_over=True)


def ours(subnet: Subnet) -> Request:
    """The App: the next free address within bounds, by namespace and prefix. It makes what the two above make."""
    return Request("POST", next_free_ip(subnet), _bounds(subnet))


def ours_mac(subnet: Subnet) -> Request:
    """The App as PVE uses it: the same for a guest, which makes an allocation beside the address."""
    number = next(_guests)
    guest = {
        "mac": "BC:24:11:" + number.to_bytes(3, "big").hex(":").upper(),
        "vmid": 100 + number,
        "hostname": f"guest{number}",
    }
    zone = {"zone": subnet.zone} if subnet.zone else {}
    return Request("POST", next_free_ip(subnet), _bounds(subnet) | guest | zone)


def ours_bulk(subnet: Subnet, count: int) -> Request:
    """The App: `count` addresses in one call."""
    return Request("POST", next_free_ip(subnet), [_bounds(subnet)] * count)


def ours_preview(subnet: Subnet) -> Request:
    """The App: show the next free address, take nothing."""
    return Request("GET", f"{next_free_ip(subnet)}?{urlencode(_bounds(subnet))}")


METHODS: dict[str, Callable[[Subnet], Request]] = {
    "plain": plain,
    "core": core,
    "served": served,
    "ours": ours,
    "ours_mac": ours_mac,
}


def next_free_ip(subnet: Subnet) -> str:
    """Path of the App's endpoint, by natural key."""
    return f"{subnet_path(subnet.namespace, subnet.network)}next-free-ip/"


def _bounds(subnet: Subnet) -> dict[str, str]:
    start, end = map(str, subnet.bounds)
    return {"range_start": start, "range_end": end} if subnet.bounded else {}


@dataclass(frozen=True)
class TemporaryPools:
    """What the old PVE patch's way has cost; `extrapolated` when not every pool was really gone through."""

    ms: float
    calls: int
    extrapolated: bool


def temporary_pools(server: Server, subnet: Subnet, used: int) -> TemporaryPools:
    """Find the prefix; make a /24 pool, list its free addresses, delete it, until one has any; create that address.

    `used` addresses stand at the start of the subnet, so it is known how many pools that takes.
    """
    spent, calls = 0.0, 0

    def send(status: int, method: str, path: str, body: dict | None = None):
        nonlocal spent, calls
        timed = server.expect(status, Request(method, path, body))
        spent, calls = spent + timed.ms, calls + 1
        return timed.body

    def first_free(pool: Network) -> Address | None:
        body = {"prefix": str(pool), "namespace": subnet.namespace_id, "status": "Active", "type": "pool"}
        made = send(CREATED, "POST", "/api/ipam/prefixes/", body)["id"]
        free = send(200, "GET", f"/api/ipam/prefixes/{made}/available-ips/")
        send(204, "DELETE", f"/api/ipam/prefixes/{made}/")
        start, end = subnet.bounds
        hosts = (ipaddress.ip_interface(item["address"]).ip for item in free)
        return next((host for host in hosts if start <= host <= end), None)

    find = urlencode({"namespace": subnet.namespace, "prefix": str(subnet.network)})
    send(200, "GET", f"/api/ipam/prefixes/?{find}")
    pools = list(subnet.network.subnets(new_prefix=POOL_LENGTH))
    needed = used // POOL_SIZE + 1
    extrapolated = needed > POOLS_TIMED
    cycles = []
    for pool in pools[needed - POOLS_SAMPLED : needed] if extrapolated else pools[:needed]:
        before = spent
        address = first_free(pool)
        cycles.append(spent - before)
    if address is None:
        raise RuntimeError(f"{subnet.namespace}: pool {needed} has no free address, {used} should be used")
    length = subnet.network.prefixlen
    body = {"address": f"{address}/{length}", "namespace": subnet.namespace_id, "status": "Active"}
    send(CREATED, "POST", "/api/ipam/ip-addresses/", body)
    not_timed = needed - len(cycles)
    return TemporaryPools(spent + not_timed * statistics.median(cycles), calls + 3 * not_timed, extrapolated)
