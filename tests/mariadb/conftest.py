"""A MariaDB server of this run's own, with the tables that a search reads.

Only where `mariadbd` and the Python package mysqlclient are installed, as .ci/run does: in CI they must be.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from development.servers import end, end_with_parent

START_SECONDS = 60
DATABASE = "nautobot"


def _missing() -> str:
    if not _program("mariadbd"):
        return "MariaDB is not tested: there is no mariadbd (apt-get install mariadb-server)"
    if importlib.util.find_spec("MySQLdb") is None:
        return "MariaDB is not tested: mysqlclient is missing (pip install mysqlclient; needs libmariadb-dev and gcc)"
    return ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """Path of the socket of a running server; its user root needs no password."""
    if missing := _missing():
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    import MySQLdb  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-mariadb-") as directory:
        account = ["--user=root"] if os.getuid() == 0 else []  # else it refuses to run as root
        data, socket, log = (Path(directory) / name for name in ("data", "socket", "log"))
        install = [_program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *account]
        subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        command = [_program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={socket}", *account]
        command += ["--skip-networking", "--skip-grant-tables", "--character-set-server=utf8mb4"]
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_parent(),  # noqa: PLW1509
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    MySQLdb.connect(unix_socket=str(socket), user="root").close()
                    break
                except MySQLdb.OperationalError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            yield str(socket)
        finally:
            end(process)


@pytest.fixture
def connect(mariadb: str) -> Iterator[Any]:
    """A function for connections beside Django's, in autocommit mode: `connect()` returns a cursor."""
    import MySQLdb  # noqa: PLC0415

    opened = []

    def connect():
        connection = MySQLdb.connect(unix_socket=mariadb, user="root", autocommit=True)
        opened.append(connection)
        return connection.cursor()

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def database(mariadb: str, connect: Any, django_db_blocker: Any) -> Iterator[Any]:
    """MariaDB as Django's default database while the test runs, as empty as it can be."""
    from django.db import connections  # noqa: PLC0415
    from django.db.utils import ConnectionHandler  # noqa: PLC0415

    connect().execute(f"CREATE OR REPLACE DATABASE {DATABASE}")
    settings = {"ENGINE": "django.db.backends.mysql", "NAME": DATABASE, "USER": "root", "HOST": mariadb}
    with django_db_blocker.unblock():
        postgresql, ours = connections["default"], ConnectionHandler({"default": settings})["default"]
        connections["default"] = ours
        try:
            yield ours
        finally:
            ours.close()
            connections["default"] = postgresql
