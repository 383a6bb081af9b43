"""A random test that fails is repeated with the seed that its run has printed."""

import os
import re
import subprocess
import sys

from development.paths import REPOSITORY
from tests.seed import NAME

FAILS = """
from hypothesis import given, strategies

@given(strategies.lists(strategies.integers(0, 2**64), min_size=9, max_size=9))
def test_fails_soon(numbers):
    with open(__file__ + ".drawn", "a") as drawn:
        print(numbers, file=drawn)
    assert sum(numbers) % 3 != 1
"""


def run(folder, seed=None):
    """The printed seed, and all numbers that the test drew."""
    (folder / "test_fails.py").write_text(FAILS)
    environment = {name: value for name, value in os.environ.items() if name != NAME} | ({NAME: seed} if seed else {})
    command = f"-m pytest -q -p tests.seed -p no:django -c {os.devnull} --rootdir={folder} {folder}".split()
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    (printed,) = re.findall(rf"{NAME}=(\d+)", done.stdout)
    return printed, (folder / "test_fails.py.drawn").read_text()


def test_a_failing_run_is_repeated_with_its_seed(tmp_path):
    folders = [tmp_path / name for name in ("first", "again", "other")]
    for folder in folders:
        folder.mkdir()
    seed, drawn = run(folders[0])
    assert run(folders[1], seed) == (seed, drawn)
    assert run(folders[2], str(int(seed) + 1))[1] != drawn
