"""A cluster that lived on PVE's own IPAM comes into Nautobot with one command on a node: files, HTTP, the token of
`pve_ipam_connect` and, for many guests, a Job that a worker does.
"""

import json
import uuid
from collections import defaultdict

import pytest
from pve_nautobot import cli, snapshot

from benchmarks.syncs import cluster
from tests.nightly import examples

GUESTS, SUBNETS = examples(40, 2000), 20


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


@pytest.fixture
def node(live, tmp_path, monkeypatch, capsys):
    """A function that runs `pve-nautobot` on a node: its exit status and what it printed as JSON."""
    document, namespace = cluster(GUESTS, SUBNETS), f"node-{uuid.uuid4().hex[:8]}"
    document["cluster"][0]["name"] = namespace  # that no other test has
    write(document, tmp_path)
    answers = {
        "/cluster/status": document["cluster"],
        "/cluster/resources": [{"vmid": one["vmid"], "status": one["status"]} for one in document["guests"]],
    }
    monkeypatch.setattr(snapshot, "PVE", tmp_path)
    monkeypatch.setattr(snapshot, "run_pvesh", lambda path, *options: json.dumps(answers[path]))
    code = "from nautobot_pve_ipam.services.connect import connect_pve; print(connect_pve({0!r}, {0!r}).token)"
    settings = {"URL": live.url, "NAMESPACE": namespace, "TOKEN": live.manage(code.format(namespace)).strip()}
    for name, value in settings.items():
        monkeypatch.setenv(f"PVE_NAUTOBOT_{name}", value)

    def run(*arguments):
        status = cli.main([*arguments, "--json"])
        printed = capsys.readouterr()
        assert status in (0, 8), printed.err
        return status, json.loads(printed.out)

    run.document, run.namespace = document, namespace
    return run


def test_one_command_and_then_nothing_to_do(live, node):
    zones = [word for entry in node.document["zones"] for word in ("--zone", entry["zone"])]
    status, planned = node("sync", *zones)
    taken = [one for one in planned["to_do"] if one["kind"] == "address"]
    assert (status, len(taken)) == (8, GUESTS + SUBNETS), "with a gateway each"
    with live.worker():
        status, done = node("sync", "--apply", *zones)
    assert (status, done["failed"]) == (0, [])
    assert node("sync", *zones)[0] == 0, "nothing to do"
    url = f"/api/plugins/pve-ipam/allocations/?namespace={node.namespace}&is_gateway=false&limit=1"
    assert live.request("GET", url).body["count"] == GUESTS
