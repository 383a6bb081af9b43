"""The template database that `development.migrate` makes is what Nautobot itself would make in many times the time."""

from contextlib import closing

import pytest

from development.databases import connect, create_database, database_url, drop_database
from development.management import environment, manage
from development.servers import redis_server
from tests.nightly import nightly_only

SCHEMA = {
    "columns": "SELECT table_name, column_name, ordinal_position, column_default, is_nullable, data_type,"
    " character_maximum_length, is_identity, collation_name FROM information_schema.columns"
    " WHERE table_schema = 'public'",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "constraints": "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "functions and triggers": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    " UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    "migrations": "SELECT app, name FROM django_migrations",
}
#: What differs from run to run.
DRAWN = ("uuid", "timestamp with time zone")


def contents(url):
    """Schema and rows, as sorted texts by kind and by table."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:

        def read(query):
            cursor.execute(query)
            return sorted(map(str, cursor.fetchall()))

        found = {kind: read(query) for kind, query in SCHEMA.items()}
        cursor.execute(
            "SELECT table_name, string_agg(format('%%I::text', column_name), ', ' ORDER BY column_name)"
            " FROM information_schema.columns WHERE table_schema = 'public' AND NOT data_type = ANY(%s) GROUP BY 1",
            [list(DRAWN)],
        )
        return {**found, **{table: read(f'SELECT {columns} FROM "{table}"') for table, columns in cursor.fetchall()}}


@nightly_only
@pytest.mark.postgresql
def test_a_template_is_as_nautobot_migrates(server_url):
    names = ["nautobot_pve_ipam_template_test", "nautobot_pve_ipam_migrate_test"]
    try:
        ours = contents(create_database(server_url, names[0]))
        with closing(connect(server_url)) as server, server.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {names[1]} TEMPLATE template0 ENCODING 'UTF8'")
        url = database_url(server_url, names[1])
        with redis_server() as redis_url:
            manage(environment(url, redis_url), "migrate", "--no-input")
        theirs = contents(url)
    finally:
        for name in names:
            drop_database(server_url, name)
    assert ours.keys() == theirs.keys()
    assert ours["django_migrations"]
    assert [what for what in ours if ours[what] != theirs[what]] == []
