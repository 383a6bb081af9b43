"""A believable PVE cluster as files in PVE's own formats, read as a node reads them; and documents made by hand."""

import copy
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from pve_nautobot import snapshot as node

HERE = Path(__file__).parent / "cluster"
TAKEN = 1_795_723_200.0  # 2026-11-26T20:00:00Z
ANSWERS = {"/cluster/status": "cluster-status.json", "/cluster/resources": "cluster-resources.json"}

Document = dict[str, Any]


def pvesh(path: str, *options: str) -> str:
    return (HERE / "pvesh" / ANSWERS[path]).read_text()


def no_pvesh(path: str, *options: str) -> str:
    raise subprocess.CalledProcessError(255, ["pvesh"], stderr="ipcc_send_rec[1] failed: Connection refused\n")


@cache
def _cluster() -> Document:
    return node.read(HERE / "pve", pvesh, lambda: TAKEN)


def cluster() -> Document:
    """What the node sends of that cluster, to be changed at will."""
    return copy.deepcopy(_cluster())


def guest(document: Document, vmid: int) -> Document:
    """The configuration of a guest in a document."""
    return next(one["config"] for one in document["guests"] if one["vmid"] == vmid)


def element(document: Document, part: str, **keys: object) -> Document:
    """The element of a part that has these values."""
    return next(one for one in document[part] if all(one.get(key) == value for key, value in keys.items()))


def without_guest(document: Document, vmid: int) -> Document:
    """The document after that guest was destroyed."""
    document["guests"] = [one for one in document["guests"] if one["vmid"] != vmid]
    del document["vmlist"][str(vmid)]
    return document


def on_netbox(document: Document, *held: Document) -> Document:
    """The document when zone lab uses a NetBox that holds these addresses; PVE's own IPAM has something left over."""
    document["ipams"].append({"ipam": "nb", "type": "netbox", "url": "https://netbox.example.com/api"})
    element(document, "zones", zone="lab")["ipam"] = "nb"
    place = {"zone": "lab", "subnet": "10.2.0.0/24"}
    found = [{**place, **one, "ipam": "nb"} for one in held]
    document["pve-ipam-state"] = [*found, {**place, "ip": "10.2.0.121"}, {**place, "ip": "10.2.0.122", "ipam": "other"}]
    return document
