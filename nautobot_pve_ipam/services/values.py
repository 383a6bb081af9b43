"""Parse text for the REST API, the forms and the filters: addresses, MAC addresses, numbers, intervals.

All functions raise InvalidRequest, which names the field and the value. May import models.
"""

from __future__ import annotations

import re

import netaddr
from nautobot.apps.models import mac_unix_expanded_uppercase

from nautobot_pve_ipam.errors import InvalidRequest, quoted
from nautobot_pve_ipam.models import line_validator

#: aa:bb:cc:dd:ee:ff, aa-bb-.., aabb.ccdd.eeff and aabbccddeeff, whatever else netaddr may accept.
MAC_SPELLINGS = re.compile(
    r"([0-9a-f]{1,2}[:-]){5}[0-9a-f]{1,2}|([0-9a-f]{4}[.:-]){2}[0-9a-f]{4}|[0-9a-f]{12}", re.IGNORECASE
)
#: IP version, first and last address.
FamilyInterval = tuple[int, int, int]


def parse_address(value: object, field: str = "address") -> netaddr.IPAddress:
    """An IPv4 or IPv6 address without a mask."""
    try:
        if not isinstance(value, str):
            raise netaddr.AddrFormatError
        return netaddr.IPAddress(value.strip())
    except (netaddr.AddrFormatError, ValueError) as error:
        raise _invalid(field, value, "is not an IP address (no mask, no hostname)") from error


def parse_mac(value: object, field: str = "mac") -> str:
    """A MAC address in any common notation, as `BC:24:11:00:00:01`."""
    try:
        if not isinstance(value, str) or not MAC_SPELLINGS.fullmatch(value.strip()):
            raise netaddr.AddrFormatError
        return str(netaddr.EUI(value.strip(), version=48, dialect=mac_unix_expanded_uppercase))
    except netaddr.AddrFormatError as error:
        raise _invalid(field, value, "is not a MAC address such as BC:24:11:00:00:01") from error


def told_name(hostname: str | None) -> str:
    """A guest's name as PVE tells it; empty if it tells none: null, nothing, or only a subnet's DNS zone prefix."""
    name = (hostname or "").strip()
    return "" if name.startswith(".") else name


def parse_whole_number(value: object, field: str, *, minimum: int, maximum: int | None = None) -> int:
    """A whole number from `minimum` to `maximum` (None: unbounded); may be a string, as in a query."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,100}", value.strip()):
        number = int(value)
    if number is None:
        raise _invalid(field, value, "is not a whole number")
    if number < minimum or (maximum is not None and number > maximum):
        why = f"is less than {minimum}" if maximum is None else f"is not between {minimum} and {maximum}"
        raise _invalid(field, value, why)
    return number


def parse_line(value: str, field: str) -> str:
    """Text of one line, without control characters."""
    if found := line_validator.regex.search(value):
        raise _invalid(field, ascii(value), f"contains the character U+{ord(found[0]):04X}")
    return value


def parse_interval(value: object, field: str) -> FamilyInterval:
    """An address, a CIDR or an `a-b` range."""
    try:
        if not isinstance(value, str):
            raise netaddr.AddrFormatError
        start, dash, end = value.strip().partition("-")
        interval = netaddr.IPRange(start.strip(), end.strip()) if dash else netaddr.IPNetwork(start)
        return interval.version, interval.first, interval.last
    except (netaddr.AddrFormatError, ValueError, TypeError) as error:
        raise _invalid(
            field, value, "is not an address, a CIDR or a range of rising addresses such as 10.0.0.1-10.0.0.50"
        ) from error


def parse_subnet(value: str, field: str = "subnet") -> netaddr.IPNetwork:
    """A subnet as written by PVE and in our URLs, `10.0.0.0-24` or `2001:db8::-64`."""
    network, dash, length = value.rpartition("-")
    try:
        if not dash or not length.isdigit():
            raise netaddr.AddrFormatError
        parsed = netaddr.IPNetwork(f"{network}/{length}")
    except (netaddr.AddrFormatError, ValueError) as error:
        raise InvalidRequest(f"{field} '{value}' is not of the form 10.0.0.0-24", field=field) from error
    if parsed.ip != parsed.network:
        raise InvalidRequest(f"{field} '{value}' has host bits set, the network is {parsed.cidr}", field=field)
    return parsed


def _invalid(field: str, value: object, why: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {quoted(value)} {why}", field=field)
