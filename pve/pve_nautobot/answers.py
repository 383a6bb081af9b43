"""Nautobot's responses as frozen dataclasses. `raw` is the parsed JSON; an invalid response raises ProtocolError."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ProtocolError
from .held import Held

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_A = TypeVar("_A", bound="DataclassInstance")
_KINDS = {"str": (str,), "int": (int,), "bool": (bool,), "str | None": (str, NoneType), "int | None": (int, NoneType)}
"""The JSON types allowed for a field, by its annotation."""


_RUNNING = ("PENDING", "RECEIVED", "STARTED", "RETRY")
"""The states of a Job that has not ended."""


@dataclass(frozen=True)
class NamespaceStatus:
    """`ready`: the token has every permission that the hooks need; `missing` lists those it lacks.

    `warning`: what to do if the cluster was renamed, or has no zone in this namespace yet.
    """

    namespace: str
    ready: bool
    missing: tuple[str, ...]
    detail: str
    warning: str | None
    nautobot_version: str | None
    app_version: str | None
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object) -> NamespaceStatus:
        missing = tuple(str(name) for name in _take(_mapping(answer), "missing", list))
        return _read(cls, answer, missing=missing)


@dataclass(frozen=True)
class Subnet:
    """`created`: created by this call; `adopted`: the prefix existed before, so PVE never deletes it."""

    id: str
    prefix: str
    cluster: str | None
    zone: str
    vnet: str
    gateway: str | None
    dhcp_ranges: tuple[tuple[str, str], ...]
    snat: bool
    dns_zone_prefix: str | None
    adopted: bool
    created: bool
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object, *, created: bool) -> Subnet:
        entries = [_mapping(entry) for entry in _take(_mapping(answer), "dhcp_ranges", list)]
        ranges = tuple((_take(entry, "start", str), _take(entry, "end", str)) for entry in entries)
        return _read(cls, answer, dhcp_ranges=ranges, created=created)


@dataclass(frozen=True)
class FreeAddress:
    """An address, with its subnet's prefix length, that is free right now; it is not reserved."""

    address: str
    ip_version: int

    @classmethod
    def from_json(cls, answer: object) -> FreeAddress:
        data = _mapping(answer)
        return cls(_address(data), _take(data, "ip_version", int))


@dataclass(frozen=True)
class Allocation:
    """An address allocated to a guest or gateway; `address` includes the prefix length, `ip` does not."""

    id: str
    address: str
    ip_version: int
    mac: str | None
    vmid: int | None
    hostname: str | None
    is_gateway: bool
    cluster: str | None
    zone: str | None
    vnet: str | None
    created: bool
    raw: Any = field(repr=False, compare=False)

    @property
    def ip(self) -> str:
        return self.address.partition("/")[0]

    @classmethod
    def from_json(cls, answer: object, *, created: bool) -> Allocation:
        return _read(cls, answer, address=_address(_mapping(answer)), created=created)


@dataclass(frozen=True)
class Found:
    """The addresses of a MAC: the one that PVE uses in each address family, and all allocations."""

    ip4: str | None
    ip6: str | None
    results: tuple[Allocation, ...]
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object) -> Found:
        entries = _take(_mapping(answer), "results", list)
        return _read(cls, answer, results=tuple(Allocation.from_json(entry, created=False) for entry in entries))


@dataclass(frozen=True)
class Cached:
    """What PVE's MAC cache has of a MAC, or should have."""

    mac: str
    ip4: str | None
    ip6: str | None
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object) -> Cached:
        return _read(cls, answer)


@dataclass(frozen=True)
class Change:
    """Something that a sync does, or a difference that is left to people: what it is about, and why, in a sentence.

    `cached`: of kind `cache`, what PVE's MAC cache has and should have.
    """

    kind: str
    subject: str
    evidence: str
    settlements: tuple[str, ...]
    cached: tuple[Cached, Cached] | None
    raw: Any = field(repr=False, compare=False)

    @property
    def fact(self) -> Mapping[str, Any]:
        """What Nautobot is to have or, if that is nothing, what it has; {} if that is not told."""
        found = self.raw.get("after") or self.raw.get("before")
        return found if isinstance(found, dict) else {}

    @classmethod
    def from_json(cls, answer: object) -> Change:
        data = _mapping(answer)
        before, after = data.get("before"), data.get("after")
        is_cached = data.get("kind") == "cache" and before is not None and after is not None
        cached = (Cached.from_json(before), Cached.from_json(after)) if is_cached else None
        settlements = tuple(str(one) for one in _take(data, "settlements", list))
        return _read(cls, answer, settlements=settlements, cached=cached)


@dataclass(frozen=True)
class SyncReport:
    """What a sync is to do, or has done. `failed`: what could not be done, with a sentence saying why. `problems`: what
    PVE says wrong, or did not say, each as a sentence.
    """

    to_do: tuple[Change, ...]
    differences: tuple[Change, ...]
    applied: tuple[Change, ...]
    failed: tuple[tuple[Change, str], ...]
    problems: tuple[str, ...]
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object) -> SyncReport:
        data = _mapping(answer)
        return cls(
            to_do=_changes(_take(data, "to_do", list)),
            differences=_changes(_take(data, "differences", list)),
            applied=_changes(_take({"applied": [], **data}, "applied", list)),
            failed=_failed(data),
            problems=_problems(data),
            raw=answer,
        )


@dataclass(frozen=True)
class Job:
    """A Nautobot Job that does a sync. `detail` says what it does."""

    url: str
    detail: str
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object) -> Job:
        return cls(_take(_mapping(answer), "job_result", str), _take(_mapping(answer), "detail", str), answer)


@dataclass(frozen=True)
class JobReport:
    """What a Job has done: how many changes, and what could not be done."""

    applied: int
    failed: tuple[tuple[Change, str], ...]
    raw: Any = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, answer: object) -> JobReport:
        data = _mapping(answer)
        return cls(_take(data, "applied", int), _failed(data), answer)


def page(answer: object) -> tuple[list[Mapping[str, Any]], int]:
    """The records in one answer to a request for a list, and how many there are in all."""
    data = _mapping(answer)
    return [_mapping(one) for one in _take(data, "results", list)], _take(data, "count", int)


def pages(
    read: Callable[[int], tuple[Sequence[Any], int]], what: str, failed: Callable[[str], Exception] = ProtocolError
) -> Iterator[Any]:
    """All records of a list, of which `read` gets those from an offset on, and how many there are in all.

    Raises `failed` if the server sends fewer than that.
    """
    seen, count = 0, 1
    while seen < count:
        records, count = read(seen)
        yield from records
        if not records and seen < count:
            raise failed(f"of {count} {what}, only {seen} were sent")
        seen += len(records)


def allocated(subnet: str, record: Mapping[str, Any]) -> Held:
    """From an allocation in Nautobot's REST API."""
    return Held(
        subnet=subnet,
        ip=str(ipaddress.ip_interface(_address(record)).ip),
        mac=(record.get("mac") or "").upper(),
        vmid=record.get("vmid"),
        hostname=record.get("hostname") or "",
        is_gateway=_take(record, "is_gateway", bool),
    )


def job_state(answer: object) -> tuple[str | None, object]:
    """How a Job has ended, None if it has not, and its result."""
    data = _mapping(answer)
    state: str = _take(_take(data, "status", dict), "value", str)
    return (None if state in _RUNNING else state), data.get("result")


def _changes(elements: list[object]) -> tuple[Change, ...]:
    return tuple(Change.from_json(element) for element in elements)


def _failed(data: Mapping[str, Any]) -> tuple[tuple[Change, str], ...]:
    elements = [_mapping(element) for element in _take(data, "failed", list)]
    return tuple((Change.from_json(one.get("change")), _take(one, "detail", str)) for one in elements)


def _problems(data: Mapping[str, Any]) -> tuple[str, ...]:
    elements = [_mapping(element) for element in _take(data, "problems", list)]
    return tuple(f"{_take(one, 'subject', str)}: {_take(one, 'why', str)}" for one in elements)


def _read(cls: type[_A], answer: object, **given: object) -> _A:
    """Build a dataclass from the JSON keys named after its fields and from the values given."""
    data = _mapping(answer)
    build: Callable[..., _A] = cls
    plain = [entry for entry in fields(cls) if entry.name not in {"raw", *given}]
    read = {entry.name: _take(data, entry.name, _KINDS[str(entry.type)]) for entry in plain}
    return build(raw=answer, **given, **read)


def _mapping(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise ProtocolError("Nautobot's response is not a JSON object: check the App's version")
    return answer


def _take(data: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    value = data.get(key)
    if not isinstance(value, kind):
        raise ProtocolError(f"Nautobot's response has no valid {key!r}: check the App's version")
    return value


def _address(data: Mapping[str, Any]) -> str:
    """A guest must never get something that is not an address, whatever the server sends."""
    text: str = _take(data, "address", str)
    try:
        usable = "/" in text and not ipaddress.ip_interface(text).ip.is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise ProtocolError(f"address {text[:60]!r} in Nautobot's response is not an IP address with a prefix length")
    return text


def one_line(text: str) -> str:
    """Printable text, safe for a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
