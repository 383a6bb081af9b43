"""Every exception that the client raises.

PveNautobotError
|-- ConfigurationError      invalid input, caught before any request
|-- JobFailed               the Nautobot Job that a sync was handed to ended without success, or not in time
|-- RepairFailed            PVE's MAC cache could not be repaired
|-- MigrationFailed         a zone could not be migrated, or not all the way: it says where things stand
|-- TransportError          no usable response
|   |-- ConnectError        connection refused, no route, unknown host, TLS failure: nothing was sent
|   |-- RequestTimeout      no response in time
|   |-- CertificateError    the server's certificate is not trusted
|   |   `-- FingerprintMismatch
|   `-- ProtocolError       a response that is not the App's: HTML, invalid JSON, a redirect
|       `-- CutOff          the connection broke before the response was complete
`-- ApiError                Nautobot refused: status, code and message
    |-- NotAuthorized       401, 403
    |-- NotFound            404
    |-- Conflict            409
    |   `-- NoFreeAddress
    `-- Unavailable         502, 503, 504: Nautobot, or a proxy in front of it, is unavailable
"""

from __future__ import annotations

from typing import ClassVar


class PveNautobotError(Exception):
    """`code` is for programs, `str()` for people; `repeatable` means that a retry may succeed."""

    code = "error"
    status: int | None = None
    repeatable: ClassVar[bool] = False


class ConfigurationError(PveNautobotError):
    code = "configuration"


class JobFailed(PveNautobotError):
    code = "job_failed"


class RepairFailed(PveNautobotError):
    code = "repair_failed"


class MigrationFailed(PveNautobotError):
    code = "migration_failed"


class TransportError(PveNautobotError):
    code = "transport"


class ConnectError(TransportError):
    code = "connect"
    repeatable = True


class RequestTimeout(TransportError):
    code = "timeout"
    repeatable = True


class CertificateError(TransportError):
    code = "certificate"


class FingerprintMismatch(CertificateError):
    code = "fingerprint"


class ProtocolError(TransportError):
    code = "protocol"


class CutOff(ProtocolError):
    code = "cut_off"
    repeatable = True


class ApiError(PveNautobotError):
    """Nautobot refused: HTTP `status`, machine-readable `code`, message `detail`."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class NotAuthorized(ApiError):
    pass


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class NoFreeAddress(Conflict):
    pass


class Unavailable(ApiError):
    """`retry_after`: how many seconds the server asks the client to wait, None if it does not say."""

    repeatable = True

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(status, code, detail)
        self.retry_after = retry_after


def api_error(status: int, code: str, detail: str, retry_after: float | None = None) -> ApiError:
    """The exception for an HTTP status and the App's error code."""
    if status in (502, 503, 504):
        return Unavailable(status, code, detail, retry_after)
    if code == "no_free_address":
        return NoFreeAddress(status, code, detail)
    kinds: dict[int, type[ApiError]] = {401: NotAuthorized, 403: NotAuthorized, 404: NotFound, 409: Conflict}
    return kinds.get(status, ApiError)(status, code, detail)
