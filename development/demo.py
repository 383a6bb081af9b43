"""The demo: a Nautobot with a small PVE network, and five guests that ask it for their addresses.

`run` (make demo) stays in the foreground until Ctrl-C; `up` and `down` start and stop it in the background; `check`
does both and compares the five addresses. While it runs, `.demo/env` tells where it is and holds a token.
"""

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, NoReturn, TextIO

from development.databases import checkout_database, create_database, drop_database
from development.management import run_python
from development.paths import REPOSITORY
from development.servers import postgresql
from development.web import WebServer, nautobot_web

STATE = REPOSITORY / ".demo"
ENVIRONMENT = STATE / "env"
LOG = STATE / "log"
FIRST_PORT = 8000
WORKERS = 2


class Guest(NamedTuple):
    """One request, and the address that the demo's data lead to."""

    vmid: int
    hostname: str
    mac: str
    subnet: str
    ranges: tuple[str, ...]
    expected: str


IPV4 = ("10.0.0.100-10.0.0.149", "10.0.0.150-10.0.0.199")
IPV6 = ("2001:db8:10::100-2001:db8:10::1ff", "2001:db8:10::200-2001:db8:10::2ff")
GUESTS = (
    Guest(101, "web2", "BC:24:11:00:00:01", "10.0.0.0/24", IPV4, "10.0.0.101/24"),
    Guest(102, "db2", "BC:24:11:00:00:02", "10.0.0.0/24", IPV4, "10.0.0.103/24"),
    Guest(103, "mail1", "BC:24:11:00:00:03", "10.0.0.0/24", IPV4[1:], "10.0.0.150/24"),
    Guest(104, "web3", "BC:24:11:00:00:04", "2001:db8:10::/64", IPV6, "2001:db8:10::101/64"),
    Guest(105, "backup1", "BC:24:11:00:00:05", "2001:db8:10::/64", IPV6[1:], "2001:db8:10::200/64"),
)


class DemoError(RuntimeError):
    """Its sentence is all that the user needs to see."""


def run() -> None:
    """The demo in the foreground, until Ctrl-C."""
    with _demo() as web:
        ask_for_addresses()
        print(f"\nLook at it: {web.url}/ (user admin, password admin).")
        print("Ctrl-C stops everything.", flush=True)
        web.process.wait()
        raise DemoError("Nautobot's web server has ended by itself.")


def serve() -> None:
    """What `up` runs in the background."""
    with _demo() as web:
        web.process.wait()
        raise DemoError("Nautobot's web server has ended by itself.")


def up() -> list[str]:
    """Start the demo in the background; return the guests' addresses when all have theirs."""
    if _is_running():
        raise DemoError("The demo is running already: make demo-down stops it.")
    ENVIRONMENT.unlink(missing_ok=True)
    with LOG.open("w") as log, LOG.open() as shown:
        process = subprocess.Popen(
            [sys.executable, "-m", "development.demo", "serve"],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            while not ENVIRONMENT.exists():
                if process.poll() is not None:
                    raise DemoError(f"The demo has not started:\n{shown.read()}")
                time.sleep(0.1)
                print(shown.read(), end="", flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        print(shown.read(), end="", flush=True)
    try:
        return ask_for_addresses()
    except BaseException:
        down()
        raise


def down() -> None:
    """Stop the demo, wherever it runs; does nothing if it is not running."""
    if not _is_running():
        ENVIRONMENT.unlink(missing_ok=True)
        print("No demo is running.")
        return
    with _lock_file() as lock:
        os.kill(int(lock.read()), signal.SIGTERM)
        fcntl.flock(lock, fcntl.LOCK_EX)
    print("The demo has stopped.")


def check() -> None:
    """Start the demo, compare the five addresses with the expected ones, stop it."""
    got = up()
    down()
    expected = [guest.expected for guest in GUESTS]
    if got != expected:
        raise DemoError(f"Expected the addresses {expected}, got {got}.")
    print("demo-check: the five addresses are as expected.")


def ask_for_addresses() -> list[str]:
    """Let the Python client of `pve/` ask for each guest's address; print what it asked and got."""
    demo = dict(line.split("=", 1) for line in ENVIRONMENT.read_text().splitlines())
    env = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY / "pve"),
        "PVE_NAUTOBOT_URL": demo["NAUTOBOT_URL"],
        "PVE_NAUTOBOT_NAMESPACE": "pve",
        "PVE_NAUTOBOT_TOKEN": demo["NAUTOBOT_TOKEN"],
    }
    addresses = []
    for guest in GUESTS:
        arguments = ["next-free-ip", guest.subnet]
        arguments += [argument for bounds in guest.ranges for argument in ("--range", bounds)]
        arguments += ["--vmid", str(guest.vmid), "--hostname", guest.hostname, "--mac", guest.mac]
        print(f"\n$ pve-nautobot {shlex.join(arguments)}")
        command = [sys.executable, "-m", "pve_nautobot", *arguments]
        result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if result.returncode:
            raise DemoError(f"The client ended with status {result.returncode}: {result.stderr}{result.stdout}")
        print(result.stdout, end="", flush=True)
        addresses.append(result.stdout.strip())
    return addresses


@contextmanager
def _demo() -> Iterator[WebServer]:
    """The web server on the demo's data, recreated; `.demo/env` exists while it answers."""
    started = time.monotonic()
    with ExitStack() as stack:
        lock = stack.enter_context(_lock_file())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("The demo is running already: make demo-down stops it.") from None
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        server_url = stack.enter_context(postgresql())
        name = checkout_database("demo")
        database_url = create_database(server_url, name)
        stack.callback(drop_database, server_url, name)
        web = stack.enter_context(nautobot_web(database_url, workers=WORKERS, first_port=FIRST_PORT))
        code = "from development import seed; key = seed.superuser(); seed.pve_network(); print(key)"
        _write_environment(web.url, run_python(web.environment, code).strip())
        stack.callback(ENVIRONMENT.unlink, missing_ok=True)
        print(f"Nautobot answers on {web.url} after {time.monotonic() - started:.0f} s.", flush=True)
        yield web


def _write_environment(url: str, token: str) -> None:
    unfinished = STATE / "env.unfinished"
    with open(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(f"NAUTOBOT_URL={url}\nNAUTOBOT_TOKEN={token}\n")
    unfinished.rename(ENVIRONMENT)


def _lock_file() -> TextIO:
    """Locked by the running demo and holding its process id; the kernel unlocks it for a killed one too."""
    STATE.mkdir(exist_ok=True)
    path = STATE / "lock"
    path.touch()
    return path.open("r+")


def _is_running() -> bool:
    with _lock_file() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _end(signal_number: int, frame: object) -> NoReturn:
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)  # once is enough: what was started is being stopped
    raise SystemExit(0 if signal_number == signal.SIGINT else 128 + signal_number)


def main() -> None:
    commands = {"run": run, "serve": serve, "up": up, "down": down, "check": check}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: python -m development.demo {'|'.join(commands)}")
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _end)
    try:
        commands[sys.argv[1]]()
    except RuntimeError as error:  # servers that do not start, and DemoError
        sys.exit(str(error))


if __name__ == "__main__":
    main()
