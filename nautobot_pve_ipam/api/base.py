"""What all our own endpoints share: rights, limits, and errors as one sentence in body and reason phrase."""

import logging
import re

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.http import Http404
from nautobot.core.api.authentication import TokenPermissions
from nautobot.core.api.views import NautobotAPIVersionMixin
from nautobot.users.models import Token
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import APIView

from nautobot_pve_ipam.api.fields import shown
from nautobot_pve_ipam.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    Missing,
    PVEIPAMError,
    Unavailable,
    one_line,
)
from nautobot_pve_ipam.middleware import DATABASE_OUT_OF_REACH, REDIS_OUT_OF_REACH

logger = logging.getLogger(__name__)

#: A thousand addresses with descriptions fit; a megabyte of anything is a mistake.
MAX_BODY_BYTES = 512 * 1024
#: NUL and lone surrogates: JSON and URLs can spell them, no database stores them.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class RightsPermission(TokenPermissions):
    """Asks for the model permissions in the view's `rights[method]`, and for a token that may write."""

    def has_permission(self, request, view):
        if not request.user or not request.user.is_authenticated:
            return False
        if isinstance(request.auth, Token) and not self._verify_write_permission(request):
            raise Forbidden("this token may only read: it is not write enabled")
        missing = [right for right in view.rights.get(request.method, ()) if not request.user.has_perm(right)]
        if missing:
            raise Forbidden(f"user {request.user} lacks permission {', '.join(missing)}")
        return True


class PVEIPAMView(NautobotAPIVersionMixin, APIView):
    """Base of our endpoints: subclasses parse, call one service function, answer.

    `rights`: HTTP method -> permissions that the user needs for any object at all. Object permissions with
    constraints are applied where the objects are found and made.
    """

    permission_classes = [RightsPermission]
    rights = {}

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if length > MAX_BODY_BYTES:
            # Who is still sending when the connection closes never reads the answer.
            request.read(min(length, 8 * MAX_BODY_BYTES))
            raise InvalidRequest(f"body: {length} bytes are more than the {MAX_BODY_BYTES} allowed", field="body")
        try:
            refuse_unstorable([kwargs, request.query_params, request.data])
        except RecursionError as error:
            raise InvalidRequest("body: it is nested too deeply", field="body") from error

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        request._request.pve_ipam_answer = response  # for OutOfReachMiddleware
        return response

    def handle_exception(self, exc):
        error, fields = as_error(exc)
        if error is None:
            return super().handle_exception(exc)
        if isinstance(exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
            response = super().handle_exception(exc)  # it knows which of 401 and 403 is right
            response.data = {}
        else:
            response = Response({}, status=error.status)
        response.data = {"detail": one_line(error.sentence, 1000), "code": error.code, **fields}
        response.exception = True
        response.reason_phrase = one_line(error.sentence)
        if isinstance(error, Unavailable):
            response["Retry-After"] = str(error.retry_after)
        return response


def refuse_unstorable(data, name="body"):
    """Raise InvalidRequest where a text in parsed JSON, keys included, holds what no database stores."""
    if isinstance(data, str):
        if found := UNSTORABLE.search(data):
            raise InvalidRequest(f"{name} {shown(ascii(data))} contains the character U+{ord(found[0]):04X}")
    elif isinstance(data, dict):
        for key, value in data.items():
            refuse_unstorable(key, name)
            refuse_unstorable(value, key)
    elif isinstance(data, list):
        for part in data:
            refuse_unstorable(part, name)


def as_error(exc):
    """Any exception as one of ours, with the field errors in DRF's form; (None, {}) for what is a bug."""
    return next((translate(exc) for types, translate in TRANSLATIONS if isinstance(exc, types)), (None, {}))


def _from_django_validation(exc):
    fields = {k: v for k, v in exc.message_dict.items() if k != "__all__"} if hasattr(exc, "error_dict") else {}
    return InvalidRequest(first_sentence(getattr(exc, "message_dict", exc.messages))), fields


def _from_authentication(exc):
    error = Forbidden(str(exc.detail))
    error.code = exc.default_code
    return error, {}


def _from_protected(exc):
    names = ", ".join(sorted({str(thing) for thing in exc.protected_objects})[:3])
    return Conflict(f"still needed by {names}"), {}


def _from_integrity(exc):
    logger.warning("refused by the database at the end of a request: %s", exc)
    return Conflict("something that this request needs was changed or deleted at the same moment, try again"), {}


def _from_api_exception(exc):
    error = InvalidRequest(str(exc.detail))
    error.status = exc.status_code
    error.code = error.code if exc.status_code == InvalidRequest.status else exc.default_code
    return error, {}


#: Exceptions that a request may meet, the most special first, and how each becomes one of ours.
TRANSLATIONS = (
    (PVEIPAMError, lambda exc: (exc, {exc.field: [exc.sentence]} if exc.field else {})),
    (
        exceptions.ValidationError,
        lambda exc: (InvalidRequest(first_sentence(exc.detail)), exc.detail if isinstance(exc.detail, dict) else {}),
    ),
    (DjangoValidationError, _from_django_validation),
    ((Http404, exceptions.NotFound), lambda exc: (Missing(str(exc) or "not found"), {})),
    ((exceptions.NotAuthenticated, exceptions.AuthenticationFailed), _from_authentication),
    ((exceptions.PermissionDenied, DjangoPermissionDenied), lambda exc: (Forbidden(str(exc) or "not permitted"), {})),
    (ProtectedError, _from_protected),
    (IntegrityError, _from_integrity),
    (exceptions.APIException, _from_api_exception),
    (
        DATABASE_OUT_OF_REACH,
        lambda exc: (Unavailable("the database is out of reach or busy, try again"), {}),
    ),
    (
        (*REDIS_OUT_OF_REACH, TimeoutError),
        lambda exc: (Unavailable("Redis is out of reach or a lock was not free, try again"), {}),
    ),
)


def first_sentence(detail, where=""):
    """The first message of DRF's or Django's nested error details, with the path of field names before it."""
    if isinstance(detail, dict):
        field, inner = next(iter(detail.items()))
        named = where if field in ("__all__", "non_field_errors", "detail") else f"{where}.{field}" if where else field
        return first_sentence(inner, named)
    if isinstance(detail, (list, tuple)):
        index, inner = next((i, part) for i, part in enumerate(detail) if part)
        return first_sentence(inner, f"{where}[{index}]" if isinstance(inner, (dict, list)) else where)
    sentence = str(detail)
    # Our own sentences name their field already.
    return sentence if not where or sentence.startswith(where.rsplit(".", 1)[-1]) else f"{where}: {sentence}"
