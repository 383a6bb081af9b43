"""What PVE calls for one guest: our hooks, and the NetBox calls of PVE's stock plugin that the facade answers.

Measured in a namespace with one small subnet and in a crowded one, in turns with core's plain create.
"""

import itertools
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from benchmarks import methods
from benchmarks.fill import ZONE, Subnet, put_subnet
from benchmarks.load import CREATED, Request, Server

_guests = itertools.count(10**6)


@dataclass(frozen=True)
class Call:
    """One call, by the name that it has in the tables; `{id}` in its path is that of the entry found before."""

    name: str
    status: int
    request: Request


def calls(subnet: Subnet) -> list[Call]:
    """One guest's life through the hooks, and another's through the facade."""
    address = subnet.known_address()
    ip = address.split("/")[0]
    number = next(_guests)
    mac = "BC:24:11:" + number.to_bytes(3, "big").hex(":").upper()
    guest = {"zone": ZONE, "mac": mac, "vmid": number, "hostname": f"guest{number}"}
    hooks = f"/api/plugins/pve-ipam/namespaces/{subnet.namespace}/"
    facade = f"/api/plugins/pve-ipam/netbox/{subnet.namespace}/ipam/"
    entry = {"address": address, "dns_name": f"guest{number}", "description": f"mac:{mac}"}
    ends = f"start_address={subnet.network[2]}&end_address={subnet.network[-2]}"
    return [
        Call("hook: verify", 200, Request("GET", hooks)),
        Call("hook: a subnet as it is", 200, put_subnet(subnet.namespace, subnet.network)),
        Call("hook: next free address", CREATED, methods.ours_mac(subnet)),
        Call("hook: take an address", CREATED, Request("PUT", f"{hooks}ips/{ip}/", guest)),
        Call("hook: the same again", 200, Request("PUT", f"{hooks}ips/{ip}/", guest)),
        Call("hook: find by MAC", 200, Request("GET", f"{hooks}ips/?zone={ZONE}&mac={mac}")),
        Call("hook: change", 200, Request("PATCH", f"{hooks}ips/{ip}/", {"zone": ZONE, "hostname": "renamed"})),
        Call("hook: release", 204, Request("DELETE", f"{hooks}ips/{ip}/", {"zone": ZONE})),
        Call("facade: take an address", CREATED, Request("POST", f"{facade}ip-addresses/", entry)),
        Call("facade: find by MAC", 200, Request("GET", f"{facade}ip-addresses/?description__ic={mac}")),
        Call("facade: find an address", 200, Request("GET", f"{facade}ip-addresses/?q={ip}")),
        Call("facade: change", 200, Request("PATCH", f"{facade}ip-addresses/{{id}}/", entry)),
        Call("facade: release", 204, Request("DELETE", f"{facade}ip-addresses/{{id}}/")),
        Call("facade: find a subnet", 200, Request("GET", f"{facade}prefixes/?q={subnet.network[0]}")),
        Call("facade: find a range", 200, Request("GET", f"{facade}ip-ranges/?{ends}")),
        Call("facade: next free address", CREATED, Request("POST", f"{facade}ip-ranges/{{id}}/available-ips/", {})),
    ]


def measure(server: Server, few: Subnet, many: Subnet, repetitions: int) -> dict[str, dict[str, float]]:
    """Medians in ms by call: in the small and in the crowded namespace, and of the plain creates between them."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    plain = []
    for turn in range(repetitions + 1):
        for where, subnet in (("few_ms", few), ("many_ms", many)):
            created = server.expect(CREATED, methods.plain(subnet))
            found: Any = None
            for call in calls(subnet):
                request = Request(call.request.method, call.request.path.replace("{id}", str(found)), call.request.body)
                timed = server.expect(call.status, request)
                if isinstance(timed.body, dict) and timed.body.get("results"):
                    found = timed.body["results"][0].get("id")
                if turn:  # the first one loads what every worker loads once
                    times[call.name][where].append(timed.ms)
            if turn:
                plain.append(created.ms)
    plain_ms = round(statistics.median(plain), 2)
    return {
        name: {where: round(statistics.median(values), 2) for where, values in by_place.items()}
        | {"plain_create_ms": plain_ms}
        for name, by_place in times.items()
    }
