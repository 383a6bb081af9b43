"""Base of all our own endpoints: permissions, limits, and errors as one sentence in body and reason phrase.

May import the rest of api, services, search and models.
"""

import re
from contextlib import suppress

from django.db import DatabaseError
from nautobot.core.api.views import NautobotAPIVersionMixin
from nautobot.users.models import Token
from rest_framework import exceptions
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from nautobot_pve_ipam.api.answers import as_error
from nautobot_pve_ipam.core_internals import hang_answer, spare_announcements
from nautobot_pve_ipam.errors import Forbidden, InvalidRequest, Unavailable, one_line, quoted

#: Enough for a thousand addresses with descriptions.
MAX_BODY_BYTES = 512 * 1024
#: NUL and lone surrogates: valid in JSON and URLs, but databases cannot store them.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class RightsPermission(BasePermission):
    """Requires the model permissions in the view's `rights[method]`, and a write-enabled token for writes.

    HEAD requires those of GET. OPTIONS only describes the endpoint, before anything is looked up.
    """

    def has_permission(self, request, view):
        if not request.user or not request.user.is_authenticated:
            return False
        if request.method not in SAFE_METHODS and is_read_only(request):
            raise Forbidden("this token is not write-enabled")
        method = "GET" if request.method == "HEAD" else request.method
        missing = [right for right in view.rights.get(method, ()) if not request.user.has_perm(right)]
        if missing:
            raise Forbidden(f"user {request.user} lacks permission {', '.join(missing)}")
        return True


class PVEIPAMView(NautobotAPIVersionMixin, APIView):
    """Base of our endpoints: subclasses parse, call one service function and respond.

    `rights`: HTTP method -> permissions that the user must have for at least some objects. Constraints of object
    permissions are checked where objects are looked up and created.
    """

    permission_classes = [RightsPermission]
    parser_classes = [JSONParser]  # not Nautobot's CSV, which is for its models
    rights: dict[str, tuple[str, ...]] = {}
    max_body_bytes = MAX_BODY_BYTES

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if length > self.max_body_bytes:
            # A client that is still sending when the connection closes never reads the response.
            request.read(min(length, 8 * MAX_BODY_BYTES))
            raise InvalidRequest(f"body: {length} bytes exceed the limit of {self.max_body_bytes}", field="body")
        try:
            refuse_unstorable([kwargs, request.query_params, request.data])
        except RecursionError as error:
            raise InvalidRequest("body: nested too deeply", field="body") from error

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        if request.method == "HEAD":
            response.add_post_render_callback(without_body)
        return finished(request, response)

    def handle_exception(self, exc):
        error, fields = as_error(exc)
        if error is None:
            return super().handle_exception(exc)
        if isinstance(exc, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
            response = super().handle_exception(exc)  # it chooses between 401 and 403
            response.data = {}
        else:
            response = Response({}, status=error.status)
        response.data = {"detail": one_line(error.sentence, 1000), "code": error.code, **fields}
        response.exception = True
        response.reason_phrase = one_line(error.sentence)
        if isinstance(error, Unavailable):
            response["Retry-After"] = str(error.retry_after)
        return response


def finished(request, response):
    """A response of ours, ready for what Nautobot and our middleware do after it."""
    hang_answer(request, response)  # for OutOfReachMiddleware
    if request.method not in SAFE_METHODS and not response.exception:
        with suppress(DatabaseError):  # the work is done; whatever comes next may fail the same way
            spare_announcements()
    return response


def without_body(response):
    """The response to a HEAD request; uWSGI would send the body."""
    response["Content-Length"] = str(len(response.content))
    response.content = b""
    return response


def is_read_only(request):
    """Whether the request's token is not write-enabled."""
    return isinstance(request.auth, Token) and not request.auth.write_enabled


def refuse_unstorable(data, name="body"):
    """Raise InvalidRequest if a string in parsed JSON, keys included, cannot be stored in a database."""
    if isinstance(data, str):
        if found := UNSTORABLE.search(data):
            raise InvalidRequest(f"{name} {quoted(ascii(data))} contains the character U+{ord(found[0]):04X}")
    elif isinstance(data, dict):
        for key, value in data.items():
            refuse_unstorable(key, name)
            refuse_unstorable(value, key)
    elif isinstance(data, list):
        for part in data:
            refuse_unstorable(part, name)
