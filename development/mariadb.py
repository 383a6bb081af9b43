"""MariaDB for the tests: a server for each run, on a copy of a migrated database that is kept between runs.

MariaDB has no template databases as PostgreSQL has: what is kept and copied is a whole data directory, of a server that
was shut down. The programs are Debian's mariadb-server, the driver is mysqlclient.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from development.management import migrate
from development.paths import cache_home
from development.servers import end, end_with_parent

START_SECONDS = 60
#: A server has one database, of this name.
DATABASE = "nautobot"


def program(name: str) -> str | None:
    """Path of one of MariaDB's programs; servers are often not in an ordinary user's search path."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def mariadb_server(data: Path | None = None) -> Iterator[str]:
    """Socket of a running server, whose user root needs no password; of a new one, or on this data directory."""
    import MySQLdb  # noqa: PLC0415  (tests alone need it, and not all of them)

    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-mariadb-") as directory:
        socket, log = (Path(directory) / name for name in ("socket", "log"))
        if data is None:
            data = Path(directory) / "data"
            _install(data)
        command = [program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={socket}", *_account()]
        command += ["--skip-networking", "--skip-grant-tables", "--character-set-server=utf8mb4"]
        # What is tested is gone with the server: nothing needs to reach the disk.
        command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=512M"]
        with log.open("w") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, preexec_fn=end_with_parent()
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    MySQLdb.connect(unix_socket=str(socket), user="root").close()
                    break
                except MySQLdb.OperationalError as error:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"MariaDB does not start:\n{log.read_text()}") from error
                    time.sleep(0.05)
            yield str(socket)
        finally:
            end(process)


@contextmanager
def migrated_mariadb(key: str) -> Iterator[str]:
    """URL of a migrated database that lives as long as the block; `key` changes with what the migrations make."""
    kept = cache_home() / f"mariadb-{key}"
    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-mariadb-") as directory:
        data = Path(directory) / "data"
        with (cache_home() / "mariadb.lock").open("w") as lock:  # another run may build, or drop what is old
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                _build(kept)
            shutil.copytree(kept, data)
        with mariadb_server(data) as socket:
            yield database_url(socket)


def database_url(socket: str) -> str:
    """As `development.nautobot_config` takes it."""
    return f"mysql://root@/{DATABASE}?unix_socket={quote(socket, safe='')}"


def _build(kept: Path) -> None:
    import MySQLdb  # noqa: PLC0415

    for old in cache_home().glob("mariadb-*"):
        shutil.rmtree(old)
    unfinished = Path(tempfile.mkdtemp(prefix="mariadb-unfinished-", dir=cache_home()))
    _install(unfinished / "data")
    with mariadb_server(unfinished / "data") as socket:
        server = MySQLdb.connect(unix_socket=socket, user="root")
        server.cursor().execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        server.close()
        print("Migrating an empty MariaDB to Nautobot and the App: some minutes, once for this version.", flush=True)
        migrate(database_url(socket))
    (unfinished / "data").rename(kept)
    unfinished.rmdir()


def _account() -> list[str]:
    return ["--user=root"] if os.getuid() == 0 else []  # else it refuses to run as root


def _install(data: Path) -> None:
    install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *_account()]
    subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
