"""`python -m development.matrix ARGUMENTS`: the tests on several Pythons and Nautobots, then a table of what passed.

The oldest Python runs the oldest Nautobot that pyproject.toml allows; each Python runs the newest of the index. Every
combination has a virtual environment of its own below .matrix/, which is kept for the next time. What is installed
there is what pip chooses today, as it does for the App's users: constraints.txt has no part in this.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from development.interpreters import NAMED, interpreters, virtual_environment
from development.paths import REPOSITORY

ENVIRONMENTS = REPOSITORY / ".matrix"
#: Between the oldest and the newest of this machine.
ALSO = (3, 12)


class Combination(NamedTuple):
    python: str
    version: str
    nautobot: str

    @property
    def environment(self) -> Path:
        return ENVIRONMENTS / f"python{self.version}-{re.sub(r'[^a-z0-9.]+', '-', self.nautobot)}"


class Outcome(NamedTuple):
    """A line of the table."""

    python: str
    nautobot: str
    result: str
    counts: str
    minutes: str


def combinations() -> list[Combination]:
    """What is to be run, from the oldest to the newest."""
    found = interpreters()
    if not found:
        raise RuntimeError(f"none of python3.10 to python3.14 is on the search path; name some with {NAMED}")
    chosen = list(found) if os.environ.get(NAMED) else sorted({min(found), max(found), ALSO} & set(found))
    newest = [Combination(found[version], "{}.{}".format(*version), "nautobot") for version in chosen]
    return [newest[0]._replace(nautobot=f"nautobot=={oldest_nautobot()}"), *newest]


def oldest_nautobot() -> str:
    """The lower bound in pyproject.toml."""
    requirement = re.search(r'"nautobot>=([0-9.]+)', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    if not requirement:
        raise RuntimeError("pyproject.toml has no lower bound for nautobot")
    return requirement[1]


def outcome(combination: Combination, arguments: list[str]) -> Outcome:
    """Install and run one combination; whatever fails is a line of the table."""
    started = time.monotonic()
    nautobot, counts = combination.nautobot, ""
    try:
        python = virtual_environment(combination.python, combination.environment)
        command: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        command += ["--upgrade", "--upgrade-strategy", "eager", "--editable", ".[dev]", combination.nautobot]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        code = "from importlib.metadata import version; print(version('nautobot'))"
        nautobot = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        print(f"\n== Python {combination.version}, Nautobot {nautobot}", flush=True)
        status, counts = _tested(python, arguments)
        result = "FAILED" if status else "passed"
    except subprocess.CalledProcessError:
        result = "NOT INSTALLED"
    return Outcome(combination.version, nautobot, result, counts, f"{(time.monotonic() - started) / 60:.1f}")


def _tested(python: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit status of pytest, and how many tests did what."""
    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-matrix-") as directory:
        report = Path(directory) / "report.xml"
        command: list[str | Path] = [python, "-m", "pytest", f"--junit-xml={report}", *arguments]
        status = subprocess.run(command, cwd=REPOSITORY, check=False).returncode
        if not report.exists():
            return status, ""
        suites = ElementTree.parse(report).getroot().findall("testsuite")
    total, failed, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return status, f"{total - failed - errors - skipped} passed, {failed + errors} failed, {skipped} skipped"


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as an aligned table."""
    lines = [tuple(name.capitalize() for name in Outcome._fields), *outcomes]
    widths = [max(len(line[column]) for line in lines) for column in range(len(Outcome._fields))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def main() -> int:
    try:
        todo = combinations()
    except RuntimeError as error:
        sys.exit(str(error))
    outcomes = [outcome(combination, sys.argv[1:]) for combination in todo]
    print(f"\n{table(outcomes)}")
    return 0 if all(line.result == "passed" for line in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
