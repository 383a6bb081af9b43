"""The exception tree: each error has an HTTP status and a machine code.

    PVEIPAMError
    +-- InvalidRequest       400 invalid            unparsable or contradictory input
    +-- Forbidden            403 permission_denied  the token may not
    +-- Missing              404 not_found          no such object, or the user may not view it
    +-- Conflict             409 conflict           conflicts with the current state
    |   +-- NoFreeAddress    409 no_free_address
    |   +-- AddressTaken     409 address_taken
    |   +-- SubnetNotEmpty   409 subnet_not_empty
    |   +-- NotOurs          409 not_ours           not created by PVE, so never deleted by PVE
    |   +-- KeyReused        409 idempotency_key_reused
    |   +-- PreconditionFailed  409 precondition_failed  the address is not held by whom the request names
    |   +-- Misconfigured    409 misconfigured      a setting of the App: only an admin can mend it
    +-- Unavailable          503 unavailable        database or Redis out of reach; worth retrying

Every sentence names the field and the value, in ASCII on one line: it is also sent as the HTTP reason phrase, which
is all that PVE's HTTP client shows its user. Imports no other file of the App.
"""

from __future__ import annotations

from typing import Any

import django_redis.exceptions
import kombu.exceptions
import redis.exceptions
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import APIException

REASON_MAX_LENGTH = 200
#: Values quoted in a sentence are truncated to this length.
QUOTED_MAX_LENGTH = 60

#: Exceptions that mean the database, or Redis, is out of reach.
DATABASE_OUT_OF_REACH = (OperationalError, InterfaceError)
REDIS_OUT_OF_REACH = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    django_redis.exceptions.ConnectionInterrupted,  # the cache
    kombu.exceptions.OperationalError,  # the task queue
)
OUT_OF_REACH = (*DATABASE_OUT_OF_REACH, *REDIS_OUT_OF_REACH)


class PVEIPAMError(Exception):
    """Base of all errors raised to callers of the services and of the REST API.

    `field` names the offending field of the request, if there is one.
    """

    status = 500
    code = "error"

    def __init__(self, sentence: str, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field


class InvalidRequest(PVEIPAMError, ValueError):
    """A ValueError as well: Nautobot's filters take it for a value that does not match."""

    status = 400
    code = "invalid"


class Forbidden(PVEIPAMError):
    status = 403
    code = "permission_denied"


class Missing(PVEIPAMError):
    status = 404
    code = "not_found"


class Conflict(PVEIPAMError):
    status = 409
    code = "conflict"


class NoFreeAddress(Conflict):
    """`free`: how many addresses are, which are too few."""

    code = "no_free_address"

    def __init__(self, sentence: str, *, field: str | None = None, free: int = 0) -> None:
        super().__init__(sentence, field=field)
        self.free = free


class AddressTaken(Conflict):
    code = "address_taken"


class SubnetNotEmpty(Conflict):
    code = "subnet_not_empty"


class NotOurs(Conflict):
    code = "not_ours"


class KeyReused(Conflict):
    code = "idempotency_key_reused"


class PreconditionFailed(Conflict):
    code = "precondition_failed"


class Misconfigured(Conflict):
    code = "misconfigured"


class Unavailable(PVEIPAMError):
    status = 503
    code = "unavailable"
    retry_after = 2  # seconds


class LateRefusal(APIException, ValidationError):
    """A ValidationError raised while an object is saved, because of what somebody else has written since it was
    validated: core's pages handle it as such, and core's API, which does not, answers 409.
    """

    status_code = 409

    def __init__(self, error: ValidationError) -> None:
        ValidationError.__init__(self, error)
        APIException.__init__(self, rejection(error), Conflict.code)


def one_line(sentence: str, limit: int = REASON_MAX_LENGTH) -> str:
    """The sentence in a form valid in an HTTP status line: printable ASCII, one line, at most `limit` characters."""
    ascii_only = sentence.encode("ascii", "replace").decode("ascii")
    line = " ".join("".join(c if c.isprintable() else " " for c in ascii_only).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def quoted(value: object) -> str:
    """A value, truncated for use in an error sentence."""
    text = str(value)
    return text if len(text) <= QUOTED_MAX_LENGTH else text[: QUOTED_MAX_LENGTH - 3] + "..."


def first_sentence(detail: Any, where: str = "") -> str:
    """The first message in nested error details of DRF or Django, prefixed with the path of field names."""
    if isinstance(detail, dict):
        field, inner = next(iter(detail.items()))
        named = where if field in ("__all__", "non_field_errors", "detail") else f"{where}.{field}" if where else field
        return first_sentence(inner, named)
    if isinstance(detail, (list, tuple)):
        index, inner = next((i, part) for i, part in enumerate(detail) if part)
        return first_sentence(inner, f"{where}[{index}]" if isinstance(inner, (dict, list)) else where)
    sentence = str(detail)
    # Our own sentences already name their field.
    return sentence if not where or sentence.startswith(where.rsplit(".", 1)[-1]) else f"{where}: {sentence}"


def rejection(error: ValidationError) -> str:
    """Why Nautobot rejects a value, as one sentence that names the field."""
    return first_sentence(error.message_dict if hasattr(error, "error_dict") else error.messages)
