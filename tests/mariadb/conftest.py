"""A MariaDB server of this run's own, and Django on it."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from development.servers import end, end_with_parent
from tests.mariadb.available import program

START_SECONDS = 60
DATABASE = "nautobot"


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """Path of the socket of a running server; its user root needs no password."""
    import MySQLdb  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="nautobot-pve-ipam-mariadb-") as directory:
        account = ["--user=root"] if os.getuid() == 0 else []  # else it refuses to run as root
        data, socket, log = (Path(directory) / name for name in ("data", "socket", "log"))
        install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db", *account]
        subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        command = [program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={socket}", *account]
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
