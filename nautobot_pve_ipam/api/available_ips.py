"""Nautobot's own `/api/ipam/prefixes/{id}/available-ips/`, answered by our services if `serve_available_ips` is on.

As core answers it: its viewset, of which one method is replaced, checks permissions, reads the query and the body, and
its serializers validate, create and render the addresses. Ours are only the search, the locks and the transaction: no
request loses a race, and the cost does not grow with what is used. Core's rule stands: child networks, and IP address
ranges that are not exclusive, are as free as the rest. What differs, and has to:

- The gateway of a PVE subnet is never handed out, even if there is no IPAddress for it (yet, or any more).
- An exclusive range that begins outside of the prefix is passed over, where core runs into it and answers 400.
- Where core crashes (status 500), such as for a body that is no object, there is a 4xx with a sentence.
- With the setting `guard_dhcp_ranges`, a request without bounds passes over the DHCP ranges of PVE's subnets.
- `limit=0` or less is Nautobot's maximum page size, as its documentation says, and not all that is free.
- If the database, Redis or a lock is out of reach, or the App's tables are missing: 503 with Retry-After.

A request that core would ignore a part of is one of ours: with `offset`, `exclude`, `cluster` or `zone` in the query,
with one of our fields in the body, or with an `Idempotency-Key`. Then we read all that says where to search, as
`next-free-ip` does, and too few free addresses are a 409 with a sentence. Without that they are core's silent 204,
unless the client prefers to be told (`Prefer: handling=strict`, RFC 7240).

Means: Nautobot's `override_views` (see views.py), which puts our view in place of core's in the URL configuration when
the App is loaded. No other request comes here, which a middleware could not say; nothing of core is changed; and while
the setting is off, core's own method answers, at the price of reading the setting. Another App that overrides the same
view replaces ours if it is loaded later. May import the rest of api, services, search and models.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import netaddr
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import ProgrammingError
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from nautobot.apps.api import ModelViewSet
from nautobot.apps.utils import get_settings_or_config
from nautobot.core.constants import MAX_PAGE_SIZE_DEFAULT, PAGINATE_COUNT_DEFAULT
from nautobot.ipam.api.serializers import AvailableIPSerializer, IPAddressSerializer, IPAllocationSerializer
from nautobot.ipam.api.views import PrefixViewSet
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix
from rest_framework import exceptions
from rest_framework.generics import get_object_or_404
from rest_framework.response import Response

from nautobot_pve_ipam.api.answers import as_error
from nautobot_pve_ipam.api.base import finished, refuse_unstorable
from nautobot_pve_ipam.api.next_free_ip import IDEMPOTENCY_KEY, QUERY_PARAMETERS, QuerySerializer
from nautobot_pve_ipam.api.requests import (
    OurFieldsSerializer,
    caller_of,
    digest,
    idempotency_key,
    one_search,
    search_of,
    validated,
)
from nautobot_pve_ipam.core_internals import declared_fields
from nautobot_pve_ipam.errors import InvalidRequest, NoFreeAddress, Unavailable
from nautobot_pve_ipam.search.intervals import Interval, to_text
from nautobot_pve_ipam.search.occupancy import range_span, span
from nautobot_pve_ipam.search.search import Search, check_family
from nautobot_pve_ipam.services import guard
from nautobot_pve_ipam.services.allocation import Wanted, allocate, dns_name_of
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.defaults import SERVE_AVAILABLE_IPS, is_on

#: Our own fields; core knows `range_start` and `range_end`, but only in the query.
IN_BODY = tuple(declared_fields(OurFieldsSerializer))
IN_QUERY = ("offset", "exclude", "cluster", "zone")
BOUNDS = ("range_start", "range_end")
STRICT = re.compile(r'(^|,)\s*handling\s*=\s*"?strict"?\s*($|[,;])', re.IGNORECASE)


class InCoresTerms(ModelViewSet):
    """A viewset that hands out addresses in core's terms: the two answers, and errors of ours in core's shape.

    `served`: whether we answer the request, and not core.
    """

    queryset = IPAddress.objects.all()
    serializer_class = IPAddressSerializer
    served = True

    def shown(self, prefix: Prefix, within: Interval | None = None) -> Response:
        """GET: the first free addresses of the prefix, or within an interval of it."""
        asked = Asked.by(self.request, prefix, within)
        hosts = [to_text(host, prefix.ip_version) for host in asked.search.first(page_size(self.request))]
        context = {"request": self.request, "prefix": prefix.prefix}
        return Response(AvailableIPSerializer(hosts, many=True, context=context).data)

    def handed_out(self, prefix: Prefix, within: Interval | None = None) -> Response:
        """POST: as many of them as there are objects in the body, all or none."""
        request = self.request
        asked = Asked.by(request, prefix, within)
        writer = CoresWriter(self, prefix, many=isinstance(request.data, list))
        key = idempotency_key(request)
        try:
            held = allocate(
                asked.search,
                asked.wanted,
                caller=asked.caller(request.user),
                key=key,
                request_digest=digest(request) if key else "",
                write=writer,
            )
        except RejectedError as rejected:
            raise rejected.reason from None
        except NoFreeAddress as error:
            if asked.is_strict:
                raise
            return Response({"detail": asked.as_core_says(error.free)}, status=204)
        created = [item.created for item in held]
        answer = writer.answer([item.address for item in held], is_written=all(created))
        return Response(answer, status=201 if any(created) or not held else 200)

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        return finished(request, response) if self.served else response

    def handle_exception(self, exc):
        if not self.served or isinstance(exc, (exceptions.APIException, Http404, PermissionDenied)):
            return super().handle_exception(exc)
        error, fields = self._as_error(exc)
        if error is None:
            return super().handle_exception(exc)
        response = Response(fields or {"detail": error.sentence}, status=error.status)
        response.exception = True
        if isinstance(error, Unavailable):
            response["Retry-After"] = str(error.retry_after)
        return response

    def _as_error(self, exc):
        """An exception, which core would crash with, as one of ours; (None, {}) for a bug."""
        if isinstance(exc, ProgrammingError):
            return Unavailable("the App's tables are missing: run nautobot-server migrate"), {}
        error, fields = as_error(exc)
        if error is None:
            try:
                refuse_unstorable([self.kwargs, self.request.query_params, self.request.data])
            except InvalidRequest as unstorable:
                error = unstorable
        return error, fields


@dataclass(frozen=True)
class Asked:
    """What a request asks for. `start`, `end`: the bounds as core names them, if it is not one of ours."""

    search: Search
    wanted: Sequence[Wanted]
    start: netaddr.IPAddress
    end: netaddr.IPAddress
    is_strict: bool
    where: dict[str, Any]

    @classmethod
    def by(cls, request, prefix: Prefix, within: Interval | None) -> "Asked":
        """Raises InvalidRequest, and ValidationError of REST framework."""
        start, end = cores_bounds(request, prefix, within)
        items, many = items_of(request), isinstance(request.data, list)
        bodies = [ours_in(item) for item in items]
        query = {name: request.query_params[name] for name in IN_QUERY if request.query_params.get(name)}
        where: dict[str, Any] = {}
        if query or any(bodies) or "Idempotency-Key" in request.headers:
            query |= {name: request.query_params[name] for name in BOUNDS if request.query_params.get(name)}
            if "exclude" in query:
                query["exclude"] = request.query_params.getlist("exclude")
            if items:
                bodies = validated(OurFieldsSerializer(data=bodies if many else bodies[0], many=many))
                bodies = bodies if many else [bodies]
            where = one_search(validated(QuerySerializer(data=query)), bodies)
            search, is_strict = search_of(prefix, where, within, by_core=True), True
        else:
            search = by_cores_bounds(prefix, start, end, within)
            is_strict = bool(STRICT.search(request.headers.get("Prefer", "")))
        if not search.bounds and guard.is_on():  # who names no range gets nothing from those of PVE
            search = replace(search, guarded=True)
        guests = [OurFieldsSerializer.guest(body) for body in bodies]
        if any(guests):  # whose addresses must not be in another subnet: not in a child network
            search = replace(search, by_core=False, bounds=search.bounds or (span(prefix),))
        wanted = [Wanted(guest, item) for guest, item in zip(guests, items, strict=True)]
        return cls(search, wanted, start, end, is_strict, where)

    def caller(self, user) -> Caller:
        prefix = self.search.prefix
        caller = caller_of(user, prefix.namespace, self.where)
        is_for_pve = caller.cluster or caller.zone or any(item.guest for item in self.wanted)
        return caller.in_prefix(prefix) if is_for_pve else caller

    def as_core_says(self, free: int) -> str:
        """That there are too few free addresses."""
        return (
            f"An insufficient number of IP addresses are available within the prefix {self.search.prefix} "
            f"({len(self.wanted)} requested, {free} available between {self.start} and {self.end})."
        )


class RejectedError(ValidationError):
    """Core's serializer rejects what was sent, for this reason; or an address that somebody else took first."""

    def __init__(self, reason: exceptions.ValidationError) -> None:
        super().__init__("rejected by the serializer")
        self.reason = reason


class CoresWriter:
    """Creates addresses with core's serializer, as the viewset would."""

    def __init__(self, view: Any, prefix: Prefix, *, many: bool) -> None:
        self._view = view
        self._prefix = prefix
        self._many = many
        self._context = {"request": view.request, "depth": 0}

    def __call__(self, found: Sequence[tuple[int, Wanted]]) -> Sequence[IPAddress]:
        for _host, item in found:
            if not isinstance(item.attributes, dict):
                kind = type(item.attributes).__name__
                sentence = f"Invalid data. Expected a dictionary, but got {kind}."
                raise RejectedError(exceptions.ValidationError({"non_field_errors": [sentence]}))
        data = [
            {
                **self._named(item),
                "address": f"{to_text(host, self._prefix.ip_version)}/{self._prefix.prefix_length}",
                "namespace": self._prefix.namespace,
            }
            for host, item in found
        ]
        self._serializer = self._serialize(data=data if self._many else data[0])
        try:
            self._serializer.is_valid(raise_exception=True)
        except exceptions.ValidationError as error:
            raise RejectedError(error) from error
        self._view.perform_create(self._serializer)
        made = self._serializer.instance
        return made if self._many else [made]

    @staticmethod
    def _named(item: Wanted) -> dict[str, Any]:
        """The body, with a guest's name as the DNS name unless that is told."""
        if item.guest.hostname and not item.attributes.get("dns_name"):
            return {**item.attributes, "dns_name": dns_name_of(item.guest.hostname)}
        return item.attributes

    def answer(self, addresses: Sequence[IPAddress], *, is_written: bool) -> Any:
        """The addresses as core answers them. `is_written`: they are those that were just created."""
        if is_written and addresses:
            return self._serializer.data
        return self._serialize(list(addresses) if self._many else addresses[0]).data

    def _serialize(self, *arguments: Any, **options: Any) -> Any:
        return IPAddressSerializer(*arguments, **options, many=self._many, context=self._context)


def cores_bounds(request, prefix: Prefix, within: Interval | None) -> tuple[netaddr.IPAddress, netaddr.IPAddress]:
    """`range_start` and `range_end` of the query, as core reads them; by default the ends of what is searched.

    Raises ValidationError of REST framework.
    """
    found = []
    for name, default in zip(BOUNDS, within or span(prefix), strict=True):
        # Like core, without an IP version: at the start of all IPv6, an address is written as one of IPv4.
        response, address = PrefixViewSet.get_ipaddress_param(request, name, netaddr.IPAddress(default))
        if response is not None:
            raise exceptions.ValidationError(response.data)
        found.append(address)
    return found[0], found[1]


def by_cores_bounds(
    prefix: Prefix, start: netaddr.IPAddress, end: netaddr.IPAddress, within: Interval | None
) -> Search:
    """The search by core's rule: bounds outside of the prefix, or of a lower family, are no bounds."""
    low, high = first, last = within or span(prefix)
    if start > netaddr.IPAddress(first):
        check_family("range_start", start, prefix.prefix)
        low = max(first, int(start))
    if end < netaddr.IPAddress(last):
        check_family("range_end", end, prefix.prefix)
        high = min(last, int(end))
    is_bounded = within or (low, high) != (first, last)
    return Search(prefix, ((low, high),) if is_bounded else (), by_core=True)


def items_of(request) -> list[Any]:
    """What is in the body, one for each address; nothing for a GET."""
    if request.method != "POST":
        return []
    return request.data if isinstance(request.data, list) else [request.data]


def ours_in(item: Any) -> dict[str, Any]:
    """The fields of ours that are told. What is no object is rejected when it comes to write it, as core does."""
    return {name: item[name] for name in IN_BODY if is_told(item.get(name))} if isinstance(item, dict) else {}


def is_told(value: Any) -> bool:
    """Whether a field is given a value: null and "" are the same as leaving it out."""
    return value not in (None, "")


def page_size(request) -> int:
    """How many addresses a GET shows: `limit`, or Nautobot's page size, but no more than its maximum."""
    usual = get_settings_or_config("PAGINATE_COUNT", fallback=PAGINATE_COUNT_DEFAULT)
    most = get_settings_or_config("MAX_PAGE_SIZE", fallback=MAX_PAGE_SIZE_DEFAULT)
    try:
        limit = int(request.query_params.get("limit", usual))
    except ValueError:
        limit = usual
    everything = most or sys.maxsize
    return min(limit, everything) if limit > 0 else everything


@extend_schema_serializer(component_name="IPAllocation")  # clients generated from the schema know it by this name
class AllocationSerializer(IPAllocationSerializer):
    """For the OpenAPI schema: what core takes, and what we do."""

    def get_fields(self):
        return super().get_fields() | OurFieldsSerializer().get_fields()


PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description="`handling=strict`: 409 with a sentence, and not 204, if too few addresses are free",
)


def documented(method):
    """Describe an action in the OpenAPI schema."""
    method = extend_schema(
        methods=["post"],
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=AllocationSerializer(many=True),
        responses=dict.fromkeys((200, 201), IPAddressSerializer(many=True)),
    )(method)
    method = extend_schema(methods=["get"], responses={200: AvailableIPSerializer(many=True)})(method)
    return extend_schema(methods=["get", "post"], parameters=QUERY_PARAMETERS)(method)


class AvailableIPsViewSet(InCoresTerms, PrefixViewSet):
    """Core's viewset of prefixes, for this one URL."""

    queryset = PrefixViewSet.queryset
    serializer_class = PrefixViewSet.serializer_class

    def initial(self, request, *args, **kwargs):
        self.served = is_on(SERVE_AVAILABLE_IPS)  # first: whatever fails from here on is answered by us, or by core
        super().initial(request, *args, **kwargs)

    @documented
    def available_ips(self, request, pk=None, **kwargs):
        """
        A convenience method for listing and/or allocating available IP addresses within a prefix.

        By default, the number of IPs returned will be equivalent to PAGINATE_COUNT.
        An arbitrary limit (up to MAX_PAGE_SIZE, if set) may be passed, however results will not be paginated.

        With the setting `serve_available_ips` of the App nautobot-pve-ipam, requests may run in parallel and do not
        block each other. Only then do `offset` and `exclude`, the headers, and the body's fields of the App count.
        """
        if not self.served:
            return super().available_ips(request, pk=pk, **kwargs)
        prefix = get_object_or_404(Prefix.objects.restrict(request.user).select_related("namespace"), pk=pk)
        return self.handed_out(prefix) if request.method == "POST" else self.shown(prefix)


class RangeAvailableIPsViewSet(InCoresTerms):
    """The same for an IP address range, below our own base URL: core has no such URL, and Apps can only replace URLs
    of core's, not add any. Whoever calls it has chosen it, so it needs no setting.
    """

    name = "Available IPs of an IP Address Range"

    @documented
    def available_ips(self, request, pk):
        """List or allocate available IP addresses within an IP address range, as Nautobot does within a prefix."""
        ranges = IPAddressRange.objects.restrict(request.user).select_related("parent__namespace")
        found = get_object_or_404(ranges, pk=pk)
        prefix, within = found.parent, range_span(found)
        return self.handed_out(prefix, within) if request.method == "POST" else self.shown(prefix, within)


#: As core's router makes it, but for the schema, which is that of our method.
available_ips = AvailableIPsViewSet.as_view(
    dict(PrefixViewSet.available_ips.mapping),
    basename="prefix",
    detail=True,
    **{name: value for name, value in PrefixViewSet.available_ips.kwargs.items() if name != "schema"},
)
range_available_ips = RangeAvailableIPsViewSet.as_view({"get": "available_ips", "post": "available_ips"}, detail=True)
