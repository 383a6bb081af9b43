"""Fields of our requests: addresses, MACs, intervals. Their errors name field and value."""

import re

import netaddr
from nautobot.apps.api import NautobotHyperlinkedRelatedField
from nautobot.apps.models import mac_unix_expanded_uppercase
from nautobot.ipam.models import IPAddress
from rest_framework import serializers

#: aa:bb:cc:dd:ee:ff, aa-bb-.., aabb.ccdd.eeff and aabbccddeeff; netaddr alone takes "1" for a MAC as well.
MAC_SPELLINGS = re.compile(
    r"([0-9a-f]{1,2}[:-]){5}[0-9a-f]{1,2}|([0-9a-f]{4}[.:-]){2}[0-9a-f]{4}|[0-9a-f]{12}", re.IGNORECASE
)


def shown(value):
    """A value as an error quotes it: short, whatever was sent."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class NamedField(serializers.Field):
    """A field whose errors begin with its own name."""

    def refuse(self, value, why):
        raise serializers.ValidationError(f"{self.field_name or 'value'} {shown(value)} {why}")


class AddressField(NamedField):
    """An IPv4 or IPv6 address without a mask, as `netaddr.IPAddress`."""

    def to_internal_value(self, data):
        try:
            if not isinstance(data, str):
                raise netaddr.AddrFormatError
            return netaddr.IPAddress(data.strip())
        except (netaddr.AddrFormatError, ValueError):
            self.refuse(data, "is not an IP address (no mask, no name)")

    def to_representation(self, value):
        return str(value)


class MACField(NamedField):
    """A MAC address in one of the usual spellings, as `BC:24:11:00:00:01`; empty for none."""

    def to_internal_value(self, data):
        if data == "":
            return None
        try:
            if not isinstance(data, str) or not MAC_SPELLINGS.fullmatch(data.strip()):
                raise netaddr.AddrFormatError
            return str(netaddr.EUI(data.strip(), version=48, dialect=mac_unix_expanded_uppercase))
        except netaddr.AddrFormatError:
            self.refuse(data, "is not a MAC address such as BC:24:11:00:00:01")

    def to_representation(self, value):
        return str(value) if value else None


class WholeNumberField(NamedField):
    """A whole number from `minimum` to `maximum` (None: unbounded), also as text, as a query has it."""

    def __init__(self, *, minimum, maximum=None, **kwargs):
        super().__init__(**kwargs)
        self._minimum, self._maximum = minimum, maximum

    def to_internal_value(self, data):
        number = data if isinstance(data, int) and not isinstance(data, bool) else None
        if isinstance(data, str) and re.fullmatch(r"-?[0-9]{1,100}", data.strip()):
            number = int(data)
        if number is None:
            self.refuse(data, "is not a whole number")
        if number < self._minimum or (self._maximum is not None and number > self._maximum):
            upper = "or more" if self._maximum is None else f"to {self._maximum}"
            self.refuse(data, f"is not {self._minimum} {upper}")
        return number

    def to_representation(self, value):
        return value


class IntervalsField(NamedField):
    """Addresses, CIDRs and `a-b` ranges, in a list or separated by commas, as `(version, first, last)`."""

    def to_internal_value(self, data):
        if isinstance(data, str):
            data = data.split(",")
        if not isinstance(data, list):
            self.refuse(data, "is not a list of addresses, CIDRs or a-b ranges")
        return [
            self._interval(part) for item in data for part in (item.split(",") if isinstance(item, str) else [item])
        ]

    def _interval(self, text):
        try:
            if not isinstance(text, str):
                raise netaddr.AddrFormatError
            start, dash, end = text.strip().partition("-")
            interval = netaddr.IPRange(start.strip(), end.strip()) if dash else netaddr.IPNetwork(start)
            return interval.version, interval.first, interval.last
        except (netaddr.AddrFormatError, ValueError, TypeError):
            self.refuse(text, "is neither an address nor a CIDR nor an a-b range")

    def to_representation(self, value):
        return value


class IPAddressRelatedField(NautobotHyperlinkedRelatedField):
    """A status, role or tenant of an IP address: by UUID, URL, natural key or a dictionary of attributes."""

    def to_internal_value(self, data):
        if isinstance(data, list):  # which Nautobot would take for several
            raise serializers.ValidationError(f"{self.field_name} {shown(data)} is a list, not one object")
        found = super().to_internal_value(data)
        content_types = getattr(found, "content_types", None)
        if content_types is not None and not content_types.filter(app_label="ipam", model="ipaddress").exists():
            raise serializers.ValidationError(f"{self.field_name} {found} is none for {IPAddress._meta.verbose_name}es")
        return found
