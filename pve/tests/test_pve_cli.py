"""The command: verbs, exit codes, output on stdout and stderr, sources of the token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pve_nautobot.cli import main
from stub_server import ALLOCATION, BASE, FOUND, STATUS, SUBNET, StubServer

NET = f"{BASE}/subnets/10.0.0.0-24/"
TOKEN = "s3cret-t0ken"


@pytest.fixture(autouse=True)
def environment(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PVE_NAUTOBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PVE_NAUTOBOT_URL", f"{server.url}/api")
    monkeypatch.setenv("PVE_NAUTOBOT_NAMESPACE", "pve")
    monkeypatch.setenv("PVE_NAUTOBOT_TOKEN", TOKEN)


VERBS: dict[str, tuple[Any, str, str, Any, str]] = {
    "verify": (STATUS, "GET", f"{BASE}/", None, "pve: ready (Nautobot 3.2.7, App 1.2.3)"),
    "next-free-ip 10.0.0.0/24": (ALLOCATION, "POST", f"{NET}next-free-ip/", {}, "10.0.0.100/24"),
    (
        "next-free-ip 10.0.0.0-24 --range 10.0.0.100-10.0.0.150 --range 10.0.0.5-10.0.0.9 --offset 2"
        " --exclude 10.0.0.101 --exclude 10.0.0.8/30"
        " --mac BC:24:11:00:00:01 --hostname web --vmid 100 --zone simple1 --cluster dc1"
    ): (
        ALLOCATION,
        "POST",
        f"{NET}next-free-ip/",
        {
            "ranges": [{"start": "10.0.0.100", "end": "10.0.0.150"}, {"start": "10.0.0.5", "end": "10.0.0.9"}],
            "offset": 2,
            "exclude": ["10.0.0.101", "10.0.0.8/30"],
            "mac": "bc:24:11:00:00:01",
            "hostname": "web",
            "vmid": 100,
            "zone": "simple1",
            "cluster": "dc1",
        },
        "10.0.0.100/24",
    ),
    "next-free-ip 2001:db8:10::/64 --range 2001:db8:10::100-2001:db8:10::1ff": (
        {**ALLOCATION, "address": "2001:db8:10::100/64", "ip_version": 6},
        "POST",
        f"{BASE}/subnets/2001:db8:10::-64/next-free-ip/",
        {"ranges": [{"start": "2001:db8:10::100", "end": "2001:db8:10::1ff"}]},
        "2001:db8:10::100/64",
    ),
    "next-free-ip 10.0.0.0/24 --range 10.0.0.5-10.0.0.9 --preview --limit 2": (
        [{"address": "10.0.0.5/24", "ip_version": 4}, {"address": "10.0.0.7/24", "ip_version": 4}],
        "GET",
        f"{NET}next-free-ip/?range_start=10.0.0.5&range_end=10.0.0.9&limit=2",
        None,
        "10.0.0.5/24\n10.0.0.7/24",
    ),
    "release 10.0.0.100 --zone simple1": (None, "DELETE", f"{BASE}/ips/10.0.0.100/?zone=simple1", None, ""),
    "release 10.0.0.100 --if-mac BC:24:11:00:00:01 --if-vmid 100": (
        None,
        "DELETE",
        f"{BASE}/ips/10.0.0.100/?mac=bc:24:11:00:00:01&vmid=100",
        None,
        "",
    ),
    (
        "add-subnet 10.0.0.0/24 --zone simple1 --vnet vnet0 --gateway 10.0.0.1"
        " --zone-type simple --zone-dhcp dnsmasq --vnet-alias DMZ --vnet-tag 20"
        " --dhcp-range 10.0.0.100-10.0.0.150 --snat --dns-zone-prefix dc1 --adopt"
    ): (
        SUBNET,
        "PUT",
        NET,
        {
            "zone": "simple1",
            "vnet": "vnet0",
            "zone_type": "simple",
            "zone_dhcp": "dnsmasq",
            "vnet_alias": "DMZ",
            "vnet_tag": 20,
            "gateway": "10.0.0.1",
            "dhcp_ranges": [{"start": "10.0.0.100", "end": "10.0.0.150"}],
            "snat": True,
            "dns_zone_prefix": "dc1",
            "adopt": True,
        },
        "10.0.0.0/24",
    ),
    (
        "update-subnet 10.0.0.0-24 --zone simple1 --vnet vnet0 --gateway= --dhcp-range= --dns-zone-prefix= --no-snat"
        " --zone-dhcp= --vnet-alias= --vnet-tag="
    ): (
        SUBNET,
        "PUT",
        NET,
        {
            "zone": "simple1",
            "vnet": "vnet0",
            "zone_dhcp": None,
            "vnet_alias": None,
            "vnet_tag": None,
            "gateway": None,
            "dhcp_ranges": [],
            "snat": False,
            "dns_zone_prefix": None,
        },
        "10.0.0.0/24",
    ),
    "update-subnet 10.0.0.0-24 --zone simple1 --vnet vnet0": (
        SUBNET,
        "PUT",
        NET,
        {"zone": "simple1", "vnet": "vnet0"},
        "10.0.0.0/24",
    ),
    "del-subnet 10.0.0.0/24 --zone simple1": (None, "DELETE", f"{NET}?zone=simple1", None, ""),
    "add-ip 10.0.0.1 --gateway --hostname vnet0-gw --mac BC:24:11:00:00:01 --zone simple1": (
        ALLOCATION,
        "PUT",
        f"{BASE}/ips/10.0.0.1/",
        {
            "hostname": "vnet0-gw",
            "mac": "bc:24:11:00:00:01",
            "gateway": True,
            "zone": "simple1",
        },
        "10.0.0.100/24",
    ),
    "update-ip 10.0.0.100/24 --hostname db --vmid 101": (
        ALLOCATION,
        "PATCH",
        f"{BASE}/ips/10.0.0.100/",
        {"hostname": "db", "vmid": 101},
        "10.0.0.100/24",
    ),
    "update-ip 10.0.0.100 --mac BC:24:11:00:00:02 --if-mac BC:24:11:00:00:01 --if-vmid 100": (
        ALLOCATION,
        "PATCH",
        f"{BASE}/ips/10.0.0.100/?mac=bc:24:11:00:00:01&vmid=100",
        {"mac": "bc:24:11:00:00:02"},
        "10.0.0.100/24",
    ),
    "find BC:24:11:00:00:01 --zone simple1": (
        FOUND,
        "GET",
        f"{BASE}/ips/?mac=bc:24:11:00:00:01&zone=simple1",
        None,
        "10.0.0.100",
    ),
}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("line", VERBS)
def test_each_verb_sends_one_request_and_prints_only_the_result(
    server: StubServer, capsys: pytest.CaptureFixture[str], line: str, as_json: bool
) -> None:
    answer, method, path, body, text = VERBS[line]
    server.answer(204) if answer is None else server.answer(200, answer)
    assert main(line.split() + ["--json"] * as_json) == 0
    (request,) = server.requests
    assert (request.method, request.path, request.body) == (method, path, body)
    out, err = capsys.readouterr()
    assert err == ""
    if as_json:
        assert json.loads(out) == ({} if answer is None else answer)
    else:
        assert out == (f"{text}\n" if text else "")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "invalid", 1),
        (401, "not_authenticated", 4),
        (403, "permission_denied", 4),
        (404, "not_found", 5),
        (409, "no_free_address", 6),
        (409, "address_taken", 7),
        (500, "error", 1),
        (503, "unavailable", 3),
    ],
)
def test_exit_codes_of_api_errors(
    server: StubServer, capsys: pytest.CaptureFixture[str], status: int, code: str, expected: int
) -> None:
    server.answer(status, {"detail": "The sentence.", "code": code}, headers={"Retry-After": "3600"})
    assert main(["next-free-ip", "10.0.0.0/24"]) == expected
    assert capsys.readouterr() == ("", "pve-nautobot: The sentence.\n")
    assert main(["--json", "next-free-ip", "10.0.0.0/24"]) == expected
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "The sentence.", "code": code, "status": status}
    assert err == "pve-nautobot: The sentence.\n"


def test_unreachable_server(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.close()
    assert main(["--json", "--timeout", "0.4", "verify"]) == 3
    failure = json.loads(capsys.readouterr().out)
    assert (failure["code"], failure["status"]) == ("connect", None)


def test_timeout(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(200, STATUS, hold=server.release)
    assert main(["verify", "--timeout", "0.2"]) == 3
    assert "did not answer in time" in capsys.readouterr().err


def test_html_response(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(200, b"<html></html>")
    assert main(["verify"]) == 3
    assert "a web page" in capsys.readouterr().err


def test_fingerprint_mismatch(tls_server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    tls_server.answer(200, STATUS)
    assert main(["--url", tls_server.url, "--fingerprint", "00" * 32, "verify"]) == 3
    assert "does not match the pinned fingerprint" in capsys.readouterr().err


def test_a_tag_that_is_no_number(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["add-subnet", "10.0.0.0/24", "--zone", "z", "--vnet", "v", "--vnet-tag", "x"]) == 2
    assert capsys.readouterr().err == "pve-nautobot: --vnet-tag 'x' is not a number\n"
    assert server.requests == []


def test_verify_lists_missing_permissions(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(200, {**STATUS, "ready": False, "missing": ["ipam.add_ipaddress"], "detail": "Not allowed enough."})
    assert main(["verify"]) == 4
    out, err = capsys.readouterr()
    assert out.startswith("pve: not ready")
    assert err == "pve-nautobot: Not allowed enough. Missing: ipam.add_ipaddress.\n"


def test_verify_passes_the_warning_on(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(200, {**STATUS, "warning": "cluster dc1 is new here"})
    assert main(["verify", "--cluster", "dc1"]) == 0
    assert server.requests[0].path == f"{BASE}/?cluster=dc1"
    out, err = capsys.readouterr()
    assert out.startswith("pve: ready")
    assert err == "pve-nautobot: cluster dc1 is new here\n"


def test_find_without_result(server: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(200, {"ip4": None, "ip6": None, "results": []})
    assert main(["find", "BC:24:11:00:00:01"]) == 5
    assert capsys.readouterr() == ("", "pve-nautobot: BC:24:11:00:00:01 has no address\n")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", "VERB"),
        ("frobnicate", "frobnicate"),
        ("next-free-ip", "SUBNET"),
        ("next-free-ip 10.0.0.0/24 --bogus", "--bogus"),
        ("next-free-ip 10.0.0.0/24 --host web", "--host"),
        ("next-free-ip 10.0.0.0/24 --vmid 99", "vmid 99"),
        ("next-free-ip 10.0.0.0/24 --vmid x", "'x'"),
        ("next-free-ip 10.0.0.0/24 --mac zz", "mac 'zz'"),
        ("next-free-ip 10.0.0.0/24 --offset -1", "offset -1"),
        ("next-free-ip 10.0.0.0/24 --range 10.0.0.9-10.0.0.5", "10.0.0.9-10.0.0.5"),
        ("next-free-ip 10.0.0.0/24 --range 10.0.0.9", "--range '10.0.0.9'"),
        ("next-free-ip 10.0.0.0/24 --limit 3", "--limit"),
        ("next-free-ip 10.0.0.0/24 --preview --limit 0", "limit 0"),
        ("next-free-ip 10.0.0.0/24 --preview --range 10.0.0.5-10.0.0.6 --range 10.0.0.8-10.0.0.9", "--preview"),
        ("add-subnet 10.0.0.0/24 --vnet vnet0", "--zone"),
        ("release ten", "ip 'ten'"),
        ("verify --timeout 0", "timeout"),
    ],
)
def test_usage_errors(server: StubServer, capsys: pytest.CaptureFixture[str], line: str, named: str) -> None:
    assert main([*line.split(), "--json"]) == 2
    out, err = capsys.readouterr()
    assert named in err
    assert json.loads(out)["code"] == "configuration"
    assert server.requests == []


@pytest.mark.parametrize("missing", ["URL", "NAMESPACE", "TOKEN"])
def test_missing_settings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delenv(f"PVE_NAUTOBOT_{missing}")
    assert main(["verify"]) == 2
    assert f"PVE_NAUTOBOT_{missing}" in capsys.readouterr().err


def test_options_override_the_environment(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVE_NAUTOBOT_URL", "https://elsewhere.example.com")
    monkeypatch.setenv("PVE_NAUTOBOT_CLUSTER", "dc1")
    server.answer(204)
    assert main(["--url", server.url, "--namespace", "other", "release", "10.0.0.5"]) == 0
    assert server.requests[0].path == "/api/plugins/pve-ipam/namespaces/other/ips/10.0.0.5/?cluster=dc1"


def test_fingerprint_from_the_environment(
    tls_server: StubServer, certificate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PVE_NAUTOBOT_FINGERPRINT", certificate.fingerprint)
    tls_server.answer(200, STATUS)
    assert main(["--url", tls_server.url, "verify"]) == 0


@pytest.mark.parametrize("by_option", [True, False])
def test_token_file(
    server: StubServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by_option: bool,
) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    file.chmod(0o600)
    server.answer(200, STATUS)
    if not by_option:
        monkeypatch.delenv("PVE_NAUTOBOT_TOKEN")
        monkeypatch.setenv("PVE_NAUTOBOT_TOKEN_FILE", str(file))
    assert main(["verify", *(["--token-file", str(file)] if by_option else [])]) == 0
    assert server.requests[0].headers["authorization"] == "Token from-the-file"
    assert capsys.readouterr().err == ""
    file.chmod(0o640)
    assert main(["verify", "--token-file", str(file)]) == 0
    assert f"{file} is accessible to group or others" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"two words"])
def test_invalid_token_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    assert main(["verify", "--token-file", str(file)]) == 2
    err = capsys.readouterr().err
    assert "token" in err
    assert "two words" not in err


@pytest.mark.parametrize("line", [["--token", "on-the-line", "verify"], ["verify", "--token=on-the-line"]])
def test_the_token_is_not_accepted_on_the_command_line(
    server: StubServer, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert main([*line, "--json"]) == 2
    out, err = capsys.readouterr()
    assert "--token-file" in err
    assert "on-the-line" not in out + err
    assert server.requests == []


@pytest.mark.parametrize("status", [200, 401, 502])
def test_the_token_is_never_printed(server: StubServer, capsys: pytest.CaptureFixture[str], status: int) -> None:
    server.answer(status, {"detail": f"Token {TOKEN}", "code": TOKEN}, headers={"Retry-After": "3600"})
    assert main(["--json", "release", "10.0.0.5"]) in (0, 3, 4)
    out, err = capsys.readouterr()
    assert TOKEN not in out + err


def test_the_help_of_the_module_documents_the_exit_codes() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pve_nautobot", "--help"],
        cwd=Path(__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    for meaning in (
        "0  done",
        "2  usage",
        "3  no usable response",
        "4  not allowed",
        "6  no free address",
        "7  conflict",
        "8  sync",
    ):
        assert meaning in run.stdout
    assert "--token " not in run.stdout
