"""What a request for next free addresses may say, and what it is answered with."""

import copy

import netaddr
from django.urls import reverse
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.extras.models import CustomField, Role, Status, Tag
from nautobot.ipam.choices import IPAddressTypeChoices
from nautobot.ipam.models import IPAddress
from nautobot.ipam.validators import DNSValidator
from nautobot.tenancy.models import Tenant
from rest_framework import serializers

from nautobot_pve_ipam.allocation import Guest, Held, Wanted
from nautobot_pve_ipam.api.fields import (
    AddressField,
    IntervalsField,
    IPAddressRelatedField,
    MACField,
    WholeNumberField,
    shown,
)
from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.models import VMID_MAX, VMID_MIN
from nautobot_pve_ipam.occupancy import Search, span, to_text


class BoundsSerializer(serializers.Serializer):
    """One inclusive range to search."""

    start = AddressField()
    end = AddressField()


class SearchSerializer(serializers.Serializer):
    """Where to look; in the query or the body."""

    range_start = AddressField(required=False, allow_null=True, help_text="First address to consider")
    range_end = AddressField(required=False, allow_null=True, help_text="Last address to consider, inclusive")
    ranges = BoundsSerializer(many=True, required=False, help_text="Several bounds, searched in this order")
    offset = WholeNumberField(required=False, minimum=0, help_text="Free addresses to skip first")
    exclude = IntervalsField(required=False, help_text="Addresses, CIDRs and a-b ranges never to hand out")

    #: Names that may stand beside the fields.
    ALSO = frozenset()

    def get_fields(self):
        # All fields are optional, and most requests name three of twenty: to copy the others costs more than to check.
        named = getattr(self, "initial_data", None)
        if not isinstance(named, dict):
            return super().get_fields()
        return {name: copy.deepcopy(field) for name, field in self._declared_fields.items() if name in named}

    def to_internal_value(self, data):
        # A mistyped range_start must not hand out an address from anywhere.
        if isinstance(data, dict) and (unknown := set(data) - set(self._declared_fields) - self.ALSO):
            name = min(unknown)
            raise serializers.ValidationError({name: [f"{shown(name)} is not a field of this request"]})
        return super().to_internal_value(data)


class GuestSerializer(serializers.Serializer):
    """Who holds the address."""

    mac = MACField(required=False, allow_null=True, help_text="MAC address; stored as BC:24:11:00:00:01")
    vmid = WholeNumberField(required=False, allow_null=True, minimum=VMID_MIN, maximum=VMID_MAX)
    hostname = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH)

    @staticmethod
    def guest(data, *, is_gateway=False):
        """The guest that validated `data` speaks of."""
        return Guest(
            mac=data.get("mac"), vmid=data.get("vmid"), hostname=data.get("hostname") or "", is_gateway=is_gateway
        )


class AddressRequestSerializer(GuestSerializer, SearchSerializer):
    """One address asked for: where, for whom, and the core IP address's own fields."""

    status = IPAddressRelatedField(view_name="extras-api:status-detail", queryset=Status.objects.all(), required=False)
    type = serializers.ChoiceField(choices=IPAddressTypeChoices, required=False)
    role = IPAddressRelatedField(
        view_name="extras-api:role-detail", queryset=Role.objects.all(), required=False, allow_null=True
    )
    tenant = IPAddressRelatedField(
        view_name="tenancy-api:tenant-detail", queryset=Tenant.objects.all(), required=False, allow_null=True
    )
    nat_inside = IPAddressRelatedField(
        view_name="ipam-api:ipaddress-detail", queryset=IPAddress.objects.all(), required=False, allow_null=True
    )
    dns_name = serializers.CharField(
        required=False, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH, validators=[DNSValidator]
    )
    description = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH
    )
    tags = IPAddressRelatedField(
        view_name="extras-api:tag-detail", queryset=Tag.objects.all(), many=True, required=False
    )
    custom_fields = serializers.DictField(required=False)
    cluster = serializers.CharField(required=False, allow_null=True, help_text="PVE cluster that asks")
    zone = serializers.CharField(required=False, allow_null=True, help_text="SDN zone of the guest")

    CORE_FIELDS = ("status", "type", "role", "tenant", "nat_inside", "dns_name", "description", "tags")

    @classmethod
    def wanted(cls, data):
        """The address that validated `data` asks for."""
        attributes = {name: data[name] for name in cls.CORE_FIELDS if data.get(name) not in (None, "")}
        if "custom_fields" in data:
            # Those that IP addresses do not have are passed over, as core does.
            keys = CustomField.objects.keys_for_model(IPAddress)
            attributes["_custom_field_data"] = {k: v for k, v in data["custom_fields"].items() if k in keys}
        return Wanted(cls.guest(data), attributes)


class ParentSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    url = serializers.URLField()
    prefix = serializers.CharField()


class HeldSerializer(serializers.Serializer):
    """An address that is held: what Nautobot's IP address and PVE's allocation say, in one object."""

    id = serializers.UUIDField(help_text="Of the core IP address")
    url = serializers.URLField()
    address = serializers.CharField(help_text="With the subnet's prefix length, such as 10.0.0.100/24")
    ip_version = serializers.IntegerField()
    type = serializers.CharField()
    status = serializers.CharField()
    parent = ParentSerializer()
    namespace = serializers.CharField()
    dns_name = serializers.CharField()
    description = serializers.CharField()
    mac = serializers.CharField(allow_null=True)
    vmid = serializers.IntegerField(allow_null=True)
    hostname = serializers.CharField()
    is_gateway = serializers.BooleanField()
    cluster = serializers.CharField(allow_null=True)
    zone = serializers.CharField(allow_null=True)
    vnet = serializers.CharField(allow_null=True)


class FreeAddressSerializer(serializers.Serializer):
    address = serializers.CharField(help_text="With the subnet's prefix length, such as 10.0.0.100/24")
    ip_version = serializers.IntegerField()


def held_answer(held: Held, request) -> dict:
    """`HeldSerializer`'s object; a plain dictionary, for PVE waits for it."""
    address, allocation = held.address, held.allocation
    parent = address.parent
    subnet = allocation.subnet if allocation else None
    zone = subnet.vnet.zone if subnet else None
    return {
        "id": str(address.pk),
        "url": request.build_absolute_uri(reverse("ipam-api:ipaddress-detail", kwargs={"pk": address.pk})),
        "address": str(address.address),
        "ip_version": address.ip_version,
        "type": address.type,
        "status": address.status.name,
        "parent": {
            "id": str(parent.pk),
            "url": request.build_absolute_uri(reverse("ipam-api:prefix-detail", kwargs={"pk": parent.pk})),
            "prefix": str(parent.prefix),
        },
        "namespace": parent.namespace.name,
        "dns_name": address.dns_name,
        "description": address.description,
        "mac": str(allocation.mac) if allocation and allocation.mac else None,
        "vmid": allocation.vmid if allocation else None,
        "hostname": allocation.hostname if allocation else "",
        "is_gateway": bool(allocation and allocation.is_gateway),
        "cluster": zone.cluster.name if zone and zone.cluster else None,
        "zone": zone.name if zone else None,
        "vnet": subnet.vnet.name if subnet else None,
    }


def one_search(query: dict, bodies: list[dict]) -> dict:
    """The search fields of the query and of all bodies as one; they may repeat each other, not contradict.

    Both are validated data. Raises InvalidRequest naming the field and both values.
    """
    merged = {}
    for name in (*SearchSerializer._declared_fields, "cluster", "zone"):
        values = [data[name] for data in (*bodies, query) if data.get(name) is not None]
        if not values:
            continue
        if other := next((value for value in values if value != values[0]), None):
            raise InvalidRequest(f"{name} is given twice: {spelled(values[0])} and {spelled(other)}", field=name)
        merged[name] = values[0]
    return merged


def spelled(value) -> str:
    """A validated search field as people write it."""
    if isinstance(value, list):
        return shown(", ".join(spelled(part) for part in value))
    if isinstance(value, dict):
        return f"{value['start']}-{value['end']}"
    if isinstance(value, tuple):
        version, first, last = value
        return f"{to_text(first, version)}-{to_text(last, version)}" if first < last else to_text(first, version)
    return shown(value)


def build_search(prefix, data: dict, within=None) -> Search:
    """The search that validated `data` asks for in `prefix`; `within` (an interval) narrows what bounds may name.

    Raises InvalidRequest for bounds reversed, of the other family or outside, and for an offset beyond the prefix.
    """
    first, last = within or span(prefix)
    version = prefix.ip_version

    def inside(name, address):
        if address.version != version:
            raise InvalidRequest(
                f"{name} {address} is IPv{address.version}, {prefix.prefix} is IPv{version}", field=name
            )
        if not first <= int(address) <= last:
            where = f"{to_text(first, version)}-{to_text(last, version)}" if within else str(prefix.prefix)
            raise InvalidRequest(f"{name} {address} is outside {where}", field=name)
        return int(address)

    def bounds(start_name, start, end_name, end):
        low, high = inside(start_name, start), inside(end_name, end)
        if low > high:
            raise InvalidRequest(f"{start_name} {start} is after {end_name} {end}", field=start_name)
        return low, high

    start, end, ranges = data.get("range_start"), data.get("range_end"), data.get("ranges")
    if ranges is not None and (start or end):
        raise InvalidRequest("ranges excludes range_start and range_end: name one or the other", field="ranges")
    if ranges is not None:
        if not ranges:
            raise InvalidRequest("ranges [] is empty: name at least one range or leave it out", field="ranges")
        wanted = [bounds("ranges start", item["start"], "ranges end", item["end"]) for item in ranges]
    elif start or end:
        start = start or netaddr.IPAddress(first, version)
        end = end or netaddr.IPAddress(last, version)
        wanted = [bounds("range_start", start, "range_end", end)]
    else:
        wanted = [within] if within else []
    offset = data.get("offset") or 0
    if offset >= prefix.prefix.size:
        raise InvalidRequest(
            f"offset {shown(offset)} is beyond the {prefix.prefix.size} addresses of {prefix.prefix}", field="offset"
        )
    exclude = sorted((low, high) for of, low, high in data.get("exclude") or () if of == version)
    return Search(prefix, tuple(wanted), tuple(exclude), offset)
