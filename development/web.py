"""Nautobot's own web server (uWSGI) as a context manager, for demo, tests and benchmarks alike."""

import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from development.databases import core_key
from development.management import APP, environment, manage, server_command
from development.paths import REPOSITORY, cache_home
from development.servers import end, end_with_parent, redis_server

START_SECONDS = 180
PORTS_TRIED = 100
BACKLOG = 128
STATIC_FILES_KEPT_SECONDS = 30 * 86400  # since they were used

# Requests go through uWSGI's HTTP router: its plain http-socket closes every connection after one request. The router
# takes over a socket that listens already, so that no other server can get the port between the choice and the start.
# Its timeout is not reached by a request that waits for its turn among many, on a busy machine.
# Workers end without tearing down Python, which would take them 12 seconds.
CONFIGURATION = """\
[uwsgi]
strict = true
master = true
need-app = true
module = nautobot.core.wsgi:application
processes = {workers}
enable-threads = true
http = fd://{listener}
http-keepalive = 1
http-auto-chunked = true
http-timeout = 300
buffer-size = 65535
static-map = /static={static}
disable-logging = true
die-on-term = true
no-orphans = true
vacuum = true
skip-atexit-teardown = true
"""


@dataclass(frozen=True)
class WebServer:
    """A running Nautobot: `url` is its root without a slash at the end; `environment` is for management commands."""

    url: str
    database_url: str
    environment: dict[str, str] = field(repr=False)
    process: subprocess.Popen = field(repr=False)


@contextmanager
def nautobot_web(
    database_url: str,
    workers: int = 2,
    *,
    first_port: int = 0,
    plugins: str = APP,
    settings: dict[str, Any] | None = None,
) -> Iterator[WebServer]:
    """Serve the database on 127.0.0.1 until the block ends, on the first free port from `first_port` on; 0: any.

    `plugins`: Nautobot Apps to load, separated by spaces; empty for core alone. `settings`: of our App, in
    PLUGINS_CONFIG. Raises RuntimeError with the end of the server's log when it does not start.
    """
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis_server())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-web-")))
        static = static_files(environment(database_url, redis_url))
        env = environment(database_url, redis_url, plugins=plugins, static=static)
        env["NAUTOBOT_PVE_IPAM_SETTINGS"] = json.dumps(settings or {})
        configuration = directory / "uwsgi.ini"
        log = directory / "log"
        with _listener(first_port) as listener, log.open("w") as output:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            configuration.write_text(CONFIGURATION.format(workers=workers, listener=listener.fileno(), static=static))
            process = subprocess.Popen(
                server_command("start", "--ini", str(configuration)),
                env=env, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=[listener.fileno()], start_new_session=True, preexec_fn=end_with_parent(),
            )  # fmt: skip
        stack.callback(end, process)
        _wait_for_answer(process, url, log)
        yield WebServer(url, database_url, env, process)


def static_files(env: dict[str, str]) -> Path:
    """Directory with the collected static files of Nautobot and the App; collected when one of them has changed."""
    digest = hashlib.sha256(core_key().encode())
    for path in sorted((REPOSITORY / APP).glob("static/**/*")):
        if path.is_file():
            digest.update(f"{path.relative_to(REPOSITORY)}\n".encode() + path.read_bytes())
    collected = cache_home() / f"static-{digest.hexdigest()[:12]}"
    if not collected.exists():
        for old in cache_home().glob("static-*"):
            if time.time() - old.stat().st_mtime > STATIC_FILES_KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache_home()))
        manage(env | {"NAUTOBOT_PVE_IPAM_STATIC_ROOT": str(unfinished)}, "collectstatic", "--no-input")
        try:
            unfinished.rename(collected)
        except OSError:  # another run was faster
            shutil.rmtree(unfinished)
    os.utime(collected)
    return collected


def _listener(first_port: int) -> socket.socket:
    """A listening socket of 127.0.0.1."""
    for port in range(first_port, first_port + PORTS_TRIED) if first_port else [0]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(BACKLOG)
            return listener
        except OSError:
            listener.close()
    raise RuntimeError(f"no free port from {first_port} to {first_port + PORTS_TRIED - 1}")


def _wait_for_answer(process: subprocess.Popen, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/login/", timeout=START_SECONDS):
                return
        except (OSError, http.client.HTTPException) as error:
            answered_badly = isinstance(error, urllib.error.HTTPError)
            if answered_badly or process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
                raise RuntimeError(f"Nautobot does not start on {url} ({error}):\n{tail}") from error
            time.sleep(0.1)
