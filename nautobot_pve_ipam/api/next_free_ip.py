"""The next-free-IP endpoints: preview (GET) or allocate (POST) in a prefix, a range, or a subnet by natural key.

May import the rest of api, services, search and models.
"""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema
from nautobot.apps.utils import get_settings_or_config
from nautobot.ipam.models import IPAddressRange, Prefix
from rest_framework import serializers
from rest_framework.response import Response

from nautobot_pve_ipam.api.answers import (
    ETAG,
    FreeAddressSerializer,
    HeldSerializer,
    free_address_answer,
    held_answer,
    held_response,
)
from nautobot_pve_ipam.api.base import PVEIPAMView
from nautobot_pve_ipam.api.fields import LineField, WholeNumberField
from nautobot_pve_ipam.api.requests import (
    OPTIONAL,
    AddressRequestSerializer,
    SearchSerializer,
    caller_of,
    digest,
    idempotency_key,
    one_search,
    query_of,
    search_of,
    validated,
)
from nautobot_pve_ipam.errors import InvalidRequest, NoFreeAddress
from nautobot_pve_ipam.search.intervals import Interval
from nautobot_pve_ipam.search.occupancy import range_span
from nautobot_pve_ipam.services import lookups
from nautobot_pve_ipam.services.allocation import allocate
from nautobot_pve_ipam.services.values import parse_subnet

#: Used if Nautobot's own maximum is disabled.
MAX_PAGE_SIZE = 1000


def max_page_size():
    """Nautobot's maximum page size, the maximum number of addresses shown or allocated per request."""
    return get_settings_or_config("MAX_PAGE_SIZE", fallback=MAX_PAGE_SIZE) or MAX_PAGE_SIZE


class QuerySerializer(SearchSerializer):
    """The search fields in a query."""

    cluster = LineField(**OPTIONAL)
    zone = LineField(**OPTIONAL)
    ranges = None  # only in bodies; in DRF, None removes an inherited field


class PreviewSerializer(QuerySerializer):
    """The search fields in a query, and how many addresses to show."""

    limit = WholeNumberField(**OPTIONAL, minimum=1, help_text="Addresses to show, 1 by default")

    def validate_limit(self, value):
        if value is not None and value > max_page_size():
            raise serializers.ValidationError(
                f"limit {value} exceeds Nautobot's maximum page size of {max_page_size()}"
            )
        return value


QUERY_PARAMETERS = [
    OpenApiParameter("range_start", str, description="First address to consider"),
    OpenApiParameter("range_end", str, description="Last address to consider, inclusive"),
    OpenApiParameter("offset", int, description="Free addresses to skip first, 0 or more"),
    OpenApiParameter("exclude", str, many=True, description="Addresses, CIDRs or a-b ranges to leave out"),
]
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Repeating a request with the same key within a day returns the same addresses",
)
GUEST_EXAMPLE = {
    "range_start": "10.0.0.100",
    "range_end": "10.0.0.199",
    "mac": "BC:24:11:00:00:01",
    "vmid": 101,
    "hostname": "web1",
}


def one_or_several(name, serializer):
    """For the OpenAPI schema: an object, or a list of them."""
    return PolymorphicProxySerializer(
        component_name=name,
        serializers=[serializer, serializer(many=True)],
        resource_type_field_name=None,
        many=False,
    )


class NextFreeIPView(PVEIPAMView):
    """The next free addresses: GET shows them without writing anything, POST allocates them, all or none.

    POST with a `mac` that already holds an address of the subnet returns that address (200 instead of 201), and so does
    a repeated `Idempotency-Key` header. Subclasses find the prefix.
    """

    rights = {"GET": ("ipam.view_prefix",), "POST": ("ipam.view_prefix", "ipam.add_ipaddress")}
    #: Whether this is one of PVE's hooks, the others of which must find what it hands out.
    is_hook = False

    def find(self, request, *args: Any, **kwargs: Any) -> tuple[Prefix, Interval | None]:
        """The prefix named by the URL, and the interval to which the search is limited, or None."""
        raise NotImplementedError

    @extend_schema(
        parameters=[*QUERY_PARAMETERS, OpenApiParameter("limit", int, description="Addresses to show, 1 by default")],
        responses={200: FreeAddressSerializer(many=True)},
        examples=[
            OpenApiExample(
                "Next free address", value=[{"address": "10.0.0.100/24", "ip_version": 4}], response_only=True
            )
        ],
    )
    def get(self, request, **kwargs):
        """Show the next free addresses without allocating them."""
        prefix, within = self.find(request, **kwargs)
        query = self.validated_query(request, PreviewSerializer)
        search = search_of(prefix, one_search(query, []), within)
        return Response([free_address_answer(prefix, host) for host in search.first(query.get("limit") or 1)])

    @extend_schema(
        parameters=[
            *QUERY_PARAMETERS,
            IDEMPOTENCY_KEY,
            ETAG,
        ],
        request=one_or_several("NextFreeIPRequest", AddressRequestSerializer),
        responses=dict.fromkeys((200, 201), one_or_several("NextFreeIPAnswer", HeldSerializer)),
        examples=[
            OpenApiExample("For a guest, within a DHCP range", value=GUEST_EXAMPLE, request_only=True),
            OpenApiExample("Two addresses, all or none", value=[{"vmid": 101}, {"vmid": 102}], request_only=True),
        ],
    )
    def post(self, request, **kwargs):
        """Allocate the next free address for an object, or several addresses for a list of objects."""
        prefix, within = self.find(request, **kwargs)
        query = self.validated_query(request, QuerySerializer)
        bodies = self.validated_bodies(request)
        where = one_search(query, bodies)
        search = search_of(prefix, where, within)
        key = idempotency_key(request)
        result = allocate(
            search,
            [AddressRequestSerializer.wanted(body) for body in bodies],
            caller=caller_of(request.user, prefix.namespace, where).in_prefix(prefix),
            key=key,
            request_digest=digest(request) if key else "",
            by_hook=self.is_hook,
        )
        if not isinstance(request.data, list):
            return held_response(result[0], request)
        status = 201 if any(held.created for held in result) else 200
        return Response([held_answer(held, request) for held in result], status=status)

    @staticmethod
    def validated_query(request, serializer_class):
        if not request.query_params:
            return {}
        query = query_of(request)
        if "exclude" in query:  # may be repeated
            query["exclude"] = request.query_params.getlist("exclude")
        return validated(serializer_class(data=query))

    @staticmethod
    def validated_bodies(request):
        many = isinstance(request.data, list)
        if many and not request.data:
            raise InvalidRequest("body: the list is empty, ask for at least one address", field="body")
        if many and len(request.data) > max_page_size():
            raise InvalidRequest(
                f"body: {len(request.data)} addresses exceed the limit of {max_page_size()} per request", field="body"
            )
        bodies = validated(AddressRequestSerializer(data=request.data, many=many, context={"request": request}))
        return bodies if many else [bodies]


class PrefixNextFreeIPView(NextFreeIPView):
    name = "Next Free IP of a Prefix"

    def find(self, request, pk):
        return lookups.visible_prefix(request.user, pk=pk), None


class SubnetNextFreeIPView(NextFreeIPView):
    name = "Next Free IP of a Subnet"
    is_hook = True

    def find(self, request, namespace, subnet):
        return lookups.visible_prefix_of(request.user, namespace, parse_subnet(subnet)), None


class RangeNextFreeIPView(NextFreeIPView):
    name = "Next Free IP of an IP Address Range"
    rights = {
        "GET": ("ipam.view_ipaddressrange",),
        "POST": ("ipam.view_ipaddressrange", "ipam.add_ipaddress"),
    }

    def find(self, request, pk):
        found = lookups.visible(
            IPAddressRange.objects.select_related("parent__namespace"), request.user, "IP address range", pk=pk
        )
        if found.is_exclusive and request.method == "POST":
            raise NoFreeAddress(
                f"No free address in {found}: the range is exclusive, and Nautobot allows no addresses in it"
            )
        return found.parent, range_span(found)
