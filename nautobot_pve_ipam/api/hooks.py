"""The PVE hooks: one call each, all idempotent, with objects looked up by namespace and value.

May import the rest of api, services, search and models.
"""

import nautobot
from django.apps import apps
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from nautobot_pve_ipam.api.answers import (
    ETAG,
    FoundByMACSerializer,
    HeldSerializer,
    NamespaceStatusSerializer,
    SubnetSerializer,
    allocation_answer,
    already_held,
    held_response,
    subnet_answer,
)
from nautobot_pve_ipam.api.base import PVEIPAMView, is_read_only
from nautobot_pve_ipam.api.requests import (
    AddressChangeSerializer,
    AddressHookSerializer,
    CallerSerializer,
    GuestSerializer,
    MACQuerySerializer,
    PreconditionSerializer,
    ReleaseSerializer,
    SubnetRemovalSerializer,
    SubnetRequestSerializer,
    caller_of,
    facts_of,
    query_of,
    validated,
)
from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.permissions import missing_hook_rights
from nautobot_pve_ipam.services import defaults, lookups
from nautobot_pve_ipam.services.addresses import (
    delete_address,
    find_address,
    find_by_mac,
    patch_address,
    put_address,
)
from nautobot_pve_ipam.services.subnets import delete_subnet, put_subnet
from nautobot_pve_ipam.services.values import parse_address, parse_subnet

CALLER_PARAMETERS = [
    OpenApiParameter("cluster", str, description="The PVE cluster making the request, if several share the namespace"),
    OpenApiParameter("zone", str, description="The SDN zone"),
]


PRECONDITION_PARAMETERS = [
    OpenApiParameter("mac", str, description="Refuse unless this MAC still holds the address"),
    OpenApiParameter("vmid", int, description="Refuse unless this guest still holds the address"),
    OpenApiParameter(
        "If-Match", str, OpenApiParameter.HEADER, description="Refuse unless the address still has this ETag"
    ),
]


class HookView(PVEIPAMView):
    """Base of the hooks: parses the request and its caller."""

    def data(self, request, serializer_class, query=None):
        """The body and the query, or this part of it, merged and validated; the body wins."""
        body = request.data if request.method not in ("GET", "DELETE") or request.data else {}
        if not isinstance(body, dict):
            raise InvalidRequest("body: expected a single JSON object, not a list", field="body")
        query = query_of(request) if query is None else query
        return validated(serializer_class(data={**query, **body}))

    def caller(self, request, namespace, data):
        return caller_of(request.user, lookups.visible_namespace(request.user, namespace), data).checked()


class NamespaceView(HookView):
    """Called when PVE saves its IPAM entry: checks namespace, permissions and what new objects need."""

    name = "PVE IPAM"
    rights = {"GET": ()}

    @extend_schema(parameters=CALLER_PARAMETERS[:1], responses={200: NamespaceStatusSerializer})
    def get(self, request, namespace):
        caller = self.caller(request, namespace, self.data(request, CallerSerializer))
        found = caller.namespace
        missing = missing_hook_rights(request.user)
        if is_read_only(request):
            missing.append("write access")
        problems = defaults.problems()
        lacking = [f"the token lacks {', '.join(missing)}"] if missing else []
        detail = "; ".join([*lacking, *problems]) or f"namespace {found} is ready"
        return Response(
            {
                "namespace": found.name,
                "nautobot_version": nautobot.__version__,
                "app_version": apps.get_app_config("nautobot_pve_ipam").version,
                "ready": not (missing or problems),
                "missing": missing,
                "problems": problems,
                "detail": detail,
                "warning": caller.stranger(),
            }
        )


class SubnetView(HookView):
    """PVE creates, changes or deletes a subnet."""

    name = "PVE Subnet"
    rights = {
        "PUT": ("ipam.view_prefix", "nautobot_pve_ipam.add_sdnsubnet"),
        "DELETE": ("ipam.view_prefix", "nautobot_pve_ipam.delete_sdnsubnet"),
    }

    @extend_schema(request=SubnetRequestSerializer, responses={200: SubnetSerializer, 201: SubnetSerializer})
    def put(self, request, namespace, subnet):
        """Create (201) or update (200) the subnet."""
        network = parse_subnet(subnet)
        data = self.data(request, SubnetRequestSerializer)
        caller = self.caller(request, namespace, data)
        record, created = put_subnet(caller.namespace, network, facts_of(network, data), user=request.user)
        return Response(subnet_answer(record, request), status=201 if created else 200)

    @extend_schema(
        parameters=[*CALLER_PARAMETERS, OpenApiParameter("vnet", str, description="The vnet")], responses={204: None}
    )
    def delete(self, request, namespace, subnet):
        """Delete the subnet with its gateways; 204 even if it does not exist.

        409 while guests hold addresses in it, or if several zones have it and none is named.
        """
        network = parse_subnet(subnet)
        data = self.data(request, SubnetRemovalSerializer)
        record = self.caller(request, namespace, data).record_of(network)
        if record is not None and data.get("vnet") in (None, record.vnet.name):
            delete_subnet(record, user=request.user)
        return Response(status=204)


class AddressView(HookView):
    """PVE takes, changes or releases one address."""

    name = "PVE Address"
    rights = {
        "GET": ("ipam.view_ipaddress",),
        "PUT": ("ipam.view_prefix", "ipam.add_ipaddress"),
        "PATCH": ("ipam.change_ipaddress",),
        "DELETE": ("ipam.delete_ipaddress",),
    }

    @extend_schema(parameters=[*CALLER_PARAMETERS, ETAG], responses={200: HeldSerializer})
    def get(self, request, namespace, ip):
        """Who holds this address; 404 if nobody of the caller's does."""
        data = self.data(request, CallerSerializer)
        allocation = find_address(self.caller(request, namespace, data), parse_address(ip, "ip"))
        return held_response(already_held(allocation), request)

    @extend_schema(
        parameters=[ETAG], request=AddressHookSerializer, responses={200: HeldSerializer, 201: HeldSerializer}
    )
    def put(self, request, namespace, ip):
        """Hold this address for a guest or as a gateway: 201 if it was free, 200 if it was already held that way."""
        data = self.data(request, AddressHookSerializer)
        guest = GuestSerializer.guest(data, is_gateway=bool(data.get("gateway")))
        held = put_address(
            self.caller(request, namespace, data), parse_address(ip, "ip"), guest, adopt=bool(data.get("adopt"))
        )
        return held_response(held, request)

    @extend_schema(
        parameters=[*PRECONDITION_PARAMETERS, ETAG], request=AddressChangeSerializer, responses={200: HeldSerializer}
    )
    def patch(self, request, namespace, ip):
        """Change hostname, MAC and vmid; omitted, null and empty fields are kept.

        What the body names is the change; `mac` and `vmid` in the query say by whom the address must still be held, and
        so does If-Match: 409 if somebody else holds it.
        """
        query = query_of(request)
        holder = {name: query.pop(name) for name in PreconditionSerializer().fields if name in query}
        data = self.data(request, AddressChangeSerializer, query)
        allocation = patch_address(
            self.caller(request, namespace, data),
            parse_address(ip, "ip"),
            GuestSerializer.guest(data),
            self.precondition(request, validated(PreconditionSerializer(data=holder))),
        )
        return held_response(already_held(allocation), request)

    @extend_schema(parameters=[*CALLER_PARAMETERS, *PRECONDITION_PARAMETERS], responses={204: None})
    def delete(self, request, namespace, ip):
        """Release the address; 204 even if it does not exist, 409 if it is not the caller's.

        `mac`, `vmid` and If-Match say by whom it must still be held: 409 if somebody else holds it.
        """
        data = self.data(request, ReleaseSerializer)
        delete_address(self.caller(request, namespace, data), parse_address(ip, "ip"), self.precondition(request, data))
        return Response(status=204)

    @staticmethod
    def precondition(request, data):
        return PreconditionSerializer.precondition(data, request.headers.get("If-Match"))


class AddressesView(HookView):
    """PVE looks up the addresses of a guest."""

    name = "PVE Addresses"
    rights = {"GET": ("ipam.view_ipaddress",)}

    @extend_schema(
        parameters=[OpenApiParameter("mac", str, required=True), *CALLER_PARAMETERS],
        responses={200: FoundByMACSerializer},
    )
    def get(self, request, namespace):
        """The addresses held by a MAC, with the first of each family listed separately."""
        data = self.data(request, MACQuerySerializer)
        found = find_by_mac(self.caller(request, namespace, data), data["mac"])
        answers = [allocation_answer(allocation, request) for allocation in found]

        def first(version):
            addresses = (allocation.ip_address for allocation in found)
            return next((address.host for address in addresses if address.ip_version == version), None)

        return Response({"ip4": first(4), "ip6": first(6), "results": answers})
