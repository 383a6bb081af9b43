"""A zone on PVE's own IPAM goes to Nautobot and back: a node's files, the Perl helper with what stands in for PVE's
modules, and a real Nautobot.
"""

import json
import shlex
import subprocess
import uuid

import pytest
from pve_nautobot import cli, ipams, migrate, snapshot

from benchmarks.syncs import cluster
from development.paths import REPOSITORY
from tests.api.hooks.perl import need_perl
from tests.sync.node import write

PERL = ("perl", f"-I{REPOSITORY / 'pve' / 't' / 'lib'}", "-MSDNStandIn")
COMMIT = "PVE::Cluster::cfs_update(); PVE::Network::SDN::commit_config()"
GUESTS, SUBNETS = 20, 10
ZONE, SUBNET = "z0", "10.0.0.0/22"


class Node:
    """A PVE node whose SDN configuration is applied; runs `pve-nautobot` there."""

    def __init__(self, root, document, namespace, capsys):
        self.root, self.document, self.namespace, self._capsys = root, document, namespace, capsys

    def run(self, line, status=0):
        """What it printed as JSON."""
        ended = cli.main([*shlex.split(line), "--json"])
        printed = self._capsys.readouterr()
        assert ended == status, printed.err
        return json.loads(printed.out)

    def ipams(self):
        """Of each zone, as configured."""
        lines = (self.root / "sdn" / "zones.cfg").read_text().split()
        return [lines[at + 1] for at, word in enumerate(lines) if word == "ipam"]

    def held(self):
        """In the zone's first subnet, by PVE's own IPAM."""
        state = json.loads((self.root / "sdn" / "pve-ipam-state.json").read_text())
        return state["zones"][ZONE]["subnets"][SUBNET]["ips"]

    def add(self, vmid, mac, ip):
        """A guest, as PVE remembers it when it has got that address."""
        self._remember({mac: {"ip4": ip}}, {str(vmid): {"node": "n1", "type": "qemu"}})
        path = self.root / "nodes" / "n1" / "qemu-server" / f"{vmid}.conf"
        path.write_text(f"name: new\nnet0: virtio={mac},bridge=v0\n")

    def destroy(self, vmid, mac):
        self._remember({mac: None}, {str(vmid): None})
        (self.root / "nodes" / "n1" / "qemu-server" / f"{vmid}.conf").unlink()

    def _remember(self, macs, guests):
        for name, key, changes in (("sdn/mac-cache.json", "macs", macs), (".vmlist", "ids", guests)):
            content = json.loads((self.root / name).read_text())
            changed = content[key] | changes
            content[key] = {one: value for one, value in changed.items() if value}
            (self.root / name).write_text(json.dumps(content))


@pytest.fixture
def node(live, tmp_path, monkeypatch, capsys):
    need_perl()
    document, namespace = cluster(GUESTS, SUBNETS), f"zone-{uuid.uuid4().hex[:8]}"
    document["cluster"][0]["name"] = namespace  # that no other test has
    code = "from nautobot_pve_ipam.services.connect import connect_pve; print(connect_pve({0!r}, {0!r}).token)"
    settings = {"URL": live.url, "NAMESPACE": namespace, "TOKEN": live.manage(code.format(namespace)).strip()}
    for name, value in settings.items():
        monkeypatch.setenv(f"PVE_NAUTOBOT_{name}", value)
    write(document, tmp_path)
    entry = f"nautobot: nautobot\n\turl {live.url}/api\n\tnamespace {namespace}\n\ttoken {settings['TOKEN']}\n"
    (tmp_path / "sdn" / "ipams.cfg").write_text(entry)
    monkeypatch.setenv("PVE_DIR", str(tmp_path))
    monkeypatch.setattr(snapshot, "PVE", tmp_path)
    answers = {"/cluster/status": document["cluster"], "/cluster/resources": []}
    monkeypatch.setattr(snapshot, "run_pvesh", lambda path, *options: json.dumps(answers[path]))
    monkeypatch.setattr(ipams, "HELPER", (*PERL, str(REPOSITORY / "pve" / "pve-nautobot-migrate")))
    monkeypatch.setattr(migrate, "APPLY", (*PERL, "-e", COMMIT))
    subprocess.run(migrate.APPLY, check=True)
    return Node(tmp_path, document, namespace, capsys)


def test_there_and_back(live, node):
    guests = [one for one in node.document["pve-ipam-state"] if one["zone"] == ZONE]
    mine = [one for one in guests if one["subnet"] == SUBNET]
    assert len(node.run(f"migrate {ZONE}", status=8)["sync"]["to_do"]) > len(guests)
    assert node.ipams() == ["pve"] * 5

    done = node.run(f"migrate {ZONE} --to nautobot --apply")
    assert (done["migrated"], done["addresses"]) == (True, len(guests))
    assert node.ipams() == ["nautobot", *["pve"] * 4]
    assert node.run(f"migrate {ZONE} --apply")["from"] == "nautobot", "nothing to do"
    node.run("sync")
    query = f"namespace={node.namespace}&zone={ZONE}&is_gateway=false&limit=1"
    assert live.request("GET", f"/api/plugins/pve-ipam/allocations/?{query}").body["count"] == len(guests)

    new, gone = "BC:24:11:AA:00:01", mine[0]
    given = node.run(f"next-free-ip {SUBNET} --mac {new} --vmid 900 --zone {ZONE} --cluster {node.namespace}")
    ip = given["address"].partition("/")[0]
    node.add(900, new, ip)
    node.run(f"release {gone['ip']} --if-mac {gone['mac']} --zone {ZONE} --cluster {node.namespace}")
    node.destroy(int(gone["vmid"]), gone["mac"])
    assert ip not in node.held()

    planned = node.run(f"migrate {ZONE} --to pve", status=8)
    assert f"{ip} of guest 900" in planned["add"]
    assert f"{gone['ip']} of guest {gone['vmid']}" in planned["remove"]
    assert node.run(f"migrate {ZONE} --to pve --apply")["migrated"]
    assert node.ipams() == ["pve"] * 5
    held = {address: entry.get("mac") for address, entry in node.held().items()}
    assert held == {"10.0.0.1": None, ip: new, **{one["ip"]: one["mac"] for one in mine[1:]}}
    assert node.held()["10.0.0.1"] == {"gateway": 1}
    assert node.run(f"migrate {ZONE} --to pve --apply")["to"] == "pve", "nothing to do"
