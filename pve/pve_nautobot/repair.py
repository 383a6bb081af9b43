"""Repairs PVE's MAC cache, through the Perl helper: PVE's own functions change it, under PVE's lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import programs
from .answers import Cached
from .errors import RepairFailed

HELPER: Sequence[str] = ("/usr/sbin/pve-nautobot-repair-cache",)
_SECONDS_EACH = 30  # PVE waits for its lock at most 10 s, and an entry has two addresses


@dataclass(frozen=True)
class Repaired:
    """`why`: why the entry is not as it should be; "" if it is."""

    mac: str
    why: str


def repair(entries: Sequence[tuple[Cached, Cached]]) -> tuple[Repaired, ...]:
    """Have entries changed from what they are to what they should be. Raises RepairFailed."""
    asked = [{"mac": before.mac, "before": _ips(before), "after": _ips(after)} for before, after in entries]
    answers = programs.ask(HELPER, asked, _SECONDS_EACH * len(asked), RepairFailed)
    try:
        return tuple(Repaired(str(answer["mac"]), str(answer["why"] or "")) for answer in answers)
    except (TypeError, KeyError):
        raise RepairFailed(f"{HELPER[-1]} did not say what it did") from None


def _ips(entry: Cached) -> dict[str, str | None]:
    return {"ip4": entry.ip4, "ip6": entry.ip6}
