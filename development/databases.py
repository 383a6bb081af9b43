"""Migrated template databases, kept between runs, and databases cloned from them in a second.

Two levels, since Nautobot's own migrations take minutes and ours change often: the core template (Nautobot alone)
is keyed by what is installed, the App's template (a clone of it plus our migrations) by that and our own files.
A template is built under another name and renamed when it is complete: an interrupted build is never used.
"""

import hashlib
import importlib.metadata
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from development.management import APP, migrate
from development.mariadb import migrated_mariadb
from development.paths import REPOSITORY
from development.servers import postgresql

PREFIX = "nautobot_pve_ipam"
#: Of 26 MB each. make test-matrix needs up to one for each combination, checkouts that take turns theirs too.
TEMPLATES_KEPT = {"core": 6, "app": 8}
KEY_LENGTH = 12
# What decides what our migrations leave in a database: they themselves, and what Nautobot makes of models and jobs
# when they have finished.
APP_SOURCES = ("__init__.py", "migrations/**/*.py", "models*", "models/**/*.py", "signals*", "jobs*", "jobs/**/*.py")


def database_url(server_url: str, name: str) -> str:
    """URL of another database on the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def core_key() -> str:
    """Changes with every installed package that brings Django migrations, and with its version."""
    with_migrations = {
        f"{distribution.metadata['Name']} {distribution.version}"
        for distribution in importlib.metadata.distributions()
        if "/migrations/" in (distribution.read_text("RECORD") or "")
        and distribution.metadata["Name"] != "nautobot-pve-ipam"
    }
    return hashlib.sha256("\n".join(sorted(with_migrations)).encode()).hexdigest()[:KEY_LENGTH]


def app_key(core: str, package: Path = REPOSITORY / APP) -> str:
    """Changes with the core key and with every file of the App that shapes its tables."""
    digest = hashlib.sha256(core.encode())
    files = {path for pattern in APP_SOURCES for path in package.glob(pattern) if path.is_file()}
    for path in sorted(files):
        if path.suffix == ".py":
            digest.update(f"\n{path.relative_to(package)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:KEY_LENGTH]


def create_database(server_url: str, name: str) -> str:
    """Recreate `name` as a copy of the migrated template, which is built first if it is missing; return its URL."""
    with _connected(server_url) as server:
        _drop(server, name)
        _clone_template(server, server_url, name)
    return database_url(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    """Drop `name` if it exists, whoever is connected to it."""
    with _connected(server_url) as server:
        _drop(server, name)


def checkout_database(purpose: str) -> str:
    """Name of this checkout's own database for `purpose`."""
    return f"{PREFIX}_{hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]}_{purpose}"


@contextmanager
def fresh_database(purpose: str) -> Iterator[str]:
    """URL of a migrated database that lives as long as the block: on PostgreSQL, or on MariaDB if
    `NAUTOBOT_PVE_IPAM_SERVER` says so.
    """
    if os.environ.get("NAUTOBOT_PVE_IPAM_SERVER") == "mariadb":
        with migrated_mariadb(app_key(core_key())) as url:
            yield url
    else:
        with postgresql() as server_url, scratch_database(server_url, purpose) as url:
            yield url


def connect(url: str) -> Any:
    """A connection to a database of either kind, in autocommit mode."""
    parts = urlsplit(url)
    if parts.scheme == "mysql":
        import MySQLdb  # noqa: PLC0415  (only who tests on MariaDB has it)

        (socket,) = parse_qs(parts.query)["unix_socket"]
        return MySQLdb.connect(unix_socket=socket, user=parts.username, database=parts.path[1:], autocommit=True)
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


@contextmanager
def scratch_database(server_url: str, purpose: str) -> Iterator[str]:
    """URL of a migrated database that lives as long as the block; what killed runs left behind is dropped first."""
    prefix = checkout_database(f"scratch_{purpose}_")
    name = prefix + uuid.uuid4().hex[:8]
    with _connected(server_url) as server:
        for leftover in _databases(server, prefix):
            if _query(server, "SELECT pg_try_advisory_lock(%s)", _lock_id(leftover)) == [(True,)]:
                _drop(server, leftover)
        _query(server, "SELECT pg_advisory_lock(%s)", _lock_id(name))
        _clone_template(server, server_url, name)
        try:
            yield database_url(server_url, name)
        finally:
            _drop(server, name)


def _clone_template(server: "psycopg2.extensions.connection", server_url: str, name: str) -> None:
    with _only_one(server):
        core = core_key()
        core_template = f"{PREFIX}_core_{core}"
        app_template = f"{PREFIX}_app_{app_key(core)}"
        if not _databases(server, app_template):
            if not _databases(server, core_template):
                print("Migrating an empty database to Nautobot: two minutes, once for this version.", flush=True)
                _build(server, server_url, core_template, plugins="")
            print("Migrating it to the App.", flush=True)
            _build(server, server_url, app_template, source=core_template, plugins=APP)
        _execute(server, "CREATE DATABASE {} TEMPLATE {}", name, app_template)
        for template in (core_template, app_template):
            _note_use(server, template)
        for kind, kept in TEMPLATES_KEPT.items():
            _drop_old_templates(server, kind, kept)


def _build(
    server: "psycopg2.extensions.connection", server_url: str, name: str, plugins: str, source: str = "template0"
) -> None:
    unfinished = f"{name}_unfinished"
    _drop(server, unfinished)
    encoding = " ENCODING 'UTF8'" if source == "template0" else ""
    _execute(server, "CREATE DATABASE {} TEMPLATE {}" + encoding, unfinished, source)
    # For this build only: a copy does not inherit settings of the database.
    _execute(server, "ALTER DATABASE {} SET synchronous_commit = off", unfinished)
    migrate(database_url(server_url, unfinished), plugins=plugins)
    _execute(server, "ALTER DATABASE {} RENAME TO {}", unfinished, name)


def _note_use(server: "psycopg2.extensions.connection", template: str) -> None:
    _query(server, sql.SQL("COMMENT ON DATABASE {} IS %s").format(sql.Identifier(template)), f"{time.time():.0f}")


def _drop_old_templates(server: "psycopg2.extensions.connection", kind: str, kept: int) -> None:
    by_use = _query(
        server,
        "SELECT datname FROM pg_database WHERE datname LIKE %s ORDER BY shobj_description(oid, 'pg_database') DESC",
        f"{PREFIX}\\_{kind}\\_%",
    )
    for (name,) in by_use[kept:]:
        _drop(server, name)


@contextmanager
def _only_one(server: "psycopg2.extensions.connection") -> Iterator[None]:
    """Building and cloning templates is for one process at a time; the lock goes with the connection."""
    lock = _lock_id(f"{PREFIX} templates")
    if _query(server, "SELECT pg_try_advisory_lock(%s)", lock) != [(True,)]:
        print("Waiting for another run that is preparing a database.", flush=True)
        _query(server, "SELECT pg_advisory_lock(%s)", lock)
    try:
        yield
    finally:
        _query(server, "SELECT pg_advisory_unlock(%s)", lock)


def _lock_id(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _connected(server_url: str) -> Iterator["psycopg2.extensions.connection"]:
    with closing(connect(server_url)) as server:
        yield server


def _databases(server: "psycopg2.extensions.connection", prefix: str) -> list[str]:
    found = _query(server, "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", prefix)
    return [name for (name,) in found if not name.endswith("_unfinished")]


def _drop(server: "psycopg2.extensions.connection", name: str) -> None:
    _execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _execute(server: "psycopg2.extensions.connection", statement: str, *names: str) -> None:
    with server.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _query(server: "psycopg2.extensions.connection", statement: str | sql.Composed, *values: object) -> list[tuple]:
    with server.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
