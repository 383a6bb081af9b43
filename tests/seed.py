"""All random tests of a run draw from one seed; a run that fails says how to draw the same again.

A plugin of pytest, registered by conftest.py.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings

NAME = "NAUTOBOT_PVE_IPAM_SEED"
#: In the environment, which pytest-xdist's workers inherit: they draw from the same seed.
SEED = os.environ.setdefault(NAME, str(random.SystemRandom().randrange(2**32)))

# The same everywhere: by itself, Hypothesis draws the same examples in each run in CI, and stops at 200 ms elsewhere.
settings.register_profile(
    "seeded", derandomize=False, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("seeded")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its options
def pytest_configure(config: pytest.Config) -> None:
    config.option.hypothesis_seed = config.option.hypothesis_seed or SEED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if terminalreporter.stats.get("failed"):
        terminalreporter.write_line(f"Random tests drew from {NAME}={config.option.hypothesis_seed}")
