"""One HTTP request and its answer: certificate checks, one deadline for the whole of it, no redirects.

A new connection per request, as PVE itself does; proxies named by the environment are not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from .errors import CertificateError, ConnectError, CutOff, FingerprintMismatch, ProtocolError, RequestTimeout

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True)
class Request:
    """`timeout`: seconds for connecting, sending and the whole answer. The headers hold the token: not in the repr."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None
    timeout: float


@dataclass(frozen=True)
class Response:
    """Header names are in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Anything that answers a request or raises a TransportError; tests may bring their own."""

    def send(self, request: Request) -> Response: ...


class HttpTransport:
    """The real one. `fingerprint`: SHA-256 of the only certificate to accept (64 lower-case hex digits);
    without it the certificate must be signed by a CA that this machine trusts and name the host."""

    def __init__(self, fingerprint: str | None = None) -> None:
        self._fingerprint = fingerprint

    def send(self, request: Request) -> Response:
        """Raises ConnectError, CertificateError, RequestTimeout, CutOff, ProtocolError."""
        parts = urlsplit(request.url)
        tls = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if tls else 80)
        deadline = time.monotonic() + request.timeout
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        with contextlib.closing(self._connect(host, port, tls, deadline)) as sock:
            self._check_fingerprint(host, port, sock)
            connection = http.client.HTTPConnection(host, port)
            connection.default_port = 443 if tls else 80
            connection.sock = _Wire(sock, deadline)
            try:
                connection.request(request.method, target, body=request.body, headers=dict(request.headers))
                answer = connection.getresponse()
                headers = {name.lower(): value for name, value in answer.getheaders()}
                return Response(answer.status, answer.reason, headers, answer.read())
            except TimeoutError:
                raise _late(host, port) from None
            except (http.client.IncompleteRead, OSError) as error:
                raise CutOff(f"the answer of {host}:{port} was cut off before its end") from error
            except http.client.HTTPException as error:
                raise ProtocolError(f"{host}:{port} does not speak HTTP as expected") from error

    def _connect(self, host: str, port: int, tls: bool, deadline: float) -> socket.socket:
        try:
            sock = socket.create_connection((host, port), timeout=_left(deadline))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_left(deadline))
            return self._secure(sock, host) if tls else sock
        except TimeoutError:
            raise _late(host, port) from None
        except ssl.SSLCertVerificationError as error:
            raise CertificateError(
                f"the certificate of {host}:{port} is not trusted ({error.verify_message}): "
                "let this machine trust its CA, or pin its fingerprint"
            ) from error
        except ssl.SSLError as error:
            raise ConnectError(f"no TLS with {host}:{port}: {error.reason}") from error
        except OSError as error:
            raise ConnectError(f"cannot connect to {host}:{port}: {error.strerror or error}") from error
        except UnicodeError:
            raise ConnectError(f"{host!r} is not a host name") from None

    def _secure(self, sock: socket.socket, host: str) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        if self._fingerprint:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(sock, server_hostname=host)

    def _check_fingerprint(self, host: str, port: int, sock: socket.socket) -> None:
        if self._fingerprint is None:
            return
        certificate = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        presented = hashlib.sha256(certificate or b"").hexdigest()
        if presented != self._fingerprint:
            shown = ":".join(presented[at : at + 2] for at in range(0, 64, 2)).upper()
            raise FingerprintMismatch(f"{host}:{port} shows another certificate than the pinned one: SHA-256 {shown}")


class _Wire:
    """The part of a socket that http.client uses, with one deadline for all of it.

    A socket's own time-out starts afresh with every byte, so that a server which drips could hold us for hours.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline))

    def close(self) -> None:
        """The socket belongs to send(): http.client closes its own before the body is read."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _late(host: str, port: int) -> RequestTimeout:
    return RequestTimeout(f"{host}:{port} did not answer in time")
