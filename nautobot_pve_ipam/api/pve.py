"""The PVE hooks: one call each, all idempotent, everything found by namespace and value."""

import nautobot
import netaddr
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.users.models import Token
from rest_framework import serializers
from rest_framework.response import Response

import nautobot_pve_ipam
from nautobot_pve_ipam import hooks, lookups, subnets
from nautobot_pve_ipam.allocation import Held
from nautobot_pve_ipam.api.base import PVEIPAMView
from nautobot_pve_ipam.api.fields import AddressField, MACField
from nautobot_pve_ipam.api.requests import BoundsSerializer, GuestSerializer, HeldSerializer, held_answer
from nautobot_pve_ipam.choices import ZoneTypeChoices
from nautobot_pve_ipam.errors import InvalidRequest, Missing
from nautobot_pve_ipam.models import sdn_id_validator
from nautobot_pve_ipam.rights import missing_hook_rights
from nautobot_pve_ipam.subnets import UNCHANGED, SubnetFacts

CALLER_PARAMETERS = [
    OpenApiParameter("cluster", str, description="The PVE cluster that asks, where several share the namespace"),
    OpenApiParameter("zone", str, description="The SDN zone concerned"),
]


class CallerSerializer(serializers.Serializer):
    """Who asks; in the query or the body of every hook."""

    cluster = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH)
    zone = serializers.CharField(required=False, allow_null=True, allow_blank=True, validators=[sdn_id_validator])


class SubnetRequestSerializer(CallerSerializer):
    """What PVE says of a subnet. What is left out stays as it is; null or an empty list clears it."""

    zone = serializers.CharField(validators=[sdn_id_validator])
    vnet = serializers.CharField(validators=[sdn_id_validator])
    zone_type = serializers.ChoiceField(choices=ZoneTypeChoices, required=False)
    gateway = AddressField(required=False, allow_null=True)
    dhcp_ranges = BoundsSerializer(many=True, required=False, allow_null=True)
    snat = serializers.BooleanField(required=False)
    dns_zone_prefix = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH
    )
    adopt = serializers.BooleanField(required=False, help_text="Take over a prefix and ranges made by other hands")


class SubnetSerializer(serializers.Serializer):
    """A subnet as PVE knows it."""

    id = serializers.UUIDField()
    url = serializers.URLField()
    subnet = serializers.CharField(help_text="10.0.0.0-24")
    prefix = serializers.CharField()
    namespace = serializers.CharField()
    cluster = serializers.CharField(allow_null=True)
    zone = serializers.CharField()
    vnet = serializers.CharField()
    gateway = serializers.CharField(allow_null=True)
    dhcp_ranges = BoundsSerializer(many=True)
    snat = serializers.BooleanField()
    dns_zone_prefix = serializers.CharField()
    adopted = serializers.BooleanField()


class AddressHookSerializer(CallerSerializer, GuestSerializer):
    """For whom an address is held."""

    vnet = serializers.CharField(required=False, allow_null=True, allow_blank=True)
    gateway = serializers.BooleanField(required=False)
    adopt = serializers.BooleanField(required=False, help_text="Take over an address made by other hands")


class MACQuerySerializer(CallerSerializer):
    mac = MACField()


class NamespaceStatusSerializer(serializers.Serializer):
    namespace = serializers.CharField()
    nautobot_version = serializers.CharField()
    app_version = serializers.CharField()
    ready = serializers.BooleanField()
    missing = serializers.ListField(child=serializers.CharField(), help_text="Permissions the token lacks")
    detail = serializers.CharField()


class FoundByMACSerializer(serializers.Serializer):
    ip4 = serializers.CharField(allow_null=True)
    ip6 = serializers.CharField(allow_null=True)
    results = HeldSerializer(many=True)


class HookView(PVEIPAMView):
    """Base of the hooks: parses who asks."""

    def data(self, request, serializer_class):
        """Query and body as one, validated; the body wins."""
        body = request.data if request.method not in ("GET", "DELETE") or request.data else {}
        if not isinstance(body, dict):
            raise InvalidRequest("body: one JSON object is expected, not a list", field="body")
        serializer = serializer_class(data={**request.query_params.dict(), **body})
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def caller(self, request, namespace, data):
        return hooks.Caller(
            lookups.visible_namespace(request.user, namespace),
            request.user,
            data.get("cluster") or None,
            data.get("zone") or None,
        )

    @staticmethod
    def address(text):
        try:
            return netaddr.IPAddress(text)
        except (netaddr.AddrFormatError, ValueError) as error:
            raise InvalidRequest(f"ip '{text}' is not an IP address", field="ip") from error


class NamespaceView(HookView):
    """PVE saves its IPAM entry: is this namespace there, and may the token do what the hooks need?"""

    name = "PVE IPAM"
    rights = {"GET": ()}

    @extend_schema(responses={200: NamespaceStatusSerializer})
    def get(self, request, namespace):
        found = lookups.visible_namespace(request.user, namespace)
        missing = missing_hook_rights(request.user)
        if isinstance(request.auth, Token) and not request.auth.write_enabled:
            missing.append("write access of the token")
        detail = f"namespace {found} is ready" if not missing else f"the token lacks {', '.join(missing)}"
        return Response(
            {
                "namespace": found.name,
                "nautobot_version": nautobot.__version__,
                "app_version": nautobot_pve_ipam.__version__,
                "ready": not missing,
                "missing": missing,
                "detail": detail,
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
        """Create the subnet (201) or bring it up to date (200)."""
        network = lookups.parse_subnet(subnet)
        data = self.data(request, SubnetRequestSerializer)
        record, created = subnets.put_subnet(
            lookups.visible_namespace(request.user, namespace), network, facts_of(network, data), user=request.user
        )
        return Response(subnet_answer(record, request), status=201 if created else 200)

    @extend_schema(parameters=CALLER_PARAMETERS, responses={204: None})
    def delete(self, request, namespace, subnet):
        """Delete the subnet with its gateways; 204 also when it is gone, 409 while guests hold addresses of it."""
        data = self.data(request, CallerSerializer)
        try:
            prefix = lookups.visible_subnet_prefix(request.user, namespace, subnet)
            record = lookups.find_subnet(prefix, lookups.find_cluster(data.get("cluster")), data.get("zone"))
        except Missing:
            lookups.visible_namespace(request.user, namespace)
            record = None
        if record is not None:
            subnets.delete_subnet(record, user=request.user)
        return Response(status=204)


class AddressView(HookView):
    """PVE takes, changes or releases one address."""

    name = "PVE Address"
    rights = {
        "PUT": ("ipam.view_prefix", "ipam.add_ipaddress"),
        "PATCH": ("ipam.change_ipaddress",),
        "DELETE": ("ipam.delete_ipaddress",),
    }

    @extend_schema(request=AddressHookSerializer, responses={200: HeldSerializer, 201: HeldSerializer})
    def put(self, request, namespace, ip):
        """Hold this address for a guest or as a gateway: 201 when it was free, 200 when it was so already."""
        data = self.data(request, AddressHookSerializer)
        guest = GuestSerializer.guest(data, is_gateway=bool(data.get("gateway")))
        held = hooks.put_address(
            self.caller(request, namespace, data), self.address(ip), guest, adopt=bool(data.get("adopt"))
        )
        return Response(held_answer(held, request), status=201 if held.created else 200)

    @extend_schema(request=AddressHookSerializer, responses={200: HeldSerializer})
    def patch(self, request, namespace, ip):
        """Change hostname, MAC and vmid; what is left out or null stays."""
        data = self.data(request, AddressHookSerializer)
        held = hooks.patch_address(self.caller(request, namespace, data), self.address(ip), GuestSerializer.guest(data))
        return Response(held_answer(Held(held.ip_address, held, created=False), request))

    @extend_schema(parameters=CALLER_PARAMETERS, responses={204: None})
    def delete(self, request, namespace, ip):
        """Release the address; 204 also when it is gone, 409 when it is not the caller's."""
        data = self.data(request, CallerSerializer)
        hooks.delete_address(self.caller(request, namespace, data), self.address(ip))
        return Response(status=204)


class AddressesView(HookView):
    """PVE looks a guest's addresses up."""

    name = "PVE Addresses"
    rights = {"GET": ("ipam.view_ipaddress",)}

    @extend_schema(
        parameters=[OpenApiParameter("mac", str, required=True), *CALLER_PARAMETERS],
        responses={200: FoundByMACSerializer},
    )
    def get(self, request, namespace):
        """The addresses that a MAC holds, the first of each family apart."""
        data = self.data(request, MACQuerySerializer)
        found = hooks.find_by_mac(self.caller(request, namespace, data), data["mac"])
        answers = [held_answer(Held(held.ip_address, held, created=False), request) for held in found]

        def first(version):
            return next((held.ip_address.host for held in found if held.ip_address.ip_version == version), None)

        return Response({"ip4": first(4), "ip6": first(6), "results": answers})


def facts_of(network, data) -> SubnetFacts:
    """The facts that validated `data` of a subnet's PUT states. Raises InvalidRequest for the other family's ranges."""
    ranges = data.get("dhcp_ranges", UNCHANGED)
    if ranges is not UNCHANGED:
        for item in ranges or []:
            for address in (item["start"], item["end"]):
                if address.version != network.version:
                    raise InvalidRequest(
                        f"dhcp_ranges {address} is IPv{address.version}, {network.cidr} is IPv{network.version}",
                        field="dhcp_ranges",
                    )
        ranges = [(int(item["start"]), int(item["end"])) for item in ranges or []]
    return SubnetFacts(
        zone=data["zone"],
        vnet=data["vnet"],
        cluster=data.get("cluster") or None,
        zone_type=data.get("zone_type", UNCHANGED),
        gateway=data.get("gateway", UNCHANGED),
        dhcp_ranges=ranges,
        snat=data.get("snat", UNCHANGED),
        dns_zone_prefix=data.get("dns_zone_prefix", UNCHANGED),
        adopt=data.get("adopt", False),
    )


def subnet_answer(record, request) -> dict:
    """`SubnetSerializer`'s object."""
    zone = record.vnet.zone
    return {
        "id": str(record.pk),
        "url": request.build_absolute_uri(
            reverse("plugins-api:nautobot_pve_ipam-api:sdnsubnet-detail", kwargs={"pk": record.pk})
        ),
        "subnet": record.pve_id,
        "prefix": str(record.prefix.prefix),
        "namespace": record.prefix.namespace.name,
        "cluster": zone.cluster.name if zone.cluster else None,
        "zone": zone.name,
        "vnet": record.vnet.name,
        "gateway": record.gateway,
        "dhcp_ranges": [
            {"start": found.start_host, "end": found.end_host} for found in record.dhcp_ranges.order_by("start_host")
        ],
        "snat": record.snat,
        "dns_zone_prefix": record.dns_zone_prefix,
        "adopted": record.adopted,
    }
