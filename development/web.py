"""Nautobot's own web server (uWSGI) as a context manager, for demo, tests and benchmarks alike."""

import hashlib
import http.client
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

from development.databases import core_key
from development.management import APP, environment, manage, server_command
from development.paths import REPOSITORY, cache_home
from development.servers import end, end_with_parent, redis_server

START_SECONDS = 180
PORTS_TRIED = 100

# Requests go through uWSGI's HTTP router: its plain http-socket closes every connection after one request.
CONFIGURATION = """\
[uwsgi]
strict = true
master = true
need-app = true
module = nautobot.core.wsgi:application
processes = {workers}
enable-threads = true
http = 127.0.0.1:{port}
http-keepalive = 1
http-auto-chunked = true
buffer-size = 65535
static-map = /static={static}
disable-logging = true
die-on-term = true
no-orphans = true
vacuum = true
"""


@dataclass(frozen=True)
class WebServer:
    """A running Nautobot: `url` is its root without a slash at the end; `environment` is for management commands."""

    url: str
    database_url: str
    environment: dict[str, str] = field(repr=False)
    process_id: int


@contextmanager
def nautobot_web(
    database_url: str, workers: int = 2, *, port: int | None = None, plugins: str = APP
) -> Iterator[WebServer]:
    """Serve the database on 127.0.0.1 until the block ends; `port` is a free one unless named.

    `plugins`: Nautobot Apps to load, separated by spaces; empty for core alone. Raises RuntimeError with the end of
    the server's log when it does not start.
    """
    port = port or free_port()
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis_server())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-web-")))
        static = static_files(environment(database_url, redis_url))
        env = environment(database_url, redis_url, plugins=plugins, static=static)
        configuration = directory / "uwsgi.ini"
        configuration.write_text(CONFIGURATION.format(workers=workers, port=port, static=static))
        log = directory / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                server_command("start", "--ini", str(configuration)),
                env=env, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=end_with_parent(),
            )  # fmt: skip
        stack.callback(end, process)
        url = f"http://127.0.0.1:{port}"
        _wait_for_answer(process, url, log)
        yield WebServer(url, database_url, env, process.pid)


def free_port(preferred: int = 0) -> int:
    """The first port of 127.0.0.1 from `preferred` on that nobody listens on; any free one for 0."""
    for port in range(preferred, preferred + PORTS_TRIED) if preferred else [0]:
        with socket.socket() as listener:
            # As uWSGI does: connections of an earlier server that the system still remembers do not count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise RuntimeError(f"no free port from {preferred} to {preferred + PORTS_TRIED - 1}")


def static_files(env: dict[str, str]) -> Path:
    """Directory with the collected static files of Nautobot and the App; collected when one of them has changed."""
    digest = hashlib.sha256(core_key().encode())
    for path in sorted((REPOSITORY / APP).glob("static/**/*")):
        if path.is_file():
            digest.update(f"{path.relative_to(REPOSITORY)}\n".encode() + path.read_bytes())
    collected = cache_home() / f"static-{digest.hexdigest()[:12]}"
    if not collected.exists():
        for old in cache_home().glob("static-*"):
            if time.time() - old.stat().st_mtime > 7 * 86400:
                shutil.rmtree(old, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache_home()))
        manage(env | {"NAUTOBOT_PVE_IPAM_STATIC_ROOT": str(unfinished)}, "collectstatic", "--no-input")
        try:
            unfinished.rename(collected)
        except OSError:  # another run was faster
            shutil.rmtree(unfinished)
    return collected


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
