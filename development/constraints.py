"""`python -m development.constraints`: rewrite constraints.txt with the newest versions on the index.

pip decides, once with each Python of this machine. Where their answers differ, the line has a marker: each answer holds
up to the next Python that was asked, so that it need not be a full set.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from development.interpreters import interpreters, virtual_environment
from development.paths import REPOSITORY

CONSTRAINTS = REPOSITORY / "development" / "constraints.txt"
HEAD = """\
# The exact versions that make install and CI use. Written by make constraints, which asked {asked}.
"""

Version = tuple[int, int]


def resolved(python: str) -> dict[str, str]:
    """Name and version of everything that pip would install for development with this Python."""
    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-constraints-") as directory:
        report = Path(directory) / "report.json"
        command: list[str | Path] = [virtual_environment(python, Path(directory) / "venv"), "-m", "pip"]
        command += ["--quiet", "--disable-pip-version-check"]
        command += ["install", "--dry-run", "--ignore-installed", "--report", report, ".[dev]"]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        installed = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    return {entry["name"].lower().replace("_", "-"): entry["version"] for entry in installed}


def merged(answers: dict[Version, dict[str, str]]) -> list[str]:
    """The lines of the file, from each Python's answer, oldest first."""
    pythons = list(answers)
    lines = []
    for name in sorted({name for answer in answers.values() for name in answer} - {"nautobot-pve-ipam"}):
        first = 0
        for position in range(1, len(pythons) + 1):
            version = answers[pythons[first]].get(name)
            if position < len(pythons) and answers[pythons[position]].get(name) == version:
                continue
            if version:
                lines.append(f"{name}=={version}{_marker(pythons, first, position)}")
            first = position
    return lines


def _marker(pythons: list[Version], first: int, end: int) -> str:
    """The marker for the Pythons from `first` up to, and without, `end`; empty where that is all."""
    bounds = []
    if first > 0:
        bounds.append("python_version >= '{}.{}'".format(*pythons[first]))
    if end < len(pythons):
        bounds.append("python_version < '{}.{}'".format(*pythons[end]))
    return " ; " + " and ".join(bounds) if bounds else ""


def main() -> None:
    answers = {version: resolved(python) for version, python in interpreters().items()}
    asked = "Python " + ", ".join("{}.{}".format(*version) for version in answers)
    CONSTRAINTS.write_text(HEAD.format(asked=asked) + "\n".join(merged(answers)) + "\n")
    print(f"{len(merged(answers))} lines in {CONSTRAINTS.relative_to(REPOSITORY)}, from {asked}.")


if __name__ == "__main__":
    main()
