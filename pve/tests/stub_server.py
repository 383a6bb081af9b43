"""A real HTTP(S) server on 127.0.0.1 that records requests and sends prepared responses."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

BASE = "/api/plugins/pve-ipam/namespaces/pve"

ALLOCATION: dict[str, Any] = {
    "id": "8d1f3f8e-0000-4000-8000-000000000001",
    "url": "/api/ipam/ip-addresses/8d1f3f8e-0000-4000-8000-000000000001/",
    "address": "10.0.0.100/24",
    "ip_version": 4,
    "parent": {"id": "8d1f3f8e-0000-4000-8000-000000000002", "prefix": "10.0.0.0/24"},
    "namespace": "pve",
    "status": "Active",
    "dns_name": "web",
    "mac": "bc:24:11:00:00:01",
    "vmid": 100,
    "hostname": "web",
    "is_gateway": False,
    "cluster": None,
    "zone": "simple1",
    "vnet": "vnet0",
}
SUBNET: dict[str, Any] = {
    "id": "8d1f3f8e-0000-4000-8000-000000000003",
    "url": "/api/plugins/pve-ipam/subnets/8d1f3f8e-0000-4000-8000-000000000003/",
    "subnet": "10.0.0.0-24",
    "prefix": "10.0.0.0/24",
    "namespace": "pve",
    "cluster": None,
    "zone": "simple1",
    "vnet": "vnet0",
    "gateway": "10.0.0.1",
    "dhcp_ranges": [{"start": "10.0.0.100", "end": "10.0.0.150"}],
    "snat": True,
    "dns_zone_prefix": None,
    "adopted": False,
}
STATUS: dict[str, Any] = {
    "namespace": "pve",
    "nautobot_version": "3.2.7",
    "app_version": "1.2.3",
    "ready": True,
    "missing": [],
    "detail": "Ready.",
    "warning": None,
}
FOUND: dict[str, Any] = {"ip4": "10.0.0.100", "ip6": None, "results": [ALLOCATION]}


@dataclass(frozen=True)
class Certificate:
    path: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.path.read_text())).hexdigest()


@dataclass(frozen=True)
class Answer:
    """`body`: JSON, or bytes sent unchanged. `claims`: a Content-Length other than the body's. `hold`: wait for this
    event first. `hang_up`: close the connection without a response. `trickle`: send the body byte by byte, with this
    many seconds in between, until the client disconnects."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    claims: int | None = None
    hold: threading.Event | None = None
    hang_up: bool = False
    trickle: float | None = None


@dataclass(frozen=True)
class RecordedRequest:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class StubServer:
    """Sends `answers` in order, and the last one again for any further request."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.requests: list[RecordedRequest] = []
        self.answers: deque[Answer] = deque()
        self.release = threading.Event()
        self._arrivals = threading.Semaphore(0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                super().handle_one_request()
                self.close_connection = True

            def answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                parsed = json.loads(content) if content else None
                outer.requests.append(RecordedRequest(self.command, self.path, headers, parsed))
                outer._arrivals.release()
                answer = outer.answers.popleft() if len(outer.answers) > 1 else outer.answers[0]
                if answer.hold:
                    answer.hold.wait(30)
                if answer.hang_up:
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status, answer.reason)
                length = len(body) if answer.claims is None else answer.claims
                for name, value in {"Content-Length": str(length), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if answer.trickle is None:
                    self.wfile.write(body)
                    return
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    outer.release.wait(answer.trickle)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = False  # so that server_close() waits for requests in progress

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Some tests are about clients that give up."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.path, certificate.key)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def answer(self, status: int = 200, body: Any = b"", **more: Any) -> None:
        self.answers.append(Answer(status, body, **more))

    def wait_for_a_request(self) -> None:
        """Waits until one more request than at the last call has arrived."""
        assert self._arrivals.acquire(timeout=30)

    def close(self) -> None:
        """Afterwards no request is in progress, so `requests` is complete."""
        self.release.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def __enter__(self) -> StubServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
