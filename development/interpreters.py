"""The Pythons of this machine, found as python3.X on the search path; NAUTOBOT_PVE_IPAM_PYTHONS names others."""

import os
import shutil
import subprocess
from pathlib import Path

OLDEST, NEWEST = 10, 14
NAMED = "NAUTOBOT_PVE_IPAM_PYTHONS"


def interpreters() -> dict[tuple[int, int], str]:
    """Program by version, oldest first: of those that this project supports, those that are here and can run.

    NAUTOBOT_PVE_IPAM_PYTHONS: names or paths, separated by spaces, to use these instead.
    """
    named = os.environ.get(NAMED, "").split()
    found = {}
    for name in named or [f"python3.{minor}" for minor in range(OLDEST, NEWEST + 1)]:
        program = shutil.which(name)
        if program and (version := _version(program)):
            found[version] = program
        elif named:
            raise RuntimeError(f"{name} is not a Python that runs")
    return dict(sorted(found.items()))


def virtual_environment(python: str, directory: Path) -> Path:
    """Make a virtual environment where there is none yet, and return its Python."""
    if not (directory / "bin" / "pip").exists():
        subprocess.run([python, "-m", "venv", "--clear", directory], check=True)
    return directory / "bin" / "python"


def _version(program: str) -> tuple[int, int] | None:
    """None: it is on the search path and yet does not run, like an inactive version manager's shim."""
    code = "import sys; print(*sys.version_info[:2])"
    result = subprocess.run([program, "-c", code], capture_output=True, text=True, check=False)
    if result.returncode:
        return None
    major, minor = result.stdout.split()
    return int(major), int(minor)
