"""What the command says: its result on stdout, messages and progress on stderr."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Output:
    """The result of a verb. `text` for people, `data` for --json, `note` for stderr."""

    text: str = ""
    data: Any = None
    exit_code: int = 0
    note: str = ""


def say(message: str) -> None:
    sys.stderr.write(f"pve-nautobot: {message}\n")


def bar(done: int, total: int) -> str:
    filled = 30 * done // total
    return f"[{'#' * filled}{'.' * (30 - filled)}] {done}/{total}"


class Progress:
    """One line on a terminal that says how far long work has come; nothing elsewhere."""

    def __init__(self) -> None:
        self._is_seen = sys.stderr.isatty()
        self._shown = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")

    def show(self, text: str, at_once: bool) -> None:
        """Ten times a second is enough, unless `at_once`."""
        now = time.monotonic()
        if self._is_seen and (at_once or now - self._shown > 0.1):
            self._shown = now
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
