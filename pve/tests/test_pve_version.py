"""The App, the client and the Debian package share one version, `pve_nautobot.__version__`.

A release changes it there and adds an entry to each of the two changelogs; these tests fail until all of that is done.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from pve_nautobot import __version__

PVE = Path(__file__).resolve().parent.parent


def test_app_version() -> None:
    assert metadata.version("nautobot-pve-ipam") == __version__, "run make install after a version change"


def test_debian_package_version() -> None:
    newest = (PVE / "debian/changelog").read_text().splitlines()[0]
    assert newest.startswith(f"pve-nautobot-ipam ({__version__}) ")


def test_changelog_version() -> None:
    newest = re.search(r"^## (\S+)", (PVE.parent / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
