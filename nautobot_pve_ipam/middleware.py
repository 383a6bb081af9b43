"""Responds with 503 when the database or Redis is out of reach; Nautobot would close the connection without a response.

Nautobot's change logging accesses both again after the view has returned, and so does its error page. Also serves
writes to a URL that lacks its last slash.
Imports core_internals, errors, and services/defaults.py.
"""

import logging
import re
import sys

from django.core.signals import got_request_exception
from django.http import JsonResponse
from rest_framework.permissions import SAFE_METHODS

from nautobot_pve_ipam.core_internals import current_request
from nautobot_pve_ipam.errors import OUT_OF_REACH, Unavailable, one_line
from nautobot_pve_ipam.services.defaults import SERVE_AVAILABLE_IPS, is_on

logger = logging.getLogger(__name__)

BASE = "/api/plugins/pve-ipam/"
#: The URL of core's that api/available_ips.py answers.
CORES = re.compile(r"/api/ipam/prefixes/[^/]+/available-ips/")


class OutOfReachMiddleware:
    """The outermost middleware; apart from `current_request`, only for our own endpoints, and core's that we answer.

    A response that the view has already returned is kept, even though Nautobot could not process its change log and
    webhooks; a request that never reached its view is answered with 503.
    """

    def __init__(self, get_response):
        self._get_response = get_response
        got_request_exception.connect(note_exception, dispatch_uid="pve_ipam_out_of_reach")

    def __call__(self, request):
        token = current_request.set(request)
        try:
            return self._answer(request)
        finally:
            current_request.reset(token)

    def _answer(self, request):
        is_own = f"{request.path_info}/".startswith(BASE)
        if is_own:
            complete_path(request)
        try:
            response = self._get_response(request)
        except OUT_OF_REACH as caught:
            if not (is_own or is_taken_over(request)):
                raise
            request.pve_ipam_out_of_reach = caught
            response = None
        error = getattr(request, "pve_ipam_out_of_reach", None)
        if error is None or not (is_own or is_taken_over(request)):
            return response
        logger.error("%s %s: out of reach: %s", request.method, request.path, error)
        answer = getattr(request, "pve_ipam_answer", None)
        if answer is None or not getattr(answer, "is_rendered", True):
            answer = unavailable(in_cores_shape=not is_own)
        answer.headers.setdefault("Content-Length", str(len(answer.content)))  # normally set by CommonMiddleware
        return answer


def is_taken_over(request):
    """Whether we answer the request in core's place. Asked only when something is out of reach, perhaps the answer."""
    if not CORES.fullmatch(request.path_info):
        return False
    try:
        return is_on(SERVE_AVAILABLE_IPS)
    except OUT_OF_REACH:
        return True


def complete_path(request):
    """Add the last slash to the path of a write: Django would redirect, and clients follow with a GET or no body."""
    if request.method not in SAFE_METHODS and not request.path_info.endswith("/"):
        request.path_info += "/"
        request.path += "/"


def note_exception(sender, request=None, **kwargs):
    """Remember the exception on the request: Django turns it into an error page before it reaches the middleware."""
    error = sys.exc_info()[1]
    if request is not None and isinstance(error, OUT_OF_REACH):
        request.pve_ipam_out_of_reach = error


def unavailable(*, in_cores_shape):
    error = Unavailable("the database or Redis is out of reach, try again")
    body = {"detail": error.sentence} | ({} if in_cores_shape else {"code": error.code})
    response = JsonResponse(body, status=error.status)
    response.reason_phrase = one_line(error.sentence)
    response["Retry-After"] = str(error.retry_after)
    return response
