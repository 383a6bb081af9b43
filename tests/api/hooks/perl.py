"""Requirements of the Perl plugin's tests."""

import os
import shutil
import subprocess

import pytest

from development.paths import REPOSITORY

PLUGIN = REPOSITORY / "pve"
MODULES = ("HTTP::Request", "IO::Socket::SSL", "JSON", "LWP::UserAgent", "URI::Escape")
PACKAGES = "perl libwww-perl libjson-perl liburi-perl libio-socket-ssl-perl"


def need_perl() -> None:
    """If Perl or its modules are missing, fail in CI, where .ci/run installs them, and skip elsewhere."""
    loads = ["perl", *(f"-M{module}" for module in MODULES), "-e", "1"]
    if shutil.which("prove") and subprocess.run(loads, capture_output=True, check=False).returncode == 0:
        return
    sentence = f"the Perl plugin is not tested: prove or a Perl module is missing (apt-get install {PACKAGES})"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)
