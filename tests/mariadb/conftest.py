"""A MariaDB server for this run, and Django using it."""

from collections.abc import Iterator
from typing import Any

import pytest

from development.mariadb import DATABASE, mariadb_server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[str]:
    """Path of the socket of a running server, on which root needs no password."""
    with mariadb_server() as socket:
        yield socket


@pytest.fixture
def connect(mariadb: str) -> Iterator[Any]:
    """A function that opens additional connections in autocommit mode: `connect()` returns a cursor."""
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
    """An empty MariaDB as Django's default database during the test."""
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
