"""A running Nautobot for tests, and plain HTTP requests to it."""

import base64
import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import redis

from development.databases import connect
from development.management import server_command
from development.paths import REPOSITORY
from development.servers import end
from development.web import WebServer

TIMEOUT_SECONDS = 120

# Runs each line of its input, a JSON string of Python code, and prints what that printed and its error, if any.
_SHELL = """
import contextlib, io, json, sys, traceback
for line in sys.stdin:
    printed, failed = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            exec(json.loads(line), {"__name__": "shell"})
    except Exception:
        failed = traceback.format_exc()
    print(json.dumps([printed.getvalue(), failed]), flush=True)
"""


@dataclass(frozen=True)
class Answer:
    """An HTTP response; `body` is the parsed JSON, the text if it is not JSON, or None if it is empty."""

    status: int
    reason: str
    headers: Message
    body: Any


def http_request(
    method: str, url: str, body: Any = None, token: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """Send one request on a new connection; error statuses do not raise. Bytes are sent as is, other bodies as JSON."""
    parts = urlsplit(url)
    sent = {"Accept": "application/json", **(headers or {})}
    if token:
        sent.setdefault("Authorization", f"Token {token}")
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)) as connection:
        connection.request(method, parts._replace(scheme="", netloc="").geturl(), body, sent)
        response = connection.getresponse()
        content = response.read()
    if "json" in response.headers.get("Content-Type", ""):
        parsed = json.loads(content) if content else None
    else:
        parsed = content.decode() or None
    return Answer(response.status, response.reason, response.headers, parsed)


class Shell:
    """A process with this Nautobot set up, kept because starting one takes ten seconds."""

    def __init__(self, web: WebServer) -> None:
        self._process = subprocess.Popen(
            server_command("shell", "--no-imports", "--command", _SHELL),
            env=web.environment,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str) -> str:
        """Run the code and return what it printed. Raises RuntimeError with its traceback if it fails."""
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        printed, failed = json.loads(self._process.stdout.readline())
        if failed:
            raise RuntimeError(failed)
        return printed

    def close(self) -> None:
        """End the process, as the end of this one would: it reads until its input is closed."""
        self._process.communicate()


@dataclass(frozen=True)
class Live:
    """A Nautobot web server with its own database.

    Tests share it: each creates what it needs in uniquely named namespaces and does not clean up.
    """

    web: WebServer
    token: str = field(repr=False)
    shell: Shell | None = None

    @property
    def url(self) -> str:
        """Root of the server, without a slash at the end."""
        return self.web.url

    @property
    def api(self) -> str:
        """Base of the App's REST API, with a slash at the end."""
        return f"{self.web.url}/api/plugins/pve-ipam/"

    @property
    def database_url(self) -> str:
        return self.web.database_url

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """`http_request` as the superuser (or `token=`); `path` is relative to the App's API, or starts with /api/."""
        url = self.url + path if path.startswith("/") else self.api + path
        return http_request(method, url, body, **{"token": self.token, **options})

    def manage(self, code: str) -> str:
        """Run Python inside this Nautobot, in a separate process; return what it printed."""
        return self.shell.run(code)

    @contextmanager
    def answering_available_ips(self, is_on: bool = True) -> Iterator[None]:
        """A block in which the App answers core's own available-ips of this Nautobot, or does not."""
        switch = "from constance import config; config.nautobot_pve_ipam__serve_available_ips = {}"
        self.manage(switch.format(is_on))
        yield
        self.manage(switch.format(not is_on))

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A block in which a worker does the Jobs of this Nautobot."""
        process = subprocess.Popen(
            server_command("celery", "worker", "--pool", "solo", "--loglevel", "ERROR"),
            env=self.web.environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            end(process)

    def queued_tasks(self) -> list[tuple[str, list[Any]]]:
        """Name and positional arguments of each queued task (no worker is running), newest first.

        A webhook is `nautobot.extras.tasks.process_webhook` with (webhook ID, object data, model, action, ..).
        """
        with closing(redis.Redis.from_url(self.web.environment["NAUTOBOT_PVE_IPAM_REDIS"])) as client:
            messages = map(json.loads, client.lrange(f"{urlsplit(self.database_url).path[1:]}:default", 0, -1))
            return [
                (message["headers"]["task"], json.loads(base64.b64decode(message["body"]))[0]) for message in messages
            ]

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A connection to its database, in autocommit mode."""
        with closing(connect(self.database_url)) as connection:
            yield connection
