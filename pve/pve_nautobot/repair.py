"""Repairs PVE's MAC cache, through the Perl helper: PVE's own functions change it, under PVE's lock."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

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
    try:
        done = subprocess.run(  # noqa: S603
            HELPER,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS_EACH * len(asked),
        )
        answers = json.loads(done.stdout)
        return tuple(Repaired(str(answer["mac"]), str(answer["why"] or "")) for answer in answers)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise RepairFailed(f"{HELPER[-1]}: {said[-1] if said else f'status {error.returncode}'}") from None
    except subprocess.TimeoutExpired:
        raise RepairFailed(f"{HELPER[-1]} did not end in time") from None
    except OSError as error:
        raise RepairFailed(f"{HELPER[-1]}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise RepairFailed(f"{HELPER[-1]} did not say what it did") from None


def _ips(entry: Cached) -> dict[str, str | None]:
    return {"ip4": entry.ip4, "ip6": entry.ip6}
