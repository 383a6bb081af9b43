"""The Perl plugin's own live test, pve/t/live.t, against this Nautobot."""

import os
import subprocess

from tests.api.hooks.perl import PLUGIN, need_perl


def test_the_plugin_against_a_live_nautobot(live):
    need_perl()
    result = subprocess.run(
        ["prove", "--failures", "t/live.t"],
        cwd=PLUGIN,
        env={**os.environ, "NAUTOBOT_URL": live.url, "NAUTOBOT_TOKEN": live.token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
