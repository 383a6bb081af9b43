"""Servers and databases left over from killed runs do not break the next run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg2
import pytest

from development.databases import checkout_database, scratch_database
from development.paths import REPOSITORY

pytestmark = pytest.mark.postgresql

PROGRAM = """
import os, sys
from development.postgresql import embedded_postgresql
with embedded_postgresql() as url:
    print(url, flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
"""


@pytest.fixture
def user(monkeypatch):
    """Starts processes that use an embedded PostgreSQL for this test; returns the process and its URL."""
    with tempfile.TemporaryDirectory() as cache:
        Path(cache).chmod(0o755)  # the server's account needs access to it
        monkeypatch.setenv("XDG_CACHE_HOME", cache)

        def start(behaviour: str = "waits") -> tuple[subprocess.Popen, str]:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, behaviour],
                cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            return process, process.stdout.readline().strip()

        yield start


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_the_last_user_stops_the_server_even_after_a_killed_one(user):
    killed, url = user("killed")
    killed.communicate()
    assert answers(url), "the server outlives a killed user, so that the next one can use it"
    first, second = user()[0], user()[0]
    first.communicate("")
    assert answers(url), "it is still in use"
    second.communicate("")
    assert not answers(url)


def test_leftovers_of_a_killed_run_are_dropped(server_url):
    abandon = (
        "import os, sys; from development.databases import scratch_database\n"
        "with scratch_database(sys.argv[1], 'abandoned') as url: print(url, flush=True); os._exit(0)"
    )
    with scratch_database(server_url, "abandoned") as in_use:
        command = [sys.executable, "-c", abandon, server_url]
        left_behind = subprocess.run(
            command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, check=True
        ).stdout.strip()
        assert answers(left_behind)
        with scratch_database(server_url, "abandoned"):
            assert not answers(left_behind)
            assert answers(in_use)
    assert checkout_database("scratch_abandoned_") in left_behind
