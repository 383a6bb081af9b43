"""The verb migrate: what it asks PVE, Nautobot and NetBox, in which order, and where it stops."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pve_nautobot import programs, snapshot
from pve_nautobot.cli import main
from pve_nautobot.errors import MigrationFailed
from stub_server import BASE, STATUS, StubServer

WEB, DB = "BC:24:11:00:00:01", "bc:24:11:00:00:02"
CLUSTER = [{"type": "cluster", "name": "dc1", "nodes": 1, "quorate": 1}, {"type": "node", "name": "pve1", "online": 1}]
SECRET = "n3tb0x-t0ken"


def state(*ips: str, mac: str = WEB) -> dict[str, Any]:
    guests = {ip: {"mac": mac, "vmid": "100", "hostname": "web"} for ip in ips}
    return {"zones": {"lab": {"subnets": {"10.0.0.0/24": {"ips": {"10.0.0.1": {"gateway": 1}, **guests}}}}}}


class Node:
    """PVE's part: its files, what the Perl helper does with them, and what is applied."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running = "pve"
        self.pending: list[str] = []
        self.cluster = CLUSTER
        self.done: list[str] = []
        self.asked: dict[str, dict[str, Any]] = {}
        self.fails: set[str] = set()
        self.then: dict[str, Callable[[], object]] = {}
        files = {
            "sdn/zones.cfg": "simple: lab\n\tipam pve\n\tdhcp dnsmasq\n",
            "sdn/vnets.cfg": "vnet: v1\n\tzone lab\n",
            "sdn/subnets.cfg": "subnet: lab-10.0.0.0-24\n\tvnet v1\n\tgateway 10.0.0.1\n"
            "\tdhcp-range start-address=10.0.0.100,end-address=10.0.0.199\n",
            "sdn/pve-ipam-state.json": json.dumps(state("10.0.0.100")),
            ".vmlist": '{"ids": {"100": {"node": "pve1", "type": "qemu"}, "101": {"node": "pve1", "type": "qemu"}}}',
            "nodes/pve1/qemu-server/100.conf": f"name: web\nnet0: virtio={WEB},bridge=v1\n",
            "nodes/pve1/qemu-server/101.conf": f"name: db\nnet0: virtio={DB},bridge=v1\n",
        }
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def ipam(self) -> str:
        found = re.search(r"\tipam (\S+)", (self.root / "sdn/zones.cfg").read_text())
        return found[1] if found else ""

    @property
    def ips(self) -> dict[str, Any]:
        text = (self.root / "sdn/pve-ipam-state.json").read_text()
        found: dict[str, Any] = json.loads(text)["zones"]["lab"]["subnets"]["10.0.0.0/24"]["ips"]
        return found

    def ask(
        self, command: Sequence[str], asked: dict[str, Any], seconds: float, failure: type[Exception]
    ) -> dict[str, Any]:
        assert (command, failure) == (("/usr/sbin/pve-nautobot-migrate",), MigrationFailed)
        do = asked["do"]
        if do == "look":
            return {"ipam": self.ipam, "running": self.running, "pending": self.pending}
        self.asked[do] = asked
        self.step(do)
        if do == "switch":
            assert self.ipam == asked["from"]
            self.write("sdn/zones.cfg", f"simple: lab\n\tipam {asked['to']}\n\tdhcp dnsmasq\n")
        else:
            ips = self.ips
            for one in asked["remove"]:
                del ips[one["ip"]]
            for one in asked["add"]:
                assert one["ip"] not in ips
                ips[one["ip"]] = {key: one[key] for key in ("mac", "vmid", "hostname", "gateway") if one[key]}
            self.write(
                "sdn/pve-ipam-state.json", json.dumps({"zones": {"lab": {"subnets": {"10.0.0.0/24": {"ips": ips}}}}})
            )
        return {}

    def run(self, command: Sequence[str], seconds: float, failure: type[Exception], text: str = "") -> str:
        assert command == ("/usr/bin/pvesh", "set", "/cluster/sdn")
        self.step("apply")
        self.running = self.ipam
        return ""

    def step(self, name: str) -> None:
        if name in self.fails:
            raise MigrationFailed(f"{name}: no quorum!")
        self.done.append(name)
        self.then.get(name, lambda: None)()


@pytest.fixture
def netbox() -> Iterator[StubServer]:
    with StubServer() as running:
        yield running


@pytest.fixture(autouse=True)
def node(server: StubServer, netbox: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Node:
    for name in [name for name in os.environ if name.startswith("PVE_NAUTOBOT_")]:
        monkeypatch.delenv(name)
    for name, value in {"URL": f"{server.url}/api", "NAMESPACE": "pve", "TOKEN": "s3cret-t0ken"}.items():
        monkeypatch.setenv(f"PVE_NAUTOBOT_{name}", value)
    made = Node(tmp_path)
    made.write(
        "sdn/ipams.cfg",
        f"nautobot: nautobot\n\turl {server.url}\n\tnamespace pve\n\ttoken {SECRET}\n\n"
        f"netbox: netbox\n\turl {netbox.url}/api/\n\ttoken {SECRET}\n\n"
        f"netbox: facade\n\turl {server.url}/api/plugins/pve-ipam/netbox/other\n\ttoken {SECRET}\n\n"
        f"phpipam: php\n\turl {server.url}\n\ttoken {SECRET}\n",
    )
    monkeypatch.setattr(snapshot, "PVE", tmp_path)
    monkeypatch.setattr(
        snapshot, "run_pvesh", lambda path, *options: json.dumps(made.cluster if "status" in path else [])
    )
    monkeypatch.setattr(programs, "ask", made.ask)
    monkeypatch.setattr(programs, "run", made.run)
    return made


def fact(ip: str = "10.0.0.100", **more: Any) -> dict[str, Any]:
    guest = {"mac": WEB, "vmid": 100, "hostname": "web", "is_gateway": False}
    return {"ip": ip, "network": "10.0.0.0/24", "zone": "lab", "vnet": "v1", **guest, **more}


def change(kind: str = "address", **more: Any) -> dict[str, Any]:
    plain = {"subject": f"10.0.0.0/24 guest 100 {WEB} 10.0.0.100", "before": None, "after": fact()}
    return {"kind": kind, **plain, "evidence": "It has it.", "settlements": [], **more}


def report(**more: Any) -> dict[str, Any]:
    return {"cluster": "dc1", "dry_run": True, "to_do": [], "differences": [], "problems": [], "failed": [], **more}


def record(ip: str = "10.0.0.100", **more: Any) -> dict[str, Any]:
    guest = {"mac": WEB.lower(), "vmid": 100, "hostname": "web", "is_gateway": False}
    return {"address": f"{ip}/24", **guest, "zone_name": "lab", "cluster_name": "dc1", **more}


def page(*records: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    return {"count": len(records) if count is None else count, "next": None, "results": list(records)}


def answers(server: StubServer, *bodies: Any) -> None:
    for body in bodies:
        server.answer(200, body)


BEFORE = (STATUS, report(to_do=[change()]), page())
TAKEN = (report(dry_run=False, applied=[change()]), report(), page(record()))
AFTER = (report(dry_run=False, applied=[]), report(), page(record()))


def sent(server: StubServer) -> list[str]:
    """What was asked of Nautobot, without the queries."""
    words = {f"{BASE}/": "verify", f"{BASE}/sync/": "sync", "/api/plugins/pve-ipam/allocations/": "held"}
    found = [(words[one.path.partition("?")[0]], one.body) for one in server.requests]
    return [f"{word} {'dry' if body['dry_run'] else 'apply'}" if body else word for word, body in found]


def test_without_apply_it_only_shows_what_is_to_do(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(server, *BEFORE)
    assert main(["migrate", "lab"]) == 8
    assert sent(server) == ["verify", "sync dry", "held"]
    assert node.done == []
    assert capsys.readouterr().out.splitlines() == [
        "to do: 1",
        f"  address  10.0.0.0/24 guest 100 {WEB} 10.0.0.100  It has it.",
        "",
        "then zone lab: IPAM nautobot instead of pve",
    ]


def test_every_address_comes_first_then_the_change_with_a_check_before_and_after(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []
    node.then = {step: lambda: asked.append(len(server.requests)) for step in ("switch", "apply")}
    answers(server, *BEFORE, *TAKEN, *AFTER)
    assert main(["migrate", "lab", "--to", "nautobot", "--apply"]) == 0
    assert sent(server) == [
        *("verify", "sync dry", "held"),
        *("sync apply", "sync dry", "held"),
        *("sync apply", "sync dry", "held"),
    ]
    assert (node.done, asked) == (["switch", "apply"], [6, 9])
    assert (node.ipam, node.running) == ("nautobot", "nautobot")
    assert node.asked["switch"]["held"] == [{"ip": "10.0.0.100", "mac": WEB}]
    for request in server.requests:
        if request.path == f"{BASE}/sync/":
            assert request.body["zones"] == ["lab"]
            assert request.body["snapshot"]["zones"][0]["ipam"] == "pve", "what it holds counts after the change, too"
    out, err = capsys.readouterr()
    assert out == "zone lab: IPAM nautobot instead of pve, addresses: 1\n"
    assert SECRET not in out + err + json.dumps([one.body for one in server.requests])


def test_a_second_run_has_nothing_to_do(server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    answers(server, *BEFORE, *TAKEN, *AFTER)
    assert main(["migrate", "lab", "--apply"]) == 0
    seen = len(server.requests)
    capsys.readouterr()
    assert main(["migrate", "lab", "--apply", "--json"]) == 0
    assert main(["migrate", "lab"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[0])["migrated"] is True
    assert out[1] == "nothing to do: zone lab has IPAM nautobot"
    assert len(server.requests) == seen


def test_json(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    answers(server, *BEFORE, *BEFORE, *TAKEN, *AFTER)
    assert main(["migrate", "lab", "--json"]) == 8
    said = json.loads(capsys.readouterr().out)
    assert said.pop("sync")["to_do"] == [change()]
    assert said == {"zone": "lab", "from": "pve", "to": "nautobot", "migrated": False}
    assert main(["migrate", "lab", "--json", "--apply"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["migrated"], said["addresses"]) == (True, 1)


def test_what_does_not_concern_the_zone_stays_a_difference(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does a fixed address that the old IPAM knows nothing of, or what that holds for a guest that is gone."""
    other = change("conflict", subject="10.9.0.5", after=fact("10.9.0.5", zone="z2", mac=""))
    fixed = change("conflict", subject="10.0.0.0/24 guest 101 10.0.0.9", after=fact("10.0.0.9", mac=DB.upper()))
    stale = change("stale", after=fact("10.0.0.107"), evidence="PVE's own IPAM has 10.0.0.107 for guest 107.")
    node.write("sdn/pve-ipam-state.json", json.dumps(state("10.0.0.100", "10.0.0.107")))
    left = report(differences=[other, fixed, stale])
    answers(server, *BEFORE[:1], {**BEFORE[1], "differences": [other, fixed, stale]}, page())
    answers(server, left, left, page(record()), left, left, page(record()))
    assert main(["migrate", "lab", "--apply"]) == 8
    assert "zone lab: IPAM nautobot instead of pve" in capsys.readouterr().out
    assert node.running == "nautobot"


CONFLICT = change("conflict", evidence="PVE's own IPAM has 10.0.0.100, but somebody else has it in Nautobot.")
TWICE = change("conflict", subject=WEB, after=None, evidence=f"PVE has MAC {WEB} twice.")
OVERLAP = change(
    "conflict", subject="lab/v1 10.0.0.0/24", after={"zone": "lab", "vnet": "v1", "network": "10.0.0.0/24"}
)
GATEWAY = change("conflict", subject="10.0.0.0/24 10.0.0.1", after=fact("10.0.0.1", mac="", is_gateway=True))
CACHE = change(
    "cache",
    subject="BC:24:11:00:00:99",
    before={"mac": "BC:24:11:00:00:99", "ip4": "10.0.0.150", "ip6": None},
    after={"mac": "BC:24:11:00:00:99", "ip4": None, "ip6": None},
    evidence="PVE's MAC cache has 10.0.0.150.",
)


@pytest.mark.parametrize(
    ("bodies", "why"),
    [
        ([{**STATUS, "ready": False, "detail": "It lacks rights."}], "Nautobot is not ready: It lacks rights."),
        ([STATUS, report(differences=[CONFLICT]), page(record())], "somebody else has it"),
        ([STATUS, report(differences=[TWICE]), page(record())], "twice"),
        ([STATUS, report(differences=[OVERLAP]), page(record())], "conflicts in zone lab: 1"),
        ([STATUS, report(differences=[GATEWAY]), page(record())], "in the way"),
        ([STATUS, report(), page()], "not in Nautobot: 10.0.0.100 of guest 100"),
        ([STATUS, report(), page(record(mac="bc:24:11:00:00:99"))], "not in Nautobot: 10.0.0.100 of guest 100"),
        ([STATUS, report(), page(record(zone_name="z2"))], "not in Nautobot"),
        ([STATUS, report(), page(record(cluster_name=None))], "not in Nautobot"),
        ([STATUS, report(), page(count=3)], "of 3 allocations in 10.0.0.0/24, only 0 were sent"),
        (
            [
                STATUS,
                report(problems=[{"subject": "pve-ipam-state lab 10.0.0.0/24 10.0.0.100", "why": "is odd"}]),
                page(),
            ],
            "pve-ipam-state lab 10.0.0.0/24 10.0.0.100: is odd",
        ),
        (
            [*BEFORE, report(failed=[{"change": change(), "detail": "It is taken."}])],
            "Nautobot has not done all, 1 changes are left",
        ),
        ([*BEFORE, report(), report(), page()], "not in Nautobot: 10.0.0.100 of guest 100"),
    ],
)
def test_it_stops_before_the_change_if_an_address_would_be_lost(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str], bodies: list[Any], why: str
) -> None:
    answers(server, *bodies)
    assert main(["migrate", "lab", "--apply"]) in (1, 3)
    assert why in capsys.readouterr().err
    assert (node.done, node.ipam) == ([], "pve")


def test_it_stops_if_pve_is_not_as_it_should_be(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    def stops(why: str) -> None:
        assert main(["migrate", "lab", "--apply"]) in (1, 2)
        assert why in capsys.readouterr().err
        assert (node.done, server.requests) == ([], [])

    node.pending = ["vnet v2 is new"]
    stops("vnet v2 is new, but not applied: apply the SDN configuration first")
    node.pending = []
    node.cluster = [{**CLUSTER[0], "quorate": 0}, CLUSTER[1]]
    stops("the cluster has no quorum")
    node.cluster = CLUSTER
    node.write("sdn/pve-ipam-state.json", "{")
    stops("pve-ipam-state could not be read")


def test_what_pves_own_ipam_does_meanwhile_stops_the_change(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """The helper compares it, under PVE's lock."""
    node.fails = {"switch"}
    answers(server, *BEFORE, *TAKEN)
    assert main(["migrate", "lab", "--apply"]) == 1
    assert capsys.readouterr().err == "pve-nautobot: switch: no quorum!\n"
    assert (node.done, node.ipam) == ([], "pve")


def test_a_run_that_breaks_off_after_the_change_says_where_things_stand_and_the_next_goes_on(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.fails = {"apply"}
    answers(server, *BEFORE, *TAKEN, *AFTER)
    assert main(["migrate", "lab", "--apply"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "pve-nautobot: apply: no quorum!. PVE asks IPAM nautobot for zone lab by now. To go on, run the same again;"
        " to go back: pve-nautobot migrate lab --to pve --apply"
    )
    assert (node.ipam, node.running) == ("nautobot", "pve")
    node.fails = set()
    server.answers.clear()
    server.requests.clear()
    answers(server, STATUS, report(), page(record()), *AFTER)
    assert main(["migrate", "lab", "--apply"]) == 0
    assert sent(server) == ["verify", "sync dry", "held", "sync apply", "sync dry", "held"]
    assert server.requests[-2].body["snapshot"]["zones"][0]["ipam"] == "pve", "which had it before"
    assert (node.done, node.running) == (["switch", "apply"], "nautobot")


def test_a_configuration_that_pve_did_not_apply(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "run", lambda *args: "")
    answers(server, *BEFORE, *TAKEN, *AFTER)
    assert main(["migrate", "lab", "--apply"]) == 1
    assert "PVE has not applied the SDN configuration. PVE asks IPAM nautobot" in capsys.readouterr().err


def test_the_way_back_brings_pves_own_ipam_up_to_date(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """As PVE writes MACs, which it compares letter by letter; what was released meanwhile goes."""
    node.write("sdn/zones.cfg", "simple: lab\n\tipam nautobot\n\tdhcp dnsmasq\n")
    node.running = "nautobot"
    gateway = record("10.0.0.1", mac="", vmid=None, hostname="v1-gw", is_gateway=True)
    given = page(gateway, record("10.0.0.105", mac=DB, vmid=101, hostname="db"))
    answers(server, report(), given, report(), given)
    assert main(["migrate", "lab", "--to", "pve"]) == 8
    assert capsys.readouterr().out.splitlines() == [
        "to do in PVE's own IPAM: 2",
        "  add     10.0.0.105 of guest 101",
        "  remove  10.0.0.100 of guest 100",
        "",
        "then zone lab: IPAM pve instead of nautobot",
    ]
    assert node.done == []
    assert main(["migrate", "lab", "--to", "pve", "--apply"]) == 0
    assert node.done == ["write", "switch", "write", "apply"]
    assert node.ips == {"10.0.0.1": {"gateway": 1}, "10.0.0.105": {"mac": DB, "vmid": "101", "hostname": "db"}}
    assert (node.ipam, node.running, node.asked["switch"]["held"]) == ("pve", "pve", None)
    assert capsys.readouterr().out == "zone lab: IPAM pve instead of nautobot, addresses: 1\n"


def test_pves_own_ipam_gets_everything_as_pve_writes_it(server: StubServer, node: Node) -> None:
    node.write("sdn/zones.cfg", "simple: lab\n\tipam nautobot\n\tdhcp dnsmasq\n")
    node.write("sdn/subnets.cfg", "subnet: lab-fd00:0::-64\n\tvnet v1\n")
    node.write(
        "sdn/pve-ipam-state.json",
        json.dumps({"zones": {"lab": {"subnets": {"fd00:0::/64": {"ips": {"fd00::0:9": {"mac": WEB}}}}}}}),
    )
    node.running = "nautobot"
    node.fails = {"write"}
    answers(server, report(), page({**record("fd00::5", mac=DB, vmid=101), "address": "fd00::5/64"}))
    assert main(["migrate", "lab", "--to", "pve", "--apply"]) == 1
    asked = node.asked["write"]
    assert asked["remove"] == [{"subnet": "fd00:0::/64", "ip": "fd00::0:9"}]
    assert [(one["subnet"], one["ip"], one["mac"]) for one in asked["add"]] == [("fd00:0::/64", "fd00::5", DB)]


def test_what_pves_own_ipam_gives_once_it_is_asked_stays(server: StubServer, node: Node) -> None:
    """Nautobot knows nothing of it, and what it gave last is added, if a guest has it."""
    node.write("sdn/zones.cfg", "simple: lab\n\tipam nautobot\n\tdhcp dnsmasq\n")
    node.running = "nautobot"
    last = [record(), record("10.0.0.105", mac=DB, vmid=101), record("10.0.0.9", mac="bc:24:11:00:00:99", vmid=199)]
    node.then["switch"] = lambda: node.write("sdn/pve-ipam-state.json", json.dumps(state("10.0.0.100", "10.0.0.110")))
    answers(server, report(), *[page(record())] * 3, page(*last))
    assert main(["migrate", "lab", "--to", "pve", "--apply"]) == 0
    assert node.ips.keys() == {"10.0.0.1", "10.0.0.100", "10.0.0.105", "10.0.0.110"}


def test_the_way_back_stops_before_the_change_if_pve_does_not_write(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.write("sdn/zones.cfg", "simple: lab\n\tipam nautobot\n\tdhcp dnsmasq\n")
    node.running = "nautobot"
    node.fails = {"write"}
    answers(server, report(), page(record()))
    assert main(["migrate", "lab", "--to", "pve", "--apply"]) == 1
    assert capsys.readouterr().err == "pve-nautobot: write: no quorum!\n"
    assert (node.done, node.ipam) == ([], "nautobot")


def test_the_way_back_is_open_whatever_differs(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.write("sdn/zones.cfg", "simple: lab\n\tipam nautobot\n\tdhcp dnsmasq\n")
    node.running = "nautobot"
    left = report(differences=[CONFLICT, CACHE])
    answers(server, left, page(record()), left, page(record()))
    assert main(["migrate", "lab", "--to", "pve"]) == 8
    assert "differences: 2\n  conflict" in capsys.readouterr().out
    assert main(["migrate", "lab", "--to", "pve", "--apply"]) == 0
    assert (node.ipam, node.running) == ("pve", "pve")


def in_netbox(ip: str, number: int, description: str = f"mac:{WEB}", **more: Any) -> dict[str, Any]:
    return {"id": number, "address": f"{ip}/24", "description": description, "dns_name": "web", "vrf": None, **more}


@pytest.fixture
def on_netbox(node: Node) -> None:
    node.write("sdn/zones.cfg", "simple: lab\n\tipam netbox\n\tdhcp dnsmasq\n")
    node.running = "netbox"
    (node.root / "sdn/pve-ipam-state.json").write_text(json.dumps(state("10.0.0.199")))  # left from before


@pytest.mark.usefixtures("on_netbox")
def test_from_netbox(server: StubServer, netbox: StubServer, node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    first = [in_netbox("10.0.0.1", 1, "gateway"), in_netbox("10.0.0.100", 2)]
    second = [in_netbox("10.0.0.7", 3, "the printer"), in_netbox("10.0.0.8", 4, vrf={"id": 1})]
    for _ in range(5):
        answers(netbox, page(*first, count=4), page(*second, count=4))
    taken = page(record(), record("10.0.0.7", mac="", vmid=None))
    answers(server, STATUS, report(), taken, *[report(), report(), taken] * 2)
    assert main(["migrate", "lab", "--apply"]) == 0
    assert [one.path for one in netbox.requests[:2]] == [
        "/api/ipam/ip-addresses/?parent=10.0.0.0%2F24&limit=500&offset=0",
        "/api/ipam/ip-addresses/?parent=10.0.0.0%2F24&limit=500&offset=2",
    ]
    assert {one.headers["authorization"] for one in netbox.requests} == {f"token {SECRET}"}
    (entries,) = {json.dumps(one.body["snapshot"]["pve-ipam-state"]) for one in server.requests if one.body}
    common = {"zone": "lab", "subnet": "10.0.0.0/24"}
    assert json.loads(entries) == [
        {**common, "ip": "10.0.0.1", "ipam": "netbox", "hostname": "web", "gateway": 1},
        {**common, "ip": "10.0.0.100", "ipam": "netbox", "hostname": "web", "mac": WEB},
        {**common, "ip": "10.0.0.7", "ipam": "netbox", "hostname": "web"},
    ]
    assert (node.done, node.asked["switch"]["held"]) == (["switch", "apply"], None)
    out, err = capsys.readouterr()
    assert SECRET not in out + err + json.dumps([[one.body, one.headers] for one in server.requests])


@pytest.mark.usefixtures("on_netbox")
@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, {"detail": f"Invalid token {SECRET}"}, "GET ip-addresses/ was answered 403 Forbidden"),
        (400, {"parent": [f"{SECRET} is odd"]}, "*** is odd"),
        (200, b"<html>", "the answer is not JSON: check its url"),
        (200, {"detail": "?"}, "the answer to ip-addresses is not NetBox's"),
        (200, page(count=2), "of 2 ip-addresses, only 0 were sent"),
        (200, page({"id": 1}), "an address in 10.0.0.0/24 is not as NetBox has them"),
    ],
)
def test_netbox_fails(
    server: StubServer,
    netbox: StubServer,
    node: Node,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: Any,
    why: str,
) -> None:
    answers(server, STATUS)
    netbox.answer(status, body)
    assert main(["migrate", "lab", "--apply"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("pve-nautobot: NetBox, IPAM netbox: ")
    assert why in err
    assert SECRET not in out + err
    assert node.done == []


def test_back_to_netbox(server: StubServer, netbox: StubServer, node: Node) -> None:
    """Exactly what is missing is added, and what is gone is removed by its ID; what PVE did not make stays."""
    node.write("sdn/zones.cfg", "simple: lab\n\tipam nautobot\n\tdhcp dnsmasq\n")
    node.running = "nautobot"
    given = page(record(), record("10.0.0.105", mac=DB, vmid=101, hostname="db"))
    answers(server, report(), given)
    stays = [in_netbox("10.0.0.100", 2), in_netbox("10.0.0.7", 6, "the printer")]
    there = [*stays, in_netbox("10.0.0.2", 3), in_netbox("10.0.0.20", 4, f"mac:{DB}")]
    now = page(*stays, in_netbox("10.0.0.105", 5, f"mac:{DB}"))
    answers(netbox, *[page(*there)] * 2, page({"id": 1}), page(), {"id": 9}, {}, {}, {}, now)
    assert main(["migrate", "lab", "--to", "netbox", "--apply"]) == 0
    changes = [(one.method, one.path, one.body) for one in netbox.requests if one.method != "GET"]
    ends = {"start_address": "10.0.0.100", "end_address": "10.0.0.199"}
    added = {"address": "10.0.0.105/24", "description": f"mac:{DB.upper()}", "dns_name": "db"}
    assert changes == [
        ("POST", "/api/ipam/ip-ranges/", ends),
        ("DELETE", "/api/ipam/ip-addresses/3/", None),
        ("DELETE", "/api/ipam/ip-addresses/4/", None),
        ("POST", "/api/ipam/ip-addresses/", added),
    ]
    assert node.done == ["switch", "apply"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nozone", "zone 'nozone' does not exist in PVE"),
        ("lab --to nothing", "--to 'nothing' is no IPAM entry of PVE: it has facade, nautobot, netbox, php, pve"),
        ("lab --to netbox", "from IPAM pve to netbox: one must be PVE's own or a NetBox, one must use"),
        ("lab --to php", "from IPAM pve to php"),
        ("lab --to facade", "from IPAM pve to facade"),
        ("lab --namespace third", "IPAM entries of PVE that use"),
        ("lab --cluster dc2", "IPAM nautobot speaks for cluster dc1, not for cluster dc2: see --cluster"),
        ("lab --namespace other --to facade", "IPAM facade speaks for no cluster, not for cluster dc1: see --cluster"),
    ],
)
def test_ipams_that_it_cannot_take(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str], line: str, why: str
) -> None:
    assert main(["migrate", *line.split(), "--apply"]) == 2
    assert why in capsys.readouterr().err
    assert (node.done, server.requests) == ([], [])


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"sdn/zones.cfg": "simple: lab\n"}, "zone lab has no IPAM"),
        ({"sdn/zones.cfg": "simple: lab\n\tipam gone\n"}, "zone lab has IPAM 'gone', which is no entry of PVE"),
        ({"sdn/ipams.cfg": "nautobot: broken\n\turl nonsense\n\tnamespace pve\n"}, "/namespaces/pve/: none."),
        (
            {"sdn/pve-ipam-state.json": json.dumps(state("10.0.0"))},
            "PVE's own IPAM could not be read: '10.0.0'",
        ),
    ],
)
def test_files_of_pve_that_are_odd(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str], files: dict[str, str], why: str
) -> None:
    for name, text in files.items():
        node.write(name, text)
    node.running = node.ipam
    answers(server, STATUS)
    assert main(["migrate", "lab", "--apply"]) in (1, 2)
    assert why in capsys.readouterr().err
    assert node.done == []


def test_ipam_entries_that_cannot_be_read(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    path = node.root / "sdn/ipams.cfg"
    path.unlink()
    assert main(["migrate", "lab"]) == 2
    assert ": none. Name one with --to" in capsys.readouterr().err
    path.mkdir()
    assert main(["migrate", "lab"]) == 1
    assert f"{path}: Is a directory" in capsys.readouterr().err


def test_a_helper_that_does_not_say_what_it_did(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "ask", lambda *args: [])
    assert main(["migrate", "lab"]) == 1
    assert "/usr/sbin/pve-nautobot-migrate did not say what it did" in capsys.readouterr().err


def test_a_message_names_some_addresses(server: StubServer, node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.write("sdn/pve-ipam-state.json", json.dumps(state(*[f"10.0.0.{n}" for n in range(100, 107)])))
    answers(server, STATUS, report(), page())
    assert main(["migrate", "lab"]) == 1
    assert "10.0.0.104 of guest 100 and 2 more\n" in capsys.readouterr().err


def test_to_the_facade(server: StubServer, node: Node) -> None:
    answers(server, *BEFORE)
    assert main(["migrate", "lab", "--namespace", "other", "--cluster", ""]) == 8
    assert "cluster" not in server.requests[1].body


@pytest.mark.parametrize("name", ["pve-ipam-state.json", "mac-cache.json"])
@pytest.mark.parametrize(("share", "is_said"), [(0.89, False), (0.91, True)])
def test_a_file_that_pve_will_not_be_able_to_write_much_longer(
    server: StubServer, node: Node, capsys: pytest.CaptureFixture[str], name: str, share: float, is_said: bool
) -> None:
    path = node.root / "sdn" / name
    text = path.read_text() if path.exists() else "{}"
    path.write_text(text + " " * (int(share * 1024 * 1024) - len(text)))
    answers(server, report(), *BEFORE)
    assert main(["sync"]) == 0
    assert (f"warning: {path} has" in capsys.readouterr().err) is is_said
    assert main(["migrate", "lab"]) == 8
    assert capsys.readouterr().err.count(f"warning: {path} has") == is_said
