"""A cluster that lived on PVE's own IPAM comes into Nautobot with one command on a node: files, HTTP, the token of
`pve_ipam_connect` and, for many guests, a Job that a worker does.
"""

import json
import uuid

import pytest
from pve_nautobot import cli, snapshot

from benchmarks.syncs import cluster
from tests.nightly import examples
from tests.sync.node import write

GUESTS, SUBNETS = examples(40, 2000), 20


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
