"""Input validation, before any request: each function returns the value to send or raises ConfigurationError."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from .errors import ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Range = tuple[str, str]
_MAC = re.compile(r"(?i)[0-9a-f]{2}([:-]?)[0-9a-f]{2}(\1[0-9a-f]{2}){4}|([0-9a-f]{4}\.){2}[0-9a-f]{4}")


class Unchanged(enum.Enum):
    UNCHANGED = enum.auto()


UNCHANGED: Final = Unchanged.UNCHANGED
"""Leaves a property as it is, where None would clear it."""


def _ip(field: str, value: str, typed: str | None = None) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if "%" in value:
            raise ValueError
        return ipaddress.ip_address(value)
    except ValueError:
        raise ConfigurationError(f"{field} {(typed or value)!r} is not an IP address") from None


def address(field: str, value: str) -> str:
    """An address without prefix length, in canonical form."""
    return str(_ip(field, value))


def host(field: str, value: str) -> str:
    """The address in `10.0.0.100` or in `10.0.0.100/24`, the form that Nautobot returns."""
    bare, slash, length = value.partition("/")
    ip = _ip(field, bare, typed=value)
    if slash and not (_is_number(length) and int(length) <= ip.max_prefixlen):
        raise ConfigurationError(f"{field} {value!r} has an invalid prefix length")
    return str(ip)


def subnet(field: str, value: str) -> Network:
    """`10.0.0.0/24` or PVE's `10.0.0.0-24`, IPv6 likewise; host bits must be zero."""
    net, _, length = value.replace("/", "-").rpartition("-")
    try:
        if not net or not _is_number(length) or "%" in net:
            raise ValueError
        return ipaddress.ip_network(f"{net}/{length}")
    except ValueError:
        raise ConfigurationError(f"{field} {value!r} is not a subnet such as 10.0.0.0/24 or 10.0.0.0-24") from None


def bounds(field: str, within: Network, start: str | None, end: str | None) -> tuple[str | None, str | None]:
    """Inclusive bounds within a subnet; either may be missing."""
    first = None if start is None else _ip(f"{field} start", start)
    last = None if end is None else _ip(f"{field} end", end)
    for ip in (first, last):
        if ip is not None and ip not in within:
            raise ConfigurationError(f"{field}: {ip} is not in {within}")
    if first is not None and last is not None and int(first) > int(last):
        raise ConfigurationError(f"{field} {first}-{last} is reversed: the start is after the end")
    return (None if first is None else str(first)), (None if last is None else str(last))


def ranges(field: str, within: Network, pairs: Iterable[Range]) -> list[dict[str, str | None]]:
    """Ranges of a subnet in the App's format."""
    checked = (bounds(field, within, start, end) for start, end in pairs)
    return [{"start": start, "end": end} for start, end in checked]


def parse_range(field: str, value: str) -> Range:
    """`START-END` as typed by a user."""
    start, dash, end = value.partition("-")
    if not dash:
        raise ConfigurationError(f"{field} {value!r} does not have the form START-END")
    return address(f"{field} start", start.strip()), address(f"{field} end", end.strip())


def excluded(field: str, value: str) -> str:
    """An address, a CIDR or a range `a-b`."""
    if "-" in value:
        return "-".join(parse_range(field, value))
    if "/" not in value:
        return address(field, value)
    host(field, value)
    return str(ipaddress.ip_network(value, strict=False))


def mac(field: str, value: str) -> str:
    """A MAC in any common notation; sent as `bc:24:11:00:00:01`."""
    if not _MAC.fullmatch(value):
        raise ConfigurationError(f"{field} {value!r} is not a MAC address such as BC:24:11:00:00:01")
    digits = re.sub(r"[:.-]", "", value).lower()
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def number(field: str, value: int, low: int, high: int | None = None) -> int:
    """An integer from `low` up to and including `high`, if there is one."""
    if value < low or (high is not None and value > high):
        raise ConfigurationError(f"{field} {value} is not {f'between {low} and {high}' if high else f'at least {low}'}")
    return value


def vmid(field: str, value: int) -> int:
    return number(field, value, 100, 999_999_999)


def fingerprint(value: str) -> str:
    """A certificate's SHA-256, with or without colons; returned as 64 lower-case hex digits."""
    digits = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ConfigurationError(
            f"fingerprint {value!r} is not a SHA-256 of 64 hexadecimal digits, with or without colons"
        )
    return digits


def base_url(value: str) -> str:
    """The App's API root, from Nautobot's root URL or API root: `https://nautobot.example.com[/api]`."""
    if "@" in value:
        raise ConfigurationError("url: a user name or password in the url is not supported, use a token")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError(f"url {value!r} does not have the form https://nautobot.example.com/api")
    return f"{value.rstrip('/').removesuffix('/api').rstrip('/')}/api/plugins/pve-ipam/"


def token(value: str) -> str:
    """Printable ASCII without spaces; never repeated in an error message."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError("token is empty or contains spaces or invalid characters")
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}", text) is not None
