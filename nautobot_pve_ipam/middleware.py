"""An answer when the database or Redis is out of reach: Nautobot itself would close the connection without one.

Its change logging asks both once more after a view has answered, and so does its error page.
"""

import logging
import sys

from django.core.signals import got_request_exception
from django.http import JsonResponse

from nautobot_pve_ipam.errors import OUT_OF_REACH, Unavailable, one_line

logger = logging.getLogger(__name__)

BASE = "/api/plugins/pve-ipam/"


class OutOfReachMiddleware:
    """The outermost middleware, for our own endpoints only.

    What a view has answered stands, though Nautobot cannot look after its change log and webhooks then; a request
    that never came to its view is answered with 503.
    """

    def __init__(self, get_response):
        self._get_response = get_response
        got_request_exception.connect(note_exception, dispatch_uid="pve_ipam_out_of_reach")

    def __call__(self, request):
        if not request.path_info.startswith(BASE):
            return self._get_response(request)
        try:
            response = self._get_response(request)
        except OUT_OF_REACH as caught:
            request.pve_ipam_out_of_reach = caught
            response = None
        error = getattr(request, "pve_ipam_out_of_reach", None)
        if error is None:
            return response
        logger.error("%s %s: out of reach: %s", request.method, request.path, error)
        answer = getattr(request, "pve_ipam_answer", None)
        if answer is None or not getattr(answer, "is_rendered", True):
            answer = unavailable()
        answer.headers.setdefault("Content-Length", str(len(answer.content)))  # else CommonMiddleware's work
        return answer


def note_exception(sender, request=None, **kwargs):
    """An error page would hide the exception from the middlewares around it."""
    error = sys.exc_info()[1]
    if request is not None and isinstance(error, OUT_OF_REACH):
        request.pve_ipam_out_of_reach = error


def unavailable():
    error = Unavailable("the database or Redis is out of reach, try again")
    response = JsonResponse({"detail": error.sentence, "code": error.code}, status=error.status)
    response.reason_phrase = one_line(error.sentence)
    response["Retry-After"] = str(error.retry_after)
    return response
