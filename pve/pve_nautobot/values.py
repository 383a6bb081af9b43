"""Input, checked before any request: each check returns the form that is sent or raises ConfigurationError."""

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
"""Leave this property as it is, where None would clear it."""


def _ip(field: str, value: str, typed: str | None = None) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if "%" in value:
            raise ValueError
        return ipaddress.ip_address(value)
    except ValueError:
        raise ConfigurationError(f"{field} {(typed or value)!r} is not an IP address") from None


def address(field: str, value: str) -> str:
    """An address without mask, in canonical form."""
    return str(_ip(field, value))


def host(field: str, value: str) -> str:
    """The address of `10.0.0.100` and of `10.0.0.100/24`, the form in which Nautobot gives addresses."""
    bare, slash, length = value.partition("/")
    ip = _ip(field, bare, typed=value)
    if slash and not (_is_number(length) and int(length) <= ip.max_prefixlen):
        raise ConfigurationError(f"{field} {value!r} has no valid prefix length")
    return str(ip)


def subnet(field: str, value: str) -> Network:
    """`10.0.0.0/24` or PVE's `10.0.0.0-24`, IPv6 likewise; no bits set behind the mask."""
    net, _, length = value.replace("/", "-").rpartition("-")
    try:
        if not net or not _is_number(length) or "%" in net:
            raise ValueError
        return ipaddress.ip_network(f"{net}/{length}")
    except ValueError:
        raise ConfigurationError(f"{field} {value!r} is not a subnet such as 10.0.0.0/24 or 10.0.0.0-24") from None


def bounds(field: str, within: Network, start: str | None, end: str | None) -> tuple[str | None, str | None]:
    """Inclusive bounds in a subnet, either may be missing."""
    first = None if start is None else _ip(f"{field} start", start)
    last = None if end is None else _ip(f"{field} end", end)
    for ip in (first, last):
        if ip is not None and ip not in within:
            raise ConfigurationError(f"{field}: {ip} is not in {within}")
    if first is not None and last is not None and int(first) > int(last):
        raise ConfigurationError(f"{field} {first}-{last} is reversed: the start is after the end")
    return (None if first is None else str(first)), (None if last is None else str(last))


def ranges(field: str, within: Network, pairs: Iterable[Range]) -> list[dict[str, str | None]]:
    """Ranges of a subnet in the form that the App takes."""
    checked = (bounds(field, within, start, end) for start, end in pairs)
    return [{"start": start, "end": end} for start, end in checked]


def parse_range(field: str, value: str) -> Range:
    """`START-END` as typed by a person."""
    start, dash, end = value.partition("-")
    if not dash:
        raise ConfigurationError(f"{field} {value!r} is not of the form START-END")
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
    """Any usual spelling of a MAC; `bc:24:11:00:00:01` is sent."""
    if not _MAC.fullmatch(value):
        raise ConfigurationError(f"{field} {value!r} is not a MAC address such as BC:24:11:00:00:01")
    digits = re.sub(r"[:.-]", "", value).lower()
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def number(field: str, value: int, low: int, high: int | None = None) -> int:
    """An integer of `low` or more, up to and including `high`."""
    if value < low or (high is not None and value > high):
        raise ConfigurationError(f"{field} {value} is not {f'{low} to {high}' if high else f'{low} or more'}")
    return value


def vmid(field: str, value: int) -> int:
    return number(field, value, 100, 999_999_999)


def fingerprint(value: str) -> str:
    """SHA-256 of a certificate, 64 hex digits with or without colons, in lower case without."""
    digits = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ConfigurationError(f"fingerprint {value!r} is not a SHA-256: 64 hexadecimal digits, colons allowed")
    return digits


def base_url(value: str) -> str:
    """The App's API below Nautobot's root or API root, both accepted: `https://nautobot.example.com[/api]`."""
    if "@" in value:
        raise ConfigurationError("url: a user or password in the url is not supported, use a token")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError(f"url {value!r} is not of the form https://nautobot.example.com/api")
    return f"{value.rstrip('/').removesuffix('/api').rstrip('/')}/api/plugins/pve-ipam/"


def token(value: str) -> str:
    """Printable ASCII without blanks; the value is never repeated in a message."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError("the token is empty or holds blanks or characters that no token has")
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}", text) is not None
