"""Objects and errors -> JSON: builds the responses. May import requests.py, services, search and models."""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from nautobot.ipam.models import Prefix
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from nautobot_pve_ipam.api.requests import BoundsSerializer
from nautobot_pve_ipam.errors import (
    DATABASE_OUT_OF_REACH,
    REDIS_OUT_OF_REACH,
    Conflict,
    Forbidden,
    InvalidRequest,
    Missing,
    PVEIPAMError,
    Unavailable,
    first_sentence,
    rejection,
)
from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.search.intervals import to_text
from nautobot_pve_ipam.services.allocation import Held

logger = logging.getLogger(__name__)

ETAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="Names the holder: stays the same however the allocation is changed, and is never given to another",
)


class ParentSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    url = serializers.URLField()
    prefix = serializers.CharField()


class HeldSerializer(serializers.Serializer):
    """An address that is held: Nautobot's IP address and PVE's allocation combined in one object."""

    id = serializers.UUIDField(help_text="ID of the core IP address")
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
    """The object described by `HeldSerializer`; built by hand because it is faster, and PVE is waiting."""
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


def already_held(allocation: Allocation) -> Held:
    return Held(allocation.ip_address, allocation, created=False)


def allocation_answer(allocation: Allocation, request) -> dict:
    """The object described by `HeldSerializer`, for an address that was already held."""
    return held_answer(already_held(allocation), request)


def etag_of(allocation: Allocation | None) -> dict[str, str]:
    """The header ETag: it names the holder, so it outlives changes, but not the next guest's allocation."""
    return {"ETag": f'"{allocation.pk}"'} if allocation else {}


def held_response(held: Held, request) -> Response:
    """One address that is held: 201 if it is new."""
    return Response(held_answer(held, request), status=201 if held.created else 200, headers=etag_of(held.allocation))


def free_address_answer(prefix: Prefix, host: int) -> dict:
    """The object described by `FreeAddressSerializer`."""
    return {"address": f"{to_text(host, prefix.ip_version)}/{prefix.prefix_length}", "ip_version": prefix.ip_version}


class SubnetSerializer(serializers.Serializer):
    """A subnet as known to PVE."""

    id = serializers.UUIDField()
    url = serializers.URLField()
    subnet = serializers.CharField(help_text="As in our URLs, such as 10.0.0.0-24")
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


class NamespaceStatusSerializer(serializers.Serializer):
    namespace = serializers.CharField()
    nautobot_version = serializers.CharField()
    app_version = serializers.CharField()
    ready = serializers.BooleanField()
    missing = serializers.ListField(child=serializers.CharField(), help_text="Permissions the token lacks")
    problems = serializers.ListField(
        child=serializers.CharField(), help_text="Settings and custom fields that keep Nautobot from serving PVE"
    )
    detail = serializers.CharField()
    warning = serializers.CharField(
        allow_null=True, help_text="What to do if the cluster was renamed, or has no zone in this namespace yet"
    )


class FoundByMACSerializer(serializers.Serializer):
    ip4 = serializers.CharField(allow_null=True)
    ip6 = serializers.CharField(allow_null=True)
    results = HeldSerializer(many=True)


def subnet_answer(record, request) -> dict:
    """The object described by `SubnetSerializer`."""
    zone = record.vnet.zone
    visible_ranges = record.dhcp_ranges.restrict(request.user, "view").order_by("start_host")
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
        "dhcp_ranges": [{"start": found.start_host, "end": found.end_host} for found in visible_ranges],
        "snat": record.snat,
        "dns_zone_prefix": record.dns_zone_prefix,
        "adopted": record.adopted,
    }


def as_error(exc):
    """Any exception as one of ours, with field errors in DRF's format; (None, {}) for a bug."""
    return next((translate(exc) for types, translate in TRANSLATIONS if isinstance(exc, types)), (None, {}))


def _from_django_validation(exc):
    fields = {k: v for k, v in exc.message_dict.items() if k != "__all__"} if hasattr(exc, "error_dict") else {}
    # The value is a good one, but somebody else has it.
    is_taken = any(error.code in ("unique", "unique_together") for error in _errors(exc))
    return (Conflict if is_taken else InvalidRequest)(rejection(exc)), fields


def _errors(exc):
    """The single errors that a ValidationError of Django consists of."""
    return (
        [error for errors in exc.error_dict.values() for error in errors]
        if hasattr(exc, "error_dict")
        else exc.error_list
    )


def _from_authentication(exc):
    error = Forbidden(str(exc.detail))
    error.code = exc.default_code
    return error, {}


def _from_integrity(exc):
    logger.warning("refused by the database at the end of a request: %s", exc)
    return Conflict("something this request depends on was changed or deleted concurrently, try again"), {}


def _from_api_exception(exc):
    error = InvalidRequest(str(exc.detail))
    error.status = exc.status_code
    error.code = error.code if exc.status_code == InvalidRequest.status else exc.default_code
    return error, {}


#: How to translate exceptions into ours, most specific first.
TRANSLATIONS: tuple[tuple[Any, Callable[[Any], tuple[PVEIPAMError, Any]]], ...] = (
    (PVEIPAMError, lambda exc: (exc, {exc.field: [exc.sentence]} if exc.field else {})),
    (
        exceptions.ValidationError,
        lambda exc: (InvalidRequest(first_sentence(exc.detail)), exc.detail if isinstance(exc.detail, dict) else {}),
    ),
    (DjangoValidationError, _from_django_validation),
    ((Http404, exceptions.NotFound), lambda exc: (Missing(str(exc) or "not found"), {})),
    ((exceptions.NotAuthenticated, exceptions.AuthenticationFailed), _from_authentication),
    ((exceptions.PermissionDenied, DjangoPermissionDenied), lambda exc: (Forbidden(str(exc) or "not permitted"), {})),
    (ProtectedError, lambda exc: (Conflict("something else still uses what is to be deleted"), {})),
    (IntegrityError, _from_integrity),
    (exceptions.APIException, _from_api_exception),
    (
        DATABASE_OUT_OF_REACH,
        lambda exc: (Unavailable("the database is out of reach or busy, try again"), {}),
    ),
    (
        (*REDIS_OUT_OF_REACH, TimeoutError),
        lambda exc: (Unavailable("Redis is out of reach or a lock was not free, try again"), {}),
    ),
)
