"""What an IPAM holds in the subnets of a zone, in one form, whichever IPAM it is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Held:
    """An address that is held for a gateway, for a guest, or for nobody who is named.

    `subnet` is a CIDR. `mac` is in upper case.
    """

    subnet: str
    ip: str
    mac: str = ""
    vmid: int | None = None
    hostname: str = ""
    is_gateway: bool = False

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Held:
        """From an element of a snapshot's `pve-ipam-state`. Raises ValueError."""
        return cls(
            subnet=str(ipaddress.ip_network(entry["subnet"])),
            ip=str(ipaddress.ip_address(entry["ip"])),
            mac=str(entry.get("mac") or "").upper(),
            vmid=int(entry["vmid"]) if entry.get("vmid") else None,
            hostname=str(entry.get("hostname") or ""),
            is_gateway=str(entry.get("gateway") or "0") != "0",
        )

    def __str__(self) -> str:
        who = "a gateway" if self.is_gateway else f"guest {self.vmid}" if self.vmid else self.mac and f"MAC {self.mac}"
        return f"{self.ip} of {who or 'nobody'}"

    @property
    def is_named(self) -> bool:
        """Whether it is held for a gateway or a guest."""
        return self.is_gateway or bool(self.mac or self.vmid)

    def is_like(self, other: Held) -> bool:
        """Whether both are held for the same one, as far as both say."""
        if self.is_gateway or other.is_gateway:
            return self.is_gateway == other.is_gateway
        if self.mac and other.mac:
            return self.mac == other.mac
        return self.vmid is None or other.vmid is None or self.vmid == other.vmid


def lacking(wanted: Iterable[Held], have: Iterable[Held]) -> list[Held]:
    """Those that are not held, or not for the same one."""
    by_ip = {one.ip: one for one in have}
    return [one for one in wanted if one.ip not in by_ip or not one.is_like(by_ip[one.ip])]
