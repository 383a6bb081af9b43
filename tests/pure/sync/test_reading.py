"""The node's client copies what PVE wrote, and nothing else; what it cannot read, it names."""

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from pve_nautobot import snapshot as node

from nautobot_pve_ipam.sync.snapshot import VERSION, parse
from tests.pure.sync.pve import HERE, TAKEN, cluster, element, guest, no_pvesh, pvesh

DOCS = Path(__file__).parents[3] / "nautobot_pve_ipam" / "docs"
SCHEMA = json.loads((DOCS / "snapshot.schema.json").read_text())


@pytest.fixture
def files(tmp_path):
    """A copy of the cluster's files."""
    return Path(shutil.copytree(HERE / "pve", tmp_path / "pve"))


def read(files, pvesh=pvesh):
    document = node.read(files, pvesh, lambda: TAKEN)
    jsonschema.validate(document, SCHEMA)
    return document


def unread(document):
    return {entry["what"]: entry["why"] for entry in document["unread"]}


def test_what_is_read_of_a_cluster_is_as_the_schema_says():
    document = cluster()
    jsonschema.validate(document, SCHEMA)
    assert document.keys() == SCHEMA["properties"].keys()
    assert document["version"] == node.VERSION == VERSION
    assert document["unread"] == []
    assert parse(document).problems == ()


def test_a_document_with_any_other_key_is_not_what_the_schema_says():
    document = cluster()
    element(document, "ipams", ipam="nautobot")["token"] = "secret"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_the_schema_has_the_keys_that_the_client_copies():
    parts = SCHEMA["properties"]
    config = parts["guests"]["items"]["properties"]["config"]
    described = {
        name: set(part.get("items", part.get("additionalProperties", {})).get("properties", ()))
        for name, part in parts.items()
        if name in node.KEYS
    }
    described["guests"].remove("config")
    assert {**described, "config": set(config["properties"])} == {part: set(keys) for part, keys in node.KEYS.items()}
    (pattern,) = config["patternProperties"]
    assert pattern == f"^({'|'.join(node.NUMBERED)})[0-9]+$"


def test_the_documentation_has_the_keys_that_the_client_copies():
    section = (DOCS / "sync.md").read_text().partition("## The snapshot\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)`(?: of a guest)? \| (.*?) \|", section, re.MULTILINE)
    described = {part: re.findall(r"`([\w-]+?)0?`", keys) for part, keys in rows if part in node.KEYS}
    more = {"guests": ["config"], "config": list(node.NUMBERED)}
    assert described == {part: [*keys, *more.get(part, [])] for part, keys in node.KEYS.items()}


def test_no_secret_leaves_the_node():
    text = json.dumps(cluster())
    for secret in ("0123456789abcdef", "89abcdef", "fedcba98", "secret", "hash", "password", "shop's"):
        assert secret not in text


def test_values_stay_as_pve_wrote_them():
    document = cluster()
    subnet = element(document, "subnets", subnet="office-10.1.0.0-24")
    assert subnet == {
        "subnet": "office-10.1.0.0-24",
        "vnet": "off1",
        "gateway": "10.1.0.1",
        "snat": "1",
        "dhcp-range": [
            "start-address=10.1.0.100,end-address=10.1.0.149",
            "start-address=10.1.0.200,end-address=10.1.0.249",
        ],
    }
    assert element(document, "pve-ipam-state", ip="10.2.0.100")["vmid"] == "105"
    assert "bc:24:11:00:01:08" in document["mac-cache"]
    assert element(document, "guests", vmid=101)["status"] == "stopped"
    assert document["ipams"][0] == {"ipam": "pve", "type": "pve"}


def test_a_guest_has_the_configuration_in_force():
    """Not its pending changes, and not those of its snapshots, which come after it in the file."""
    assert guest(cluster(), 100) == {
        "name": "web1",
        "net0": "virtio=BC:24:11:00:01:00,bridge=off1,firewall=1",
        "tags": "shop;web",
    }


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (".vmlist", "vmlist"),
        ("sdn/zones.cfg", "zones"),
        ("sdn/vnets.cfg", "vnets"),
        ("sdn/subnets.cfg", "subnets"),
    ],
)
def test_a_missing_file_is_named_and_the_rest_is_read(files, path, part):
    (files / path).unlink()
    document = read(files)
    assert unread(document) == {part: f"{files / path}: No such file or directory"}
    assert part not in document
    expected = cluster()
    assert {key: one for key, one in document.items() if key != "unread"} == {
        key: one for key, one in expected.items() if key not in (part, "unread")
    }


@pytest.mark.parametrize(
    ("path", "part", "empty"),
    [
        ("sdn/ipams.cfg", "ipams", [{"ipam": "pve", "type": "pve"}]),
        ("sdn/mac-cache.json", "mac-cache", {}),
        ("sdn/pve-ipam-state.json", "pve-ipam-state", []),
    ],
)
def test_a_file_that_pve_makes_when_it_needs_it_may_be_missing(files, path, part, empty):
    (files / path).unlink()
    document = read(files)
    assert (document[part], document["unread"]) == (empty, [])


@pytest.mark.parametrize("path", [".vmlist", "sdn/mac-cache.json", "sdn/pve-ipam-state.json"])
def test_a_broken_file_is_named_and_the_rest_is_read(files, path):
    (files / path).write_text('{"macs": ')
    document = read(files)
    (entry,) = document["unread"]
    assert entry["why"].startswith("JSONDecodeError: ")
    assert document["guests"] == cluster()["guests"]


def test_an_unreadable_configuration_costs_only_that_guest(files):
    path = files / "nodes/pve1/qemu-server/100.conf"
    path.unlink()
    path.mkdir()
    document = read(files)
    assert unread(document) == {"guest 100": f"{path}: Is a directory"}
    assert "config" not in element(document, "guests", vmid=100)
    assert guest(document, 101) == guest(cluster(), 101)
    assert [(problem.subject, problem.why) for problem in parse(document).problems] == [
        ("guest 100", f"could not be read: {path}: Is a directory")
    ]


def test_without_pvesh_the_files_are_read(files):
    document = read(files, no_pvesh)
    why = "pvesh failed: ipcc_send_rec[1] failed: Connection refused"
    assert unread(document) == {"cluster": why, "status": why}
    assert len(document["guests"]) == len(cluster()["guests"])
    assert parse(document).incomplete == "cluster could not be read"


def test_the_own_ipam_had_another_file_before(files):
    (files / "priv").mkdir()
    (files / "sdn/pve-ipam-state.json").rename(files / "priv/ipam.db")
    assert read(files)["pve-ipam-state"] == cluster()["pve-ipam-state"]


def test_bytes_that_are_no_text_do_not_stop_it(files):
    path = files / "nodes/pve1/qemu-server/100.conf"
    path.write_bytes(b"#\xff\xfe\n" + path.read_bytes())
    assert guest(read(files), 100) == guest(cluster(), 100)
