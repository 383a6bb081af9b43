"""JSON of a request -> the services' dataclasses. May import fields.py, services, search and models."""

import copy
import hashlib
import json
from typing import Any

from django.utils.http import parse_etags
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.extras.models import CustomField, Role, Status, Tag
from nautobot.ipam.choices import IPAddressTypeChoices
from nautobot.ipam.models import IPAddress, Namespace, Prefix
from nautobot.ipam.validators import DNSValidator
from nautobot.tenancy.models import Tenant
from rest_framework import serializers

from nautobot_pve_ipam.api.fields import (
    AddressField,
    IntervalsField,
    IPAddressRelatedField,
    LineField,
    MACField,
    WholeNumberField,
)
from nautobot_pve_ipam.choices import ZoneTypeChoices
from nautobot_pve_ipam.core_internals import declared_fields
from nautobot_pve_ipam.errors import InvalidRequest, quoted
from nautobot_pve_ipam.models import VMID_MAX, VMID_MIN, VNET_TAG_MAX, sdn_id_validator
from nautobot_pve_ipam.search.intervals import Interval, to_text
from nautobot_pve_ipam.search.search import Search, build_search, check_family
from nautobot_pve_ipam.services.addresses import Precondition
from nautobot_pve_ipam.services.allocation import Guest, Wanted
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.subnets import SubnetFacts
from nautobot_pve_ipam.services.values import told_name

#: The fields that define the search.
SEARCH_FIELDS = ("range_start", "range_end", "ranges", "offset", "exclude")
#: Of a field that may be left out; null is the same as leaving it out, unless the serializer says that it clears.
OPTIONAL: dict[str, Any] = {"required": False, "allow_null": True}
#: Parameters of a query that Nautobot's own API takes everywhere.
NAUTOBOTS_OWN = frozenset({"api_version", "depth", "exclude_m2m", "format", "include"})


def query_of(request) -> dict[str, Any]:
    """The fields in the query of a request. Of a repeated one the last wins, as usual in Django."""
    return {name: value for name, value in request.query_params.items() if name not in NAUTOBOTS_OWN}


class RequestSerializer(serializers.Serializer):
    """Base of everything that our endpoints read: a field that is not declared is refused, and "" means null.

    Tools such as Terraform and Ansible send both for what their user left out.
    """

    def get_fields(self):
        # Most requests use three of twenty fields: copying the others costs more than this check.
        named = getattr(self, "initial_data", None)
        if not isinstance(named, dict):
            return super().get_fields()
        declared = declared_fields(type(self)).items()
        return {name: copy.deepcopy(field) for name, field in declared if field.required or name in named}

    def to_internal_value(self, data):
        if isinstance(data, dict):
            # A mistyped range_start must not result in an address from anywhere, or a mistyped gateway in none.
            if unknown := set(data) - set(declared_fields(type(self))):
                name = min(unknown)
                raise serializers.ValidationError({name: [f"{quoted(name)} is not a field of this request"]})
            data = {name: None if value == "" else value for name, value in data.items()}
        return super().to_internal_value(data)


def validated(serializer: serializers.BaseSerializer) -> Any:
    """What a serializer makes of its data. Raises ValidationError of REST framework."""
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def caller_of(user: Any, namespace: Namespace, data: dict[str, Any]) -> Caller:
    """On whose behalf a request with this validated data acts."""
    return Caller(user, namespace, data.get("cluster") or None, data.get("zone") or None)


class BoundsSerializer(RequestSerializer):
    """One inclusive range."""

    start = AddressField()
    end = AddressField()


class SearchSerializer(RequestSerializer):
    """Where to search; in the query or the body."""

    range_start = AddressField(**OPTIONAL, help_text="First address to consider")
    range_end = AddressField(**OPTIONAL, help_text="Last address to consider, inclusive")
    ranges = serializers.ListSerializer(
        child=BoundsSerializer(), **OPTIONAL, help_text="Several ranges, searched in this order"
    )
    offset = WholeNumberField(**OPTIONAL, minimum=0, help_text="Free addresses to skip first")
    exclude = IntervalsField(**OPTIONAL, help_text="Addresses, CIDRs and a-b ranges to leave out")


class GuestSerializer(RequestSerializer):
    """Who holds the address."""

    mac = MACField(**OPTIONAL, help_text="MAC address; stored as BC:24:11:00:00:01")
    vmid = WholeNumberField(**OPTIONAL, minimum=VMID_MIN, maximum=VMID_MAX)
    hostname = LineField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH)

    @staticmethod
    def guest(data, *, is_gateway=False):
        """The guest described by validated `data`."""
        return Guest(
            mac=data.get("mac"),
            vmid=data.get("vmid"),
            hostname=told_name(data.get("hostname")),
            is_gateway=is_gateway,
        )


class OurFieldsSerializer(GuestSerializer, SearchSerializer):
    """A request for one address, as far as core knows nothing of it: where, for whom, and on whose behalf."""

    cluster = LineField(**OPTIONAL, help_text="PVE cluster making the request")
    zone = LineField(**OPTIONAL, help_text="SDN zone of the guest")


class AddressRequestSerializer(OurFieldsSerializer):
    """A request for one address: ours, and the core IP address's own fields."""

    status = IPAddressRelatedField(view_name="extras-api:status-detail", queryset=Status.objects.all(), **OPTIONAL)
    type = serializers.ChoiceField(choices=IPAddressTypeChoices, **OPTIONAL)
    role = IPAddressRelatedField(view_name="extras-api:role-detail", queryset=Role.objects.all(), **OPTIONAL)
    tenant = IPAddressRelatedField(view_name="tenancy-api:tenant-detail", queryset=Tenant.objects.all(), **OPTIONAL)
    nat_inside = IPAddressRelatedField(
        view_name="ipam-api:ipaddress-detail", queryset=IPAddress.objects.all(), **OPTIONAL
    )
    dns_name = serializers.CharField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH, validators=[DNSValidator])
    description = serializers.CharField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH)
    tags = serializers.ManyRelatedField(
        child_relation=IPAddressRelatedField(view_name="extras-api:tag-detail", queryset=Tag.objects.all()), **OPTIONAL
    )
    custom_fields = serializers.DictField(**OPTIONAL)

    CORE_FIELDS = ("status", "type", "role", "tenant", "nat_inside", "dns_name", "description", "tags")

    @classmethod
    def wanted(cls, data):
        """The address requested by validated `data`."""
        attributes = {name: data[name] for name in cls.CORE_FIELDS if data.get(name) is not None}
        if data.get("custom_fields"):
            # Ignore custom fields that IP addresses do not have, as core does.
            keys = CustomField.objects.keys_for_model(IPAddress)
            attributes["custom_fields"] = {k: v for k, v in data["custom_fields"].items() if k in keys}
        return Wanted(cls.guest(data), attributes)


def idempotency_key(request) -> str | None:
    """The header Idempotency-Key. Raises InvalidRequest."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= CHARFIELD_MAX_LENGTH:
        raise InvalidRequest(
            f"Idempotency-Key has {len(key)} characters, 1 to {CHARFIELD_MAX_LENGTH} are allowed",
            field="Idempotency-Key",
        )
    return key


def digest(request) -> str:
    """A digest of path, query and body, which identifies a request."""
    text = json.dumps([request.path, sorted(request.query_params.lists()), request.data], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


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


def search_of(prefix: Prefix, data: dict[str, Any], within: Interval | None = None, *, by_core: bool = False) -> Search:
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
        by_core=by_core,
    )


class CallerSerializer(RequestSerializer):
    """The caller; in the query or the body of every hook."""

    cluster = LineField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH)
    zone = serializers.CharField(**OPTIONAL, validators=[sdn_id_validator])


class SubnetRequestSerializer(CallerSerializer):
    """What PVE says about a subnet. Omitted fields are kept; null clears those in CLEARED_BY_NULL."""

    zone = serializers.CharField(validators=[sdn_id_validator])
    vnet = serializers.CharField(validators=[sdn_id_validator])
    zone_type = serializers.ChoiceField(choices=ZoneTypeChoices, **OPTIONAL)
    zone_dhcp = LineField(**OPTIONAL, max_length=20, help_text="The zone's DHCP backend")
    vnet_alias = LineField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH)
    vnet_tag = WholeNumberField(**OPTIONAL, minimum=1, maximum=VNET_TAG_MAX, help_text="VLAN ID or VXLAN ID")
    gateway = AddressField(**OPTIONAL)
    dhcp_ranges = serializers.ListSerializer(child=BoundsSerializer(), **OPTIONAL)
    snat = serializers.BooleanField(**OPTIONAL)
    dns_zone_prefix = LineField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH)
    adopt = serializers.BooleanField(**OPTIONAL, help_text="Take over a prefix and ranges that PVE did not create")

    #: And to what; the other fields of a subnet always have a value.
    CLEARED_BY_NULL: dict[str, Any] = {
        "zone_dhcp": "",
        "vnet_alias": "",
        "vnet_tag": None,
        "gateway": None,
        "dhcp_ranges": [],
        "dns_zone_prefix": "",
    }


class SubnetRemovalSerializer(CallerSerializer):
    """Which record of a subnet to delete."""

    vnet = serializers.CharField(**OPTIONAL, validators=[sdn_id_validator])


class AddressHookSerializer(CallerSerializer, GuestSerializer):
    """For whom an address is held."""

    gateway = serializers.BooleanField(**OPTIONAL)
    adopt = serializers.BooleanField(**OPTIONAL, help_text="Take over an address that PVE did not create")


class AddressChangeSerializer(CallerSerializer, GuestSerializer):
    """What has changed about the holder of an address."""


class SyncRequestSerializer(RequestSerializer):
    """What a cluster says, and what to do about it."""

    snapshot = serializers.DictField(help_text="As described by the JSON Schema in the documentation")
    cluster = LineField(**OPTIONAL, max_length=CHARFIELD_MAX_LENGTH, help_text="Which PVE cluster says so")
    dry_run = serializers.BooleanField(**OPTIONAL, help_text="Only say what is to do; this is the default")
    zones = serializers.ListField(
        child=serializers.CharField(validators=[sdn_id_validator]),
        **OPTIONAL,
        help_text="Zones that take part although their IPAM entry does not name the namespace",
    )
    adopt = serializers.BooleanField(**OPTIONAL, help_text="Take over what PVE did not create")
    prune = serializers.BooleanField(**OPTIONAL, help_text="Release what has been gone for long enough")


class PreconditionSerializer(RequestSerializer):
    """By whom an address must still be held to be changed or released."""

    mac = MACField(**OPTIONAL)
    vmid = WholeNumberField(**OPTIONAL, minimum=VMID_MIN, maximum=VMID_MAX)

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
    cleared = SubnetRequestSerializer.CLEARED_BY_NULL
    said: dict[str, Any] = {
        name: cleared[name] if value is None else value
        for name, value in data.items()
        if value is not None or name in cleared
    }
    if "dhcp_ranges" in said:
        for address in (item[end] for item in said["dhcp_ranges"] for end in ("start", "end")):
            check_family("dhcp_ranges", address, network)
        said["dhcp_ranges"] = [(int(item["start"]), int(item["end"])) for item in said["dhcp_ranges"]]
    return SubnetFacts(**said)
