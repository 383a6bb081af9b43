"""JSON of a request -> the services' dataclasses. May import fields.py, services, search and models."""

import copy
from typing import Any

from django.utils.http import parse_etags
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.extras.models import CustomField, Role, Status, Tag
from nautobot.ipam.choices import IPAddressTypeChoices
from nautobot.ipam.models import IPAddress, Prefix
from nautobot.ipam.validators import DNSValidator
from nautobot.tenancy.models import Tenant
from rest_framework import serializers

from nautobot_pve_ipam.api.fields import AddressField, IntervalsField, IPAddressRelatedField, MACField, WholeNumberField
from nautobot_pve_ipam.choices import ZoneTypeChoices
from nautobot_pve_ipam.core_internals import declared_fields
from nautobot_pve_ipam.errors import InvalidRequest, quoted
from nautobot_pve_ipam.models import VMID_MAX, VMID_MIN, VNET_TAG_MAX, sdn_id_validator
from nautobot_pve_ipam.search.intervals import Interval, to_text
from nautobot_pve_ipam.search.search import Search, build_search
from nautobot_pve_ipam.services.addresses import Precondition
from nautobot_pve_ipam.services.allocation import Guest, Wanted
from nautobot_pve_ipam.services.subnets import UNCHANGED, SubnetFacts
from nautobot_pve_ipam.services.values import told_name

#: The fields that define the search.
SEARCH_FIELDS = ("range_start", "range_end", "ranges", "offset", "exclude")


class BoundsSerializer(serializers.Serializer):
    """One inclusive range to search."""

    start = AddressField()
    end = AddressField()


class SearchSerializer(serializers.Serializer):
    """Where to search; in the query or the body."""

    range_start = AddressField(required=False, allow_null=True, help_text="First address to consider")
    range_end = AddressField(required=False, allow_null=True, help_text="Last address to consider, inclusive")
    ranges = BoundsSerializer(many=True, required=False, help_text="Several ranges, searched in this order")
    offset = WholeNumberField(required=False, minimum=0, help_text="Free addresses to skip first")
    exclude = IntervalsField(required=False, help_text="Addresses, CIDRs and a-b ranges to leave out")

    #: Names allowed in addition to the fields.
    ALSO: frozenset[str] = frozenset()

    def get_fields(self):
        # All fields are optional and most requests use three of twenty: copying the others costs more than this check.
        named = getattr(self, "initial_data", None)
        if not isinstance(named, dict):
            return super().get_fields()
        return {name: copy.deepcopy(field) for name, field in declared_fields(type(self)).items() if name in named}

    def to_internal_value(self, data):
        # Reject unknown fields: a mistyped range_start must not result in an address from anywhere.
        if isinstance(data, dict) and (unknown := set(data) - set(declared_fields(type(self))) - self.ALSO):
            name = min(unknown)
            raise serializers.ValidationError({name: [f"{quoted(name)} is not a field of this request"]})
        return super().to_internal_value(data)


class GuestSerializer(serializers.Serializer):
    """Who holds the address."""

    mac = MACField(required=False, allow_null=True, help_text="MAC address; stored as BC:24:11:00:00:01")
    vmid = WholeNumberField(required=False, allow_null=True, minimum=VMID_MIN, maximum=VMID_MAX)
    hostname = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH)

    @staticmethod
    def guest(data, *, is_gateway=False):
        """The guest described by validated `data`."""
        return Guest(
            mac=data.get("mac"),
            vmid=data.get("vmid"),
            hostname=told_name(data.get("hostname")),
            is_gateway=is_gateway,
        )


class AddressRequestSerializer(GuestSerializer, SearchSerializer):
    """A request for one address: where, for whom, and the core IP address's own fields."""

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
    cluster = serializers.CharField(required=False, allow_null=True, help_text="PVE cluster making the request")
    zone = serializers.CharField(required=False, allow_null=True, help_text="SDN zone of the guest")

    CORE_FIELDS = ("status", "type", "role", "tenant", "nat_inside", "dns_name", "description", "tags")

    @classmethod
    def wanted(cls, data):
        """The address requested by validated `data`."""
        attributes = {name: data[name] for name in cls.CORE_FIELDS if data.get(name) not in (None, "")}
        if "custom_fields" in data:
            # Ignore custom fields that IP addresses do not have, as core does.
            keys = CustomField.objects.keys_for_model(IPAddress)
            attributes["custom_fields"] = {k: v for k, v in data["custom_fields"].items() if k in keys}
        return Wanted(cls.guest(data), attributes)


def one_search(query: dict, bodies: list[dict]) -> dict:
    """Merge the search fields of the query and all bodies; they may repeat but not contradict each other.

    Both are validated data. Raises InvalidRequest naming the field and both values.
    """
    merged = {}
    for name in (*SEARCH_FIELDS, "cluster", "zone"):
        values = [data[name] for data in (*bodies, query) if data.get(name) is not None]
        if not values:
            continue
        if other := next((value for value in values if value != values[0]), None):
            raise InvalidRequest(f"{name} is given twice: {spelled(values[0])} and {spelled(other)}", field=name)
        merged[name] = values[0]
    return merged


def spelled(value) -> str:
    """A validated search field in human-readable form."""
    if isinstance(value, list):
        return quoted(", ".join(spelled(part) for part in value))
    if isinstance(value, dict):
        return f"{value['start']}-{value['end']}"
    if isinstance(value, tuple):
        version, first, last = value
        return f"{to_text(first, version)}-{to_text(last, version)}" if first < last else to_text(first, version)
    return quoted(value)


def search_of(prefix: Prefix, data: dict[str, Any], within: Interval | None = None) -> Search:
    """The search in `prefix` requested by validated `data`. Raises InvalidRequest as `build_search` does."""
    ranges = data.get("ranges")
    return build_search(
        prefix,
        range_start=data.get("range_start"),
        range_end=data.get("range_end"),
        ranges=None if ranges is None else [(item["start"], item["end"]) for item in ranges],
        offset=data.get("offset") or 0,
        exclude=data.get("exclude") or (),
        within=within,
    )


class CallerSerializer(serializers.Serializer):
    """The caller; in the query or the body of every hook."""

    cluster = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH)
    zone = serializers.CharField(required=False, allow_null=True, allow_blank=True, validators=[sdn_id_validator])


class SubnetRequestSerializer(CallerSerializer):
    """What PVE says about a subnet. Omitted fields are kept; null or an empty list clears a field."""

    zone = serializers.CharField(validators=[sdn_id_validator])
    vnet = serializers.CharField(validators=[sdn_id_validator])
    zone_type = serializers.ChoiceField(choices=ZoneTypeChoices, required=False)
    zone_dhcp = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=20, help_text="The zone's DHCP backend"
    )
    vnet_alias = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH
    )
    vnet_tag = WholeNumberField(
        required=False, allow_null=True, minimum=1, maximum=VNET_TAG_MAX, help_text="VLAN ID or VXLAN ID"
    )
    gateway = AddressField(required=False, allow_null=True)
    dhcp_ranges = BoundsSerializer(many=True, required=False, allow_null=True)
    snat = serializers.BooleanField(required=False)
    dns_zone_prefix = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH
    )
    adopt = serializers.BooleanField(required=False, help_text="Take over a prefix and ranges that PVE did not create")


class AddressHookSerializer(CallerSerializer, GuestSerializer):
    """For whom an address is held."""

    gateway = serializers.BooleanField(required=False)
    adopt = serializers.BooleanField(required=False, help_text="Take over an address that PVE did not create")


class PreconditionSerializer(serializers.Serializer):
    """By whom an address must still be held to be changed or released."""

    mac = MACField(required=False, allow_null=True)
    vmid = WholeNumberField(required=False, allow_null=True, minimum=VMID_MIN, maximum=VMID_MAX)

    @staticmethod
    def precondition(data, if_match):
        """The precondition in validated `data` and the header If-Match, if there is one."""
        return Precondition(data.get("mac"), data.get("vmid"), allocation_ids(if_match))


class ReleaseSerializer(CallerSerializer, PreconditionSerializer):
    """On whose behalf an address is released, and by whom it must still be held."""


class MACQuerySerializer(CallerSerializer):
    mac = MACField()


def allocation_ids(if_match: str | None) -> list[str] | None:
    """The allocations whose ETags the header If-Match names; None for any.

    A weak ETag counts as well: proxies that compress make ours weak, but it names the holder, not the bytes.
    """
    if if_match is None or (tags := parse_etags(if_match)) == ["*"]:
        return None
    if not tags:
        raise InvalidRequest(f"If-Match {quoted(if_match)} is not a list of ETags", field="If-Match")
    return [tag.removeprefix("W/").strip('"') for tag in tags]


def facts_of(network, data) -> SubnetFacts:
    """The facts in validated `data` of a subnet's PUT. Raises InvalidRequest for ranges of the other family."""
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
        zone_dhcp=data.get("zone_dhcp", UNCHANGED) or "",
        vnet_alias=data.get("vnet_alias", UNCHANGED) or "",
        vnet_tag=data.get("vnet_tag", UNCHANGED),
        gateway=data.get("gateway", UNCHANGED),
        dhcp_ranges=ranges,
        snat=data.get("snat", UNCHANGED),
        dns_zone_prefix=data.get("dns_zone_prefix", UNCHANGED) or "",
        adopt=data.get("adopt", False),
    )
