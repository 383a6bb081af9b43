"""Runs other programs on the node: the package's Perl helpers, which call PVE's own functions, and pvesh."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from .errors import PveNautobotError


def run(command: Sequence[str], seconds: float, failure: type[PveNautobotError], text: str = "") -> str:
    """What the program prints. Raises `failure` with the last thing that it says, if it fails or takes longer."""
    name = " ".join(command)
    try:
        done = subprocess.run(  # noqa: S603
            command, input=text, capture_output=True, text=True, check=True, timeout=seconds
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise failure(f"{name}: {said[-1] if said else f'status {error.returncode}'}") from None
    except subprocess.TimeoutExpired:
        raise failure(f"{name} did not end in time") from None
    except OSError as error:
        raise failure(f"{name}: {error.strerror}") from None
    return done.stdout


def ask(command: Sequence[str], asked: object, seconds: float, failure: type[PveNautobotError]) -> Any:
    """What a helper answers, in JSON, to what it was asked."""
    try:
        return json.loads(run(command, seconds, failure, json.dumps(asked)))
    except ValueError:
        raise failure(f"{command[-1]} did not say what it did") from None
