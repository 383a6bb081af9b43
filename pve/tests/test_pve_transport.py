"""Failures between a PVE node and Nautobot: each raises its own error, and only safe requests are retried."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pve_nautobot import Client
from pve_nautobot.errors import (
    ApiError,
    CertificateError,
    ConfigurationError,
    Conflict,
    ConnectError,
    CutOff,
    FingerprintMismatch,
    NoFreeAddress,
    NotAuthorized,
    NotFound,
    ProtocolError,
    PveNautobotError,
    RequestTimeout,
    Unavailable,
)
from pve_nautobot.transport import HttpTransport, Request, Response
from stub_server import ALLOCATION, STATUS, Answer, Certificate, StubServer

TOKEN = "s3cret-t0ken"


class Time:
    """Time that passes only during sleep()."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def client(url: str, at: Time | None = None, **options: Any) -> Client:
    at = at or Time()
    return Client(url, "pve", TOKEN, sleep=at.sleep, clock=at.clock, **options)


def error_of(call: Callable[[], Any]) -> PveNautobotError:
    with pytest.raises(PveNautobotError) as caught:
        call()
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid", ApiError),
        (401, "not_authenticated", NotAuthorized),
        (403, "permission_denied", NotAuthorized),
        (404, "not_found", NotFound),
        (409, "no_free_address", NoFreeAddress),
        (409, "address_taken", Conflict),
        (409, "subnet_not_empty", Conflict),
        (500, "error", ApiError),
    ],
)
def test_api_errors_are_not_retried(server: StubServer, status: int, code: str, kind: type[PveNautobotError]) -> None:
    server.answer(status, {"detail": "The sentence.", "code": code})
    error = error_of(lambda: client(server.url).next_free_ip("10.0.0.0/24"))
    assert (type(error), str(error), error.status, error.code) == (kind, "The sentence.", status, code)
    assert len(server.requests) == 1


def test_field_errors_become_one_message(server: StubServer) -> None:
    server.answer(400, {"vmid": ["Must be 100 or more."], "mac": ["No MAC.", "Too long."]})
    error = error_of(lambda: client(server.url).add_ip("10.0.0.5"))
    assert (str(error), error.code) == ("vmid: Must be 100 or more.; mac: No MAC. Too long.", "invalid")


def test_an_echoed_token_is_masked(server: StubServer) -> None:
    server.answer(403, {"detail": f"Bad header\x1b[2J\nToken {TOKEN}", "code": "permission_denied"})
    assert str(error_of(client(server.url).verify)) == "Bad header [2J Token ***"


@pytest.mark.parametrize("status", [502, 503, 504])
def test_unavailable_is_retried_twice(server: StubServer, status: int) -> None:
    at = Time()
    server.answer(status, b"<html><h1>Bad Gateway</h1></html>", reason="Bad Gateway")
    error = error_of(client(server.url, at).verify)
    assert isinstance(error, Unavailable)
    assert str(error) == f"HTTP {status} Bad Gateway"
    assert len(server.requests) == 3
    assert at.slept == [0.5, 1.0]


def test_retry_after_is_honored(server: StubServer) -> None:
    at = Time()
    server.answer(503, {"detail": "Database out of reach.", "code": "unavailable"}, headers={"Retry-After": "7"})
    server.answer(200, STATUS)
    assert client(server.url, at).verify().ready
    assert at.slept == [7]


def test_retry_after_beyond_the_deadline_is_not_waited_for(server: StubServer) -> None:
    at = Time()
    server.answer(503, {"detail": "Database out of reach.", "code": "unavailable"}, headers={"Retry-After": "3600"})
    assert str(error_of(client(server.url, at).verify)) == "Database out of reach."
    assert (at.slept, len(server.requests)) == ([], 1)


@pytest.mark.parametrize("mac", [None, "bc:24:11:00:00:01"])
def test_a_retried_allocation_has_the_same_key_and_body(server: StubServer, mac: str | None) -> None:
    server.answer(200, b"", hang_up=True)
    server.answer(201, b'{"address"', claims=500)
    server.answer(200, ALLOCATION)
    taken = client(server.url)
    assert taken.next_free_ip("10.0.0.0/24", mac=mac).address == "10.0.0.100/24"
    first, second, third = server.requests
    key = first.headers["idempotency-key"]
    assert len(key) == 36
    assert key == second.headers["idempotency-key"] == third.headers["idempotency-key"]
    assert first.body == second.body == third.body
    taken.next_free_ip("10.0.0.0/24", mac=mac)
    assert server.requests[3].headers["idempotency-key"] != key


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.verify(),
        lambda c: c.put_subnet("10.0.0.0/24", "z", "v"),
        lambda c: c.next_free_ip("10.0.0.0/24"),
        lambda c: c.add_ip("10.0.0.5"),
        lambda c: c.update_ip("10.0.0.5", vmid=100, if_vmid=101),
        lambda c: c.del_ip("10.0.0.5", if_mac="bc:24:11:00:00:01"),
        lambda c: c.get_ips_from_mac("bc:24:11:00:00:01"),
    ],
)
def test_an_incomplete_response_is_retried_then_raised(server: StubServer, call: Callable[[Client], Any]) -> None:
    server.answer(200, b'{"address": "10.0.0.100/24"', claims=500)
    assert isinstance(error_of(lambda: call(client(server.url))), CutOff)
    assert len(server.requests) == 3
    assert all((request.method == "POST") == ("idempotency-key" in request.headers) for request in server.requests)


WITHOUT_A_PRECONDITION: list[Callable[[Client], Any]] = [
    lambda c: c.del_subnet("10.0.0.0/24"),
    lambda c: c.del_ip("10.0.0.5"),
    lambda c: c.update_ip("10.0.0.5", mac="bc:24:11:00:00:01", vmid=100),
]


@pytest.mark.parametrize("call", WITHOUT_A_PRECONDITION)
@pytest.mark.parametrize(
    "answer",
    [Answer(hang_up=True), Answer(200, b"{", claims=500), *(Answer(status, b"") for status in (502, 503, 504))],
    ids=str,
)
def test_what_could_hit_the_next_guest_is_not_retried(
    server: StubServer, call: Callable[[Client], Any], answer: Answer
) -> None:
    server.answers += [answer, Answer(204)]
    assert error_of(lambda: call(client(server.url))).repeatable
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", WITHOUT_A_PRECONDITION)
def test_what_was_never_sent_is_retried(server: StubServer, call: Callable[[Client], Any]) -> None:
    server.answer(200, ALLOCATION)
    attempts = 0

    class Refuses(HttpTransport):
        def send(self, request: Request) -> Response:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                raise ConnectError("connection refused")
            return super().send(request)

    call(client(server.url, transport=Refuses()))
    assert (attempts, len(server.requests)) == (3, 1)


def test_a_retried_release_does_not_hit_the_next_guest(server: StubServer) -> None:
    taken = {"detail": "address 10.0.0.5/24 is held by guest b, not by MAC BC:24:11:00:00:01", "code": "conflict"}
    server.answers += [Answer(hang_up=True), Answer(409, taken)]
    error = error_of(lambda: client(server.url).del_ip("10.0.0.5", if_mac="BC:24:11:00:00:01", if_vmid=100))
    assert isinstance(error, Conflict)
    first, second = server.requests
    assert first == second
    assert first.path.endswith("/ips/10.0.0.5/?mac=bc:24:11:00:00:01&vmid=100")


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<!DOCTYPE html><title>Nautobot</title>", "a web page"),
        (200, b'{"address": ', "not JSON"),
        (200, b"[" * 100_000, "not JSON"),
        (200, b"\xff\xfe", "not JSON"),
        (404, b"<h1>Not Found</h1>", "was not found"),
    ],
)
def test_a_response_that_is_not_from_the_app(server: StubServer, status: int, body: bytes, says: str) -> None:
    server.answer(status, body, headers={"Content-Type": "text/html"})
    error = error_of(lambda: client(server.url).del_ip("10.0.0.5"))
    assert type(error) is ProtocolError
    assert says in str(error)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(server: StubServer) -> None:
    with StubServer() as elsewhere:
        elsewhere.answer(200, STATUS)
        server.answer(302, headers={"Location": f"{elsewhere.url}/login/"})
        error = error_of(client(server.url).verify)
    assert isinstance(error, ProtocolError)
    assert f"redirects to {elsewhere.url}/login/" in str(error)
    assert (len(server.requests), elsewhere.requests) == (1, [])


def test_a_slow_server_times_out_with_the_same_key_on_every_attempt(server: StubServer) -> None:
    server.answer(200, ALLOCATION, hold=server.release)
    wait = server.wait_for_a_request
    slow = Client(server.url, "pve", TOKEN, timeout=1.2, sleep=lambda _: wait(), clock=lambda: 0.0)
    assert isinstance(error_of(lambda: slow.next_free_ip("10.0.0.0/24")), RequestTimeout)
    wait()
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_a_trickled_body_does_not_extend_the_deadline(server: StubServer) -> None:
    """Each byte arrives well within a socket timeout; the whole body would take 10 s."""
    server.answer(200, b" " * 100, trickle=0.1)
    began = time.monotonic()
    error = error_of(Client(server.url, "pve", TOKEN, timeout=0.6).verify)
    assert isinstance(error, RequestTimeout)
    assert time.monotonic() - began < 5


@contextlib.contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accepts one connection, passes it to `serve`; yields host:port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def accept() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def trickle(connection: socket.socket, data: bytes, *, seconds: float = 10) -> None:
    """Sends `data` over and over, a byte every 0.1 s, until the client disconnects."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("scheme", "serve", "body"),
    [
        ("http", lambda connection: trickle(connection, b"HTTP/1.1 200 OK"), None),
        ("http", lambda connection: connection.recv(1) and time.sleep(3), b" " * 50_000_000),
        ("https", lambda connection: all(iter(lambda: connection.recv(65536), b"")), None),
        (
            "https",
            lambda connection: connection.recv(1) and trickle(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 99),
            None,
        ),
    ],
    ids=["headers trickle in", "body is not read", "silence in the handshake", "handshake trickles in"],
)
def test_every_step_shares_one_deadline(
    scheme: str, serve: Callable[[socket.socket], None], body: bytes | None
) -> None:
    with raw_server(serve) as address:
        began = time.monotonic()
        with pytest.raises(RequestTimeout):
            HttpTransport().send(Request("POST", f"{scheme}://{address}/", {}, body, 0.6))
        assert time.monotonic() - began < 2.5


def test_no_connection_is_made_after_the_deadline(server: StubServer) -> None:
    with pytest.raises(RequestTimeout):
        HttpTransport().send(Request("GET", f"{server.url}/", {}, None, 0))
    server.close()
    assert server.requests == []


@pytest.mark.parametrize("length", ["Content-Length: 2\r\n", ""])
def test_a_connection_serves_one_request(length: str) -> None:
    """Both if the server would keep it open and if it marks the end of the body by closing it."""
    after: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n{{}}".encode())
        if not length:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        after.append(connection.recv(1))

    with raw_server(serve) as address:
        response = HttpTransport().send(Request("GET", f"http://{address}/", {}, None, 5))
        assert (response.status, response.reason, response.body) == (200, "OK", b"{}")
    assert after == [b""]


def test_proxies_in_the_environment_are_ignored(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelling in (name, name.upper()):
            monkeypatch.setenv(spelling, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    server.answer(200, STATUS)
    assert client(server.url).verify().ready


def test_the_token_is_not_logged(server: StubServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer(503, b"")
    server.answer(200, ALLOCATION)
    client(server.url).next_free_ip("10.0.0.0/24")
    assert "next-free-ip" in caplog.text, "urllib3 logs requests"
    assert TOKEN not in caplog.text


def test_a_connection_closed_during_the_handshake() -> None:
    with raw_server(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as address, pytest.raises(ConnectError):
        HttpTransport().send(Request("GET", f"https://{address}/", {}, None, 5))


def test_all_attempts_share_one_deadline() -> None:
    at = Time()
    timeouts: list[float] = []

    class Silent:
        def send(self, request: Request) -> Response:
            timeouts.append(request.timeout)
            at.now += request.timeout
            raise RequestTimeout("no response")

    error_of(client("http://nautobot.example.com", at, transport=Silent()).verify)
    assert at.now == pytest.approx(30)
    assert timeouts == pytest.approx([15, 7.25, 6.25])


def test_a_refused_connection_is_retried_then_raised() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        at = Time()
        error = error_of(client(f"http://127.0.0.1:{port}", at).verify)
    assert isinstance(error, ConnectError)
    assert str(error) == f"cannot connect to 127.0.0.1:{port}: Connection refused"
    assert at.slept == [0.5, 1.0]


def test_a_server_that_does_not_speak_http() -> None:
    def greet(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with raw_server(greet) as address:
        error = error_of(client(f"http://{address}").verify)
    assert type(error) is ProtocolError


@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.upper,
        lambda digits: ":".join(digits[at : at + 2] for at in range(0, 64, 2)).upper(),
    ],
)
def test_a_pinned_certificate_needs_no_ca(
    tls_server: StubServer, certificate: Certificate, spell: Callable[[str], str]
) -> None:
    tls_server.answer(200, STATUS)
    assert client(tls_server.url, fingerprint=spell(certificate.fingerprint)).verify().ready


def test_a_wrong_fingerprint_fails_before_the_token_is_sent(
    tls_server: StubServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a trusted CA signed the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    tls_server.answer(200, STATUS)
    error = error_of(client(tls_server.url, fingerprint="00" * 32).verify)
    assert isinstance(error, FingerprintMismatch)
    assert certificate.fingerprint.upper() in str(error).replace(":", "")
    tls_server.close()
    assert tls_server.requests == []


def test_a_pinned_fingerprint_rules_out_plain_http(server: StubServer) -> None:
    with pytest.raises(FingerprintMismatch):
        HttpTransport("00" * 32).send(Request("GET", f"{server.url}/", {}, None, 5))
    server.close()
    assert server.requests == []


def test_an_unknown_ca_fails_before_the_token_is_sent(tls_server: StubServer) -> None:
    tls_server.answer(200, STATUS)
    error = error_of(client(tls_server.url).verify)
    assert type(error) is CertificateError
    tls_server.close()
    assert tls_server.requests == []


def test_a_trusted_ca_is_enough(
    tls_server: StubServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    tls_server.answer(200, STATUS)
    assert client(tls_server.url).verify().ready


def test_a_trusted_certificate_of_another_host_is_refused(
    tls_server: StubServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    error = error_of(client(tls_server.url.replace("127.0.0.1", "localhost")).verify)
    assert type(error) is CertificateError


def test_https_to_a_plain_http_port(server: StubServer) -> None:
    error = error_of(client(server.url.replace("http:", "https:"), timeout=5).verify)
    assert isinstance(error, ConnectError)
    assert "TLS handshake" in str(error)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("nautobot.example.com", {}),
        ("ftp://nautobot.example.com", {}),
        ("https://", {}),
        ("https://nautobot.example.com:port", {}),
        ("https://nautobot.example.com/api?x=1", {}),
        ("https://nautobot.example.com/a b", {}),
        ("http://nautobot.example.com", {"fingerprint": "00" * 32}),
        ("https://nautobot.example.com", {"fingerprint": "00" * 20}),
        ("https://nautobot.example.com", {"timeout": 0}),
        ("https://nautobot.example.com", {"timeout": float("nan")}),
    ],
)
def test_invalid_settings(url: str, options: dict[str, Any]) -> None:
    assert isinstance(error_of(lambda: client(url, **options)), ConfigurationError)


@pytest.mark.parametrize("token", ["", "two words", f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN}é"])
def test_an_invalid_token_is_not_shown(token: str) -> None:
    error = error_of(lambda: Client("https://nautobot.example.com", "pve", token))
    assert isinstance(error, ConfigurationError)
    assert not token or token not in str(error)


def test_a_password_in_the_url_is_not_shown() -> None:
    assert "hunter2" not in str(error_of(lambda: client("https://me:hunter2@nautobot.example.com")))


def test_the_token_is_not_in_any_repr() -> None:
    seen: list[str] = []

    class Recording:
        def send(self, request: Request) -> Response:
            assert request.headers["Authorization"] == f"Token {TOKEN}"
            seen.append(repr(request))
            return Response(204, "No Content", {}, b"")

    recorded = client("https://nautobot.example.com/api", transport=Recording())
    recorded.del_ip("10.0.0.5")
    assert TOKEN not in repr(recorded) + seen[0]
    assert "namespaces/pve" in repr(recorded)
