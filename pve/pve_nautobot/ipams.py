"""The IPAM entries of PVE, with their tokens, which stay here; and PVE's own IPAM."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, unquote

from . import programs, snapshot, values
from .errors import ConfigurationError, MigrationFailed
from .held import Held

HELPER: Sequence[str] = ("/usr/sbin/pve-nautobot-migrate",)
_SECONDS = 120
_SECONDS_EACH = 15  # PVE waits for its lock at most 10 s
_FACADE = re.compile(r"(.+/plugins/pve-ipam/)netbox/([^/]+)(?:/([^/]+))?/?")
"""The URL of the App for PVE's own NetBox plugin: the App, the namespace, the cluster."""


@dataclass(frozen=True)
class Entry:
    """A section of ipams.cfg."""

    name: str
    type: str
    url: str = ""
    namespace: str = ""
    token: str = field(default="", repr=False)
    fingerprint: str = ""

    @property
    def is_other(self) -> bool:
        """Whether it is PVE's own IPAM or a NetBox, behind which there is no Nautobot."""
        return self.type == "pve" or (self.type == "netbox" and not self._facade)

    @property
    def talks_to(self) -> str:
        """The URL of the Nautobot namespace that it uses; "" if it uses none, or none that is valid."""
        if found := self._facade:
            return f"{found[1]}namespaces/{quote(unquote(found[2]), safe='')}/"
        if self.type != "nautobot":
            return ""
        try:
            return f"{values.base_url(self.url)}namespaces/{quote(self.namespace, safe='')}/"
        except ConfigurationError:
            return ""

    def cluster(self, own: str | None) -> str | None:
        """In whose name PVE uses Nautobot through it. `own`: the cluster's name in PVE."""
        found = self._facade
        return own if found is None else unquote(found[3]) if found[3] else None

    @property
    def _facade(self) -> re.Match[str] | None:
        return _FACADE.fullmatch(self.url) if self.type == "netbox" else None


def entries() -> dict[str, Entry]:
    """All of them by name; PVE's own IPAM is always there. Raises MigrationFailed."""
    path = snapshot.PVE / "sdn" / "ipams.cfg"
    try:
        text = snapshot.file_text(path, "")
    except OSError as error:
        raise MigrationFailed(f"{path}: {error.strerror}") from None
    sections = snapshot.section_file(text, "name")
    keys = Entry.__dataclass_fields__
    found = [Entry(**{key: value for key, value in section.items() if key in keys}) for section in sections]
    return {"pve": Entry("pve", "pve"), **{entry.name: entry for entry in found}}


class Ipam(Protocol):
    """An IPAM that a zone is taken from, or goes back to."""

    def held(self) -> list[snapshot.Element]:
        """What it holds in the zone, as elements of a snapshot's `pve-ipam-state`. Raises PveNautobotError."""

    def write(self, add: Sequence[Held], remove: Sequence[Held]) -> None:
        """Have it hold this, in subnets that it gets as PVE has them, and no longer that, which was among `held`."""


class OwnIpam:
    """PVE's own IPAM, which only PVE's functions write, and which compares letter by letter.

    `subnets`: as in a snapshot. `macs`: by each MAC in upper case, how PVE writes it.
    """

    def __init__(self, zone: str, subnets: Iterable[snapshot.Element], macs: Mapping[str, str]) -> None:
        self._zone = zone
        self._cidrs = {str(snapshot.network(one)): snapshot.cidr(one) for one in subnets}
        self._macs = macs
        self._written: dict[str, dict[str, str]] = {}

    def held(self) -> list[snapshot.Element]:
        try:
            found = [entry for entry in snapshot.pve_ipam_state(snapshot.PVE) if entry["zone"] == self._zone]
            self._written = {Held.from_entry(one).ip: {key: one[key] for key in ("subnet", "ip")} for one in found}
        except (OSError, ValueError, AttributeError) as error:
            raise MigrationFailed(f"PVE's own IPAM could not be read: {error}") from None
        return found

    def write(self, add: Sequence[Held], remove: Sequence[Held]) -> None:
        asked = {
            "do": "write",
            "zone": self._zone,
            "remove": [self._written[one.ip] for one in remove],
            "add": [self._added(one) for one in add],
        }
        ask(asked, _SECONDS + _SECONDS_EACH * len([*add, *remove]))

    def _added(self, one: Held) -> dict[str, Any]:
        return {
            "subnet": self._cidrs[one.subnet],
            "ip": one.ip,
            "mac": self._macs.get(one.mac, one.mac) or None,
            "vmid": str(one.vmid) if one.vmid else None,
            "hostname": one.hostname or None,
            "gateway": 1 if one.is_gateway else None,
        }


def ask(asked: Mapping[str, Any], seconds: float = _SECONDS) -> dict[str, Any]:
    """What the Perl helper answers. Raises MigrationFailed."""
    answer = programs.ask(HELPER, asked, seconds, MigrationFailed)
    if not isinstance(answer, dict):
        raise MigrationFailed(f"{HELPER[-1]} did not say what it did")
    return answer


def as_configured(document: snapshot.Element) -> dict[str, str]:
    """The MACs of all guests, in upper case, and as they stand in the guests' configurations."""
    configs = (guest.get("config", {}) for guest in document.get("guests", ()))
    devices: Iterable[str] = (text for config in configs for key, text in config.items() if key.startswith("net"))
    found = (mac for text in devices for mac in re.findall(r"(?i)\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", text))
    return {mac.upper(): mac for mac in found}
