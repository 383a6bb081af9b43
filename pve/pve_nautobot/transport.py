"""One HTTP request and its response, on urllib3: verified certificates, one overall deadline, no redirects.

Like PVE itself, every request opens a new connection, and proxy settings in the environment are ignored.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util.ssl_match_hostname import CertificateError as HostnameMismatch

from .errors import CertificateError, ConnectError, CutOff, FingerprintMismatch, ProtocolError, RequestTimeout

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True)
class Request:
    """`timeout`: seconds for the whole exchange, from connecting on. The headers hold the token: not in the repr."""

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
    """Anything that returns a response or raises a TransportError; tests may bring their own."""

    def send(self, request: Request) -> Response: ...


class HttpTransport:
    """The real one. `fingerprint`: SHA-256 (64 lower-case hex digits) of the only certificate to accept;
    without it the certificate must be issued for the host by a CA that this machine trusts."""

    def __init__(self, fingerprint: str | None = None) -> None:
        self._fingerprint = fingerprint

    def send(self, request: Request) -> Response:
        """Raises ConnectError, CertificateError, RequestTimeout, CutOff, ProtocolError."""
        parts = urlsplit(request.url)
        tls = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if tls else 80)
        deadline = time.monotonic() + request.timeout
        try:
            with self._pool(host, port, tls, deadline) as pool:
                response = pool.urlopen(
                    request.method,
                    f"{parts.path}?{parts.query}" if parts.query else parts.path,
                    body=request.body,
                    headers=dict(request.headers),
                    timeout=Timeout(total=_left(deadline)),
                    retries=False,
                    redirect=False,
                    decode_content=False,
                    enforce_content_length=True,  # 1.26 does not by default
                )
        except (ReadTimeoutError, TimeoutError):
            raise _late(host, port) from None
        except LocationParseError:
            raise ConnectError(f"{host!r} is not a valid host name") from None
        except HTTPError as error:
            cause = error.args[-1] if error.args else None
            if isinstance(cause, TimeoutError):
                raise _late(host, port) from None
            if isinstance(cause, (OSError, http.client.IncompleteRead)):
                raise CutOff(f"the connection to {host}:{port} broke before the response was complete") from error
            raise ProtocolError(f"{host}:{port} did not send a valid HTTP response") from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status, response.reason or "", headers, response.data)

    def _pool(self, host: str, port: int, tls: bool, deadline: float) -> HTTPConnectionPool:
        """A pool for one request: closing it closes the connection, even if the server would keep it open."""
        pool: HTTPConnectionPool
        if not tls:
            if self._fingerprint:
                raise FingerprintMismatch(
                    f"{host}:{port} without TLS has no certificate to compare with the pinned fingerprint"
                )
            pool = HTTPConnectionPool(host, port, deadline=deadline)
            pool.ConnectionCls = _Connection
            return pool
        context = ssl.create_default_context()
        # urllib3 compares the host name itself, because 1.26 does not tell OpenSSL about IP addresses.
        context.check_hostname = False
        if self._fingerprint:
            context.verify_mode = ssl.CERT_NONE
        pool = HTTPSConnectionPool(
            host, port, deadline=deadline, ssl_context=context, assert_fingerprint=self._fingerprint
        )
        pool.ConnectionCls = _TlsConnection
        return pool


class _Connection(HTTPConnection):
    """urllib3's connection, held to one deadline.

    A urllib3 timeout applies to connecting, to the TLS handshake and to each read separately, and a socket's timeout
    starts afresh with every byte received: a server that trickles could hold us for hours. So every step gets only
    the time that is left.
    """

    def __init__(self, *args: Any, deadline: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline = deadline
        self.response_class = _response_class(deadline)

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()
        sock.settimeout(_left(self._deadline))  # for the TLS handshake
        return sock

    def connect(self) -> None:
        """Nothing has been sent yet when this fails, so each failure gets its own error here."""
        host, port = self.host, self.port or 0
        try:
            super().connect()
            self.sock.settimeout(_left(self._deadline))  # for sending
        except NewConnectionError as error:  # in 1.26 also a ConnectTimeoutError
            cause = error.__context__
            raise ConnectError(f"cannot connect to {host}:{port}: {getattr(cause, 'strerror', '') or cause}") from error
        except (ConnectTimeoutError, TimeoutError):
            raise _late(host, port) from None
        except (ssl.SSLCertVerificationError, HostnameMismatch) as error:
            raise CertificateError(
                f"the certificate of {host}:{port} is not trusted ({getattr(error, 'verify_message', '') or error}): "
                "make this machine trust its CA, or pin its fingerprint"
            ) from error
        except SSLError as error:  # raised by assert_fingerprint alone: OpenSSL's errors are ssl.SSLError
            raise FingerprintMismatch(
                f"the certificate of {host}:{port} does not match the pinned fingerprint, it has {_presented(error)}"
            ) from error
        except ssl.SSLError as error:
            raise ConnectError(f"TLS handshake with {host}:{port} failed: {error.reason or error}") from error
        except OSError as error:
            raise ConnectError(f"cannot connect to {host}:{port}: {error.strerror or error}") from error


class _TlsConnection(_Connection, HTTPSConnection):
    pass


def _response_class(deadline: float) -> type[http.client.HTTPResponse]:
    """What reads the status line, the headers and the body under urllib3."""

    class DeadlineResponse(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), deadline))

    return DeadlineResponse


class _Reader(io.RawIOBase):
    """Reads from a socket, waiting no longer than the time that is left."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _late(host: str, port: int) -> RequestTimeout:
    return RequestTimeout(f"{host}:{port} did not answer in time")


def _presented(error: SSLError) -> str:
    """The server's fingerprint as an admin would pin it; urllib3 has it only in its message, after the expected one."""
    found = re.findall(r"[0-9a-f]{64}", str(error))
    return f"SHA-256 {':'.join(re.findall('..', found[-1])).upper()}" if found else "another one"
