"""The verb sync: what it sends, shows and returns, how it waits for a Job, and how PVE's cache is repaired."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pve_nautobot import cli, repair, snapshot
from pve_nautobot.answers import Job
from pve_nautobot.cli import main
from pve_nautobot.client import Client
from pve_nautobot.errors import JobFailed
from stub_server import BASE, StubServer

HERE = Path(__file__).resolve().parent
MAC = "BC:24:11:00:00:01"
STATUS = [{"type": "cluster", "name": "dc1", "nodes": 1, "quorate": 1}, {"type": "node", "name": "pve1", "online": 1}]


def change(kind: str = "vnet", **more: Any) -> dict[str, Any]:
    plain = {"subject": "z1/v1", "before": None, "after": None, "evidence": "PVE has it.", "settlements": []}
    return {"kind": kind, **plain, **more}


CACHE = change(
    "cache",
    subject=MAC,
    before={"mac": MAC, "ip4": "10.0.0.100", "ip6": None},
    after={"mac": MAC, "ip4": None, "ip6": None},
    evidence="PVE's MAC cache has 10.0.0.100 for guest 100, Nautobot nothing.",
    settlements=["take-nautobot"],
)


def report(**more: Any) -> dict[str, Any]:
    return {"cluster": "dc1", "dry_run": True, "to_do": [], "differences": [], "problems": [], "failed": [], **more}


def job(state: str, **result: Any) -> dict[str, Any]:
    return {"id": "1", "status": {"value": state, "label": state.title()}, "result": result or None}


@pytest.fixture(autouse=True)
def node(server: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A node of PVE with one guest."""
    for name in [name for name in os.environ if name.startswith("PVE_NAUTOBOT_")]:
        monkeypatch.delenv(name)
    for name, value in {"URL": f"{server.url}/api", "NAMESPACE": "pve", "TOKEN": "s3cret-t0ken"}.items():
        monkeypatch.setenv(f"PVE_NAUTOBOT_{name}", value)
    files = {
        "sdn/zones.cfg": "simple: z1\n\tipam nautobot\n",
        "sdn/vnets.cfg": "vnet: v1\n\tzone z1\n",
        "sdn/subnets.cfg": "subnet: z1-10.0.0.0-24\n\tvnet v1\n",
        "sdn/ipams.cfg": "nautobot: nautobot\n\turl https://n/api\n\tnamespace pve\n\ttoken SECRET\n",
        ".vmlist": '{"ids": {"100": {"node": "pve1", "type": "qemu"}}}',
        "nodes/pve1/qemu-server/100.conf": f"name: web\nnet0: virtio={MAC},bridge=v1\n",
    }
    for name, text in files.items():
        path = tmp_path / "pve" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(snapshot, "PVE", tmp_path / "pve")
    monkeypatch.setattr(snapshot, "run_pvesh", lambda path, *options: json.dumps(STATUS if "status" in path else []))
    monkeypatch.setattr("pve_nautobot.client._LOOKS", 0)
    return tmp_path / "pve"


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands in for the Perl helper: says what is in this file, and keeps what it was asked."""
    script = "import pathlib, sys; here = pathlib.Path(sys.argv[1]); text = sys.stdin.read()"
    script += "; (here.parent / 'asked').write_text(text); print(here.read_text())"
    answer = tmp_path / "answer"
    monkeypatch.setattr(repair, "HELPER", (sys.executable, "-c", script, str(answer)))
    return answer


def test_it_sends_what_the_cluster_says_in_one_call(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(200, report())
    assert main(["sync"]) == 0
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", f"{BASE}/sync/")
    document = request.body.pop("snapshot")
    assert request.body == {"cluster": "dc1", "dry_run": True}
    assert document["guests"][0]["config"] == {"name": "web", "net0": f"virtio={MAC},bridge=v1"}
    assert "SECRET" not in json.dumps(document)
    assert capsys.readouterr() == ("nothing to do\n", "")


def test_all_options(server: StubServer) -> None:
    server.answer(200, report(dry_run=False, applied=[]))
    assert main(["sync", "--apply", "--prune", "--adopt", "--zone", "lab", "--zone", "z2", "--cluster", "dc2"]) == 0
    (request,) = server.requests
    del request.body["snapshot"]
    assert request.body == {
        "cluster": "dc2",
        "dry_run": False,
        "zones": ["lab", "z2"],
        "adopt": True,
        "prune": True,
    }


@pytest.mark.parametrize(("options", "seconds"), [([], 600.0), (["--timeout", "5"], 5.0)])
def test_it_has_more_time_than_the_other_verbs(
    server: StubServer, monkeypatch: pytest.MonkeyPatch, options: list[str], seconds: float
) -> None:
    given: dict[str, Any] = {}

    def client(*args: Any, **named: Any) -> Client:
        given.update(named)
        return Client(*args, **named)

    monkeypatch.setattr(cli, "Client", client)
    server.answer(200, report())
    assert main(["sync", *options]) == 0
    assert given["timeout"] == seconds


def test_records_without_a_cluster(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the facade, if its URL names no cluster."""
    monkeypatch.setenv("PVE_NAUTOBOT_CLUSTER", "dc1")
    server.answer(200, report())
    assert main(["sync", "--cluster", ""]) == 0
    assert "cluster" not in server.requests[0].body


def test_the_cluster_is_named_if_it_cannot_be_read(
    server: StubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: str, *options: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", "/usr/bin/pvesh")

    monkeypatch.setattr(snapshot, "run_pvesh", fails)
    assert main(["sync"]) == 2
    assert "(/usr/bin/pvesh: No such file or directory): set --cluster" in capsys.readouterr().err
    assert server.requests == []
    server.answer(200, report())
    assert main(["sync", "--cluster", "dc1"]) == 0


def test_the_plan_is_a_table(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    to_do = [change("zone", subject="z1"), change(evidence="PVE has\x1b[31m it.")]
    stale = change("stale", subject="10.0.0.0/24 guest 100", evidence="No.", settlements=["release"])
    problems = [{"subject": "guest 101", "why": "is there 2 times"}]
    server.answer(200, report(to_do=to_do, differences=[stale], problems=problems))
    assert main(["sync"]) == 8
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "to do: 2",
        "  zone  z1     PVE has it.",
        "  vnet  z1/v1  PVE has [31m it.",
        "",
        "differences: 1",
        "  stale  10.0.0.0/24 guest 100  No. [release]",
    ]
    assert err == "pve-nautobot: guest 101: is there 2 times\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (report(), 0),
        (report(to_do=[change()]), 8),
        (report(differences=[change()]), 8),
        (report(dry_run=False, to_do=[change()], applied=[change()]), 0),
        (report(dry_run=False, to_do=[change()], applied=[change()], differences=[change()]), 8),
        (report(dry_run=False, to_do=[change()], applied=[], failed=[{"change": change(), "detail": "It."}]), 1),
    ],
)
def test_the_exit_status_and_json(
    server: StubServer, capsys: pytest.CaptureFixture[str], answer: dict[str, Any], status: int
) -> None:
    server.answer(200, answer)
    assert main(["sync", "--json", *([] if answer["dry_run"] else ["--apply"])]) == status
    out, err = capsys.readouterr()
    assert json.loads(out) == answer
    assert err == ("pve-nautobot: not done: vnet z1/v1: It.\n" if answer["failed"] else "")


def test_a_job_is_waited_for_and_what_is_left_is_asked(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Nautobot's own idea of its name does not count: the token is sent where it was meant to go."""
    url = "http://inside.example.com/api/extras/job-results/1/"
    server.answer(202, {"job_result": url, "detail": "501 changes are done by Job Sync"})
    server.answer(200, job("PENDING"))
    server.answer(200, job("STARTED"))
    server.answer(200, job("SUCCESS", applied=501, to_do=501, differences=1, failed=[], problems=[]))
    server.answer(200, report(differences=[change("stale")]))
    assert main(["sync", "--apply"]) == 8
    looks = [("GET", "/api/extras/job-results/1/")] * 3
    sent = [(one.method, one.path) for one in server.requests]
    assert sent == [("POST", f"{BASE}/sync/"), *looks, ("POST", f"{BASE}/sync/")]
    assert [server.requests[index].body["dry_run"] for index in (0, -1)] == [False, True]
    out, err = capsys.readouterr()
    assert out == "done: 501 changes, by a Job\n\ndifferences: 1\n  stale  z1/v1  PVE has it.\n"
    assert err == f"pve-nautobot: 501 changes are done by Job Sync: {url}\n"


def test_what_a_job_could_not_do_is_an_error(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(202, {"job_result": "http://n/api/extras/job-results/1/", "detail": "501 changes"})
    failed = [{"change": change(), "detail": "It is taken."}]
    server.answer(200, job("SUCCESS", applied=500, failed=failed, problems=[]))
    server.answer(200, report(to_do=[change()]))
    assert main(["sync", "--apply", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == report(dry_run=False, to_do=[change()], applied=500, failed=failed)
    assert "not done: vnet z1/v1: It is taken." in err


@pytest.mark.parametrize("state", ["FAILURE", "REVOKED"])
def test_a_job_that_fails(server: StubServer, capsys: pytest.CaptureFixture[str], state: str) -> None:
    server.answer(202, {"job_result": "http://n/api/extras/job-results/1/", "detail": "501 changes"})
    server.answer(200, job(state))
    assert main(["sync", "--apply"]) == 1
    assert f"the Job ended as {state}: {server.url}/api/extras/job-results/1/" in capsys.readouterr().err


def test_a_job_that_does_not_end(server: StubServer) -> None:
    server.answer(202, {"job_result": "http://n/api/extras/job-results/1/", "detail": "501 changes"})
    server.answer(200, job("STARTED"))
    times = iter(range(100))
    client = Client(server.url, "pve", "token", sleep=lambda seconds: None, clock=lambda: next(times))
    started = client.sync({}, cluster=None, dry_run=False)
    assert isinstance(started, Job)
    with pytest.raises(JobFailed, match=r"has not ended within 10 s and goes on by itself"):
        client.wait(started, seconds=10)


def test_a_progress_bar_on_a_terminal_only(
    server: StubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    server.answer(200, report())
    assert main(["sync", "--json"]) == 0
    out, err = capsys.readouterr()
    assert f"reading guests [{'#' * 30}] 1/1" in err
    assert err.endswith("\r\x1b[K")
    assert json.loads(out) == report()


def test_pves_cache_is_repaired(server: StubServer, capsys: pytest.CaptureFixture[str], helper: Path) -> None:
    helper.write_text(json.dumps([{"mac": MAC, "why": None}]))
    server.answer(200, report(differences=[CACHE]))
    assert main(["sync", "--repair-cache"]) == 0
    asked = json.loads((helper.parent / "asked").read_text())
    assert asked == [{"mac": MAC, "before": {"ip4": "10.0.0.100", "ip6": None}, "after": {"ip4": None, "ip6": None}}]
    assert capsys.readouterr() == ("nothing to do\n", f"pve-nautobot: PVE's MAC cache, {MAC}: repaired\n")


def test_what_could_not_be_repaired_is_left(
    server: StubServer, capsys: pytest.CaptureFixture[str], helper: Path
) -> None:
    helper.write_text(json.dumps([{"mac": MAC, "why": "it has changed meanwhile"}]))
    server.answer(200, report(differences=[CACHE]))
    assert main(["sync", "--repair-cache", "--json"]) == 8
    out, err = capsys.readouterr()
    assert json.loads(out)["repaired"] == [{"mac": MAC, "why": "it has changed meanwhile"}]
    assert err == f"pve-nautobot: PVE's MAC cache, {MAC}: it has changed meanwhile\n"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/nonexistent/helper",), "No such file or directory"),
        ((sys.executable, "-c", "import sys; sys.exit('It broke.')"), "It broke."),
        ((sys.executable, "-c", "print('no JSON')"), "did not say what it did"),
    ],
)
def test_a_helper_that_fails(
    server: StubServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.setattr(repair, "HELPER", command)
    server.answer(200, report(differences=[CACHE]))
    assert main(["sync", "--repair-cache"]) == 1
    assert why in capsys.readouterr().err


def test_the_helper_is_not_run_if_nothing_is_to_be_repaired(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "HELPER", ("/nonexistent/helper",))
    server.answer(200, report())
    assert main(["sync", "--repair-cache"]) == 0
