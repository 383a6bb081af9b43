"""Serializer fields of our requests: addresses, MACs, numbers, lines, intervals. Their errors name field and value.

Validation itself is in services/values.py. May import services, search and models.
"""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from nautobot.apps.api import NautobotHyperlinkedRelatedField
from nautobot.ipam.models import IPAddress
from rest_framework import serializers

from nautobot_pve_ipam.errors import InvalidRequest, quoted
from nautobot_pve_ipam.services import values


class ParsedField(serializers.Field):
    """A field parsed by a function of values.py, whose errors begin with the field's name."""

    def parsed(self, parse: Callable[..., Any], value: Any, **limits: Any) -> Any:
        try:
            return parse(value, self.field_name or "value", **limits)
        except InvalidRequest as error:
            raise serializers.ValidationError(error.sentence) from error

    def to_representation(self, value):
        return value


class AddressField(ParsedField):
    """An IPv4 or IPv6 address without a mask, as `netaddr.IPAddress`."""

    def to_internal_value(self, data):
        return self.parsed(values.parse_address, data)

    def to_representation(self, value):
        return str(value)


class MACField(ParsedField):
    """A MAC address in any common notation, as `BC:24:11:00:00:01`."""

    def to_internal_value(self, data):
        return self.parsed(values.parse_mac, data)

    def to_representation(self, value):
        return str(value) if value else None


class WholeNumberField(ParsedField):
    """A whole number from `minimum` to `maximum` (None: unbounded); may be a string, as in a query."""

    def __init__(self, *, minimum: int, maximum: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._minimum, self._maximum = minimum, maximum

    def to_internal_value(self, data):
        return self.parsed(values.parse_whole_number, data, minimum=self._minimum, maximum=self._maximum)


class LineField(ParsedField, serializers.CharField):
    """Text of one line. Control characters are refused even at its ends, where white space is trimmed."""

    def run_validation(self, data=serializers.empty):
        return super().run_validation(self.parsed(values.parse_line, data) if isinstance(data, str) else data)


class IntervalsField(ParsedField):
    """Addresses, CIDRs and `a-b` ranges, as a list or comma-separated, parsed to `(version, first, last)`.

    Nothing between two commas, or after the last one, counts for nothing.
    """

    def to_internal_value(self, data):
        if isinstance(data, str):
            data = data.split(",")
        if not isinstance(data, list):
            raise serializers.ValidationError(
                f"{self.field_name} {quoted(data)} is not a list of addresses, CIDRs or a-b ranges"
            )
        parts = [part for item in data for part in (item.split(",") if isinstance(item, str) else [item])]
        return [self.parsed(values.parse_interval, part) for part in parts if str(part).strip()]


class IPAddressRelatedField(NautobotHyperlinkedRelatedField):
    """A status, role, tenant or tag of an IP address, given as UUID, URL, natural key or dictionary of attributes."""

    def to_internal_value(self, data):
        name = self.field_name or self.parent.field_name  # the elements of a list have no name of their own
        if data is None or isinstance(data, list):  # Nautobot would treat a list as several objects
            raise serializers.ValidationError(f"{name} {quoted(data)} is not a single object")
        try:
            found = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if isinstance(error.__cause__, ObjectDoesNotExist):
                given = ", ".join(map(str, data.values())) if isinstance(data, dict) else data
                raise serializers.ValidationError(
                    f"{name} {quoted(given)} does not exist, or may not be seen"
                ) from error
            raise
        content_types = getattr(found, "content_types", None)
        if content_types is not None and not content_types.filter(app_label="ipam", model="ipaddress").exists():
            raise serializers.ValidationError(f"{name} {found} does not apply to {IPAddress._meta.verbose_name}es")
        return found
