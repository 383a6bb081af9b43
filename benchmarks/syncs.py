"""A cluster of 5 zones that lived on PVE's own IPAM comes into an empty Nautobot, in one process, as a Job does it.

Run inside Nautobot: `benchmarks/__main__.py` does so in a process of its own, whose memory is measured.
"""

import json
import resource
import time
from ipaddress import ip_network
from itertools import islice
from typing import Any

ZONES = 5
TAKEN = "2026-11-26T20:00:00Z"


def print_figures(guests: int, subnets: int, changes: int) -> None:
    """As JSON, in one line: ms for a guest, s for a second run and for one with some changes, MB in all."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415  (settings exist only inside Nautobot)
    from nautobot.apps.change_logging import web_request_context  # noqa: PLC0415
    from nautobot.ipam.models import Namespace  # noqa: PLC0415

    user = get_user_model().objects.filter(is_superuser=True).first()
    namespace = Namespace.objects.create(name="sync")
    document = cluster(guests, subnets)
    with web_request_context(user):
        before_mb = max_mb()
        first = seconds(user, namespace, document)
        figures = {"guests": guests, "changes": changes, "ms_a_guest": round(first * 1000 / guests, 2)}
        figures["again_s"] = round(seconds(user, namespace, document), 2)
        for guest in document["guests"][:changes]:
            guest["config"]["name"] += "-new"
        figures["changes_s"] = round(seconds(user, namespace, document), 2)
        figures |= {"mb": max_mb(), "nautobot_mb": before_mb}
    print(json.dumps(figures))


def seconds(user: Any, namespace: Any, document: dict[str, Any]) -> float:
    """How long a whole sync takes."""
    from django.utils import timezone  # noqa: PLC0415

    from nautobot_pve_ipam.core_internals import spare_announcements  # noqa: PLC0415
    from nautobot_pve_ipam.services.callers import Caller  # noqa: PLC0415
    from nautobot_pve_ipam.sync.run import Sync  # noqa: PLC0415

    begun = time.perf_counter()
    zones = [entry["zone"] for entry in document["zones"]]
    sync = Sync.of(Caller(user, namespace, "dc1"), document, now=timezone.now(), zones=zones)
    outcome = sync.apply(sync.plan())
    if outcome.failed:
        raise RuntimeError(outcome.failed[0].detail)
    spare_announcements()  # otherwise, Nautobot would look through all changes when the figures have been printed
    return time.perf_counter() - begun


def max_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def cluster(guests: int, subnets: int) -> dict[str, Any]:
    """What a cluster says whose addresses are in PVE's own IPAM and in its MAC cache."""
    networks = list(islice(ip_network("10.0.0.0/8").subnets(new_prefix=22), subnets))
    homes = [(number, networks[number % subnets], number % subnets) for number in range(guests)]
    macs = [f"BC:24:11:{n >> 16 & 255:02X}:{n >> 8 & 255:02X}:{n & 255:02X}" for n in range(guests)]
    ips = [str(network[10 + number // subnets]) for number, network, _ in homes]
    return {
        "version": 1,
        "taken": TAKEN,
        "cluster": [
            {"type": "cluster", "name": "dc1", "nodes": 1, "quorate": 1},
            {"type": "node", "name": "n1", "nodeid": 1, "online": 1},
        ],
        "vmlist": {str(100 + number): {"node": "n1", "type": "qemu"} for number in range(guests)},
        "zones": [{"zone": f"z{zone}", "type": "simple", "ipam": "pve", "dhcp": "dnsmasq"} for zone in range(ZONES)],
        "vnets": [{"vnet": f"v{place}", "zone": f"z{place % ZONES}"} for place in range(subnets)],
        "subnets": [
            {
                "subnet": f"z{place % ZONES}-{str(network).replace('/', '-')}",
                "vnet": f"v{place}",
                "gateway": str(network[1]),
                "dhcp-range": [{"start-address": str(network[10]), "end-address": str(network[-2])}],
            }
            for place, network in enumerate(networks)
        ],
        "ipams": [{"ipam": "pve", "type": "pve"}],
        "guests": [
            {
                "vmid": 100 + number,
                "type": "qemu",
                "node": "n1",
                "status": "running",
                "config": {"name": f"guest{number}", "net0": f"virtio={macs[number]},bridge=v{place}"},
            }
            for number, _, place in homes
        ],
        "mac-cache": {mac: {"ip4": ip, "ip6": None} for mac, ip in zip(macs, ips, strict=True)},
        "pve-ipam-state": [
            {
                "zone": f"z{place % ZONES}",
                "subnet": str(network),
                "ip": ips[number],
                "mac": macs[number],
                "vmid": str(100 + number),
                "hostname": f"guest{number}",
            }
            for number, network, place in homes
        ],
        "unread": [],
    }
