"""Short and long forms of tests: the short ones run at every change, the long ones in `make test-nightly`."""

import os

import pytest

NIGHTLY = os.environ.get("NAUTOBOT_PVE_IPAM_NIGHTLY") == "1"

#: Only in the nightly run; a smaller form of the same test runs at every change.
nightly_only = pytest.mark.nightly


#: For a thorough look at random tests: so many times their usual examples.
TIMES = int(os.environ.get("NAUTOBOT_PVE_IPAM_EXAMPLES", "1"))


def examples(each_change: int, nightly: int) -> int:
    """How many examples a random test tries."""
    return (nightly if NIGHTLY else each_change) * TIMES
