"""A snapshot as the files of a PVE node."""

import json
from collections import defaultdict


def write(document, root):
    """The files of a PVE node that are read as this document."""
    sdn, nodes = root / "sdn", root / "nodes" / "n1" / "qemu-server"
    sdn.mkdir(parents=True)
    nodes.mkdir(parents=True)
    (root / ".vmlist").write_text(json.dumps({"version": 1, "ids": document["vmlist"]}))
    for part, key, kind in (("zones", "zone", None), ("vnets", "vnet", "vnet"), ("subnets", "subnet", "subnet")):
        (sdn / f"{part}.cfg").write_text("\n".join(section(entry, key, kind) for entry in document[part]))
    (sdn / "mac-cache.json").write_text(json.dumps({"macs": document["mac-cache"]}))
    zones = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for entry in document["pve-ipam-state"]:
        kept = {name: entry[name] for name in ("mac", "vmid", "hostname")}
        zones[entry["zone"]]["subnets"][entry["subnet"]].setdefault("ips", {})[entry["ip"]] = kept
    (sdn / "pve-ipam-state.json").write_text(json.dumps({"zones": zones}))
    for guest in document["guests"]:
        lines = (f"{name}: {value}\n" for name, value in guest["config"].items())
        (nodes / f"{guest['vmid']}.conf").write_text("".join(lines))


def section(entry, key, kind):
    """One section of a file of PVE's."""
    lines = [f"{kind or entry['type']}: {entry[key]}"]
    for name, value in entry.items():
        if name == "dhcp-range":
            lines += [
                f"\t{name} start-address={one['start-address']},end-address={one['end-address']}" for one in value
            ]
        elif name not in (key, "type"):
            lines.append(f"\t{name} {value}")
    return "\n".join([*lines, ""])
