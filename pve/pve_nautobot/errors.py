"""Everything the client raises.

PveNautobotError
|-- ConfigurationError      wrong input, found before any request
|-- TransportError          no usable answer came
|   |-- ConnectError        refused, no route, unknown host, no TLS
|   |-- RequestTimeout      no answer in time
|   |-- CertificateError    the server's certificate is not trusted
|   |   `-- FingerprintMismatch
|   `-- ProtocolError       an answer that is not the App's: HTML, no JSON, a redirect
|       `-- CutOff          the connection broke before the answer was complete
`-- ApiError                Nautobot's refusal: status, code and sentence
    |-- NotAuthorized       401, 403
    |-- NotFound            404
    |-- Conflict            409
    |   `-- NoFreeAddress
    `-- Unavailable         502, 503, 504: Nautobot or a proxy before it is out of service
"""

from __future__ import annotations

from typing import ClassVar


class PveNautobotError(Exception):
    """`code` is for machines, `str()` for people; `repeatable` tells that a second attempt may succeed."""

    code = "error"
    status: int | None = None
    repeatable: ClassVar[bool] = False


class ConfigurationError(PveNautobotError):
    code = "configuration"


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
    """Nautobot said no: HTTP `status`, machine `code`, the sentence `detail`."""

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
    """`retry_after`: the seconds the server asks to wait, None when it did not say."""

    repeatable = True

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(status, code, detail)
        self.retry_after = retry_after


def api_error(status: int, code: str, detail: str, retry_after: float | None = None) -> ApiError:
    """The member of the tree that fits an HTTP status and the App's code."""
    if status in (502, 503, 504):
        return Unavailable(status, code, detail, retry_after)
    if code == "no_free_address":
        return NoFreeAddress(status, code, detail)
    kinds: dict[int, type[ApiError]] = {401: NotAuthorized, 403: NotAuthorized, 404: NotFound, 409: Conflict}
    return kinds.get(status, ApiError)(status, code, detail)
