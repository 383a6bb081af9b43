"""What the database actually did for a query: how many rows it read and, on PostgreSQL, in which plan steps."""

import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from django.db import connection

#: PostgreSQL's default, and the usual value for SSDs, with which the planner weighs indexes differently.
PAGE_COSTS = (4.0, 1.1)


@dataclass(frozen=True)
class Step:
    kind: str
    table: str
    rows: int


def steps(sql):
    """The executed steps of both plans of a SELECT; `rows` counts all rows examined, kept or not, in all loops."""
    found = []
    with connection.cursor() as cursor:
        for cost in PAGE_COSTS:
            cursor.execute("SET LOCAL random_page_cost = %s", [cost])
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            (plan,) = cursor.fetchone()
            (plan,) = json.loads(plan) if isinstance(plan, str) else plan
            found += _walk(plan["Plan"])
        cursor.execute("RESET random_page_cost")
    return found


def _walk(node):
    removed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck", "Join Filter"))
    yield Step(
        node["Node Type"], node.get("Relation Name", ""), round((node["Actual Rows"] + removed) * node["Actual Loops"])
    )
    for child in node.get("Plans", ()):
        yield from _walk(child)


def rows_read():
    """Number of rows that MariaDB has read in this session, or PostgreSQL in this transaction; from indexes, too."""
    with connection.connection.cursor() as cursor:  # the driver's own cursor: Django's would be recorded
        if connection.vendor == "mysql":
            cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        else:
            cursor.execute("SELECT '', sum(pg_stat_get_xact_tuples_returned(oid)) FROM unnest(%s) oid", [_relations()])
        return sum(int(count) for _, count in cursor.fetchall())


@cache
def _relations():
    """The IDs of the tables of IPAM and of the App, and of their indexes, on PostgreSQL."""
    with connection.connection.cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(oid) FROM pg_class WHERE relkind IN ('r', 'i')"
            " AND relname ~ '^(ipam|nautobot_pve_ipam|pve_ipam)_'"
        )
        return cursor.fetchone()[0]


@dataclass(frozen=True)
class Statement:
    """A statement, and the rows that the database read for it. `is_ours`: made by the App, not by Nautobot."""

    sql: str
    rows: int
    is_ours: bool


@contextmanager
def statements():
    """A list of the statements of the block."""
    found = []
    before = rows_read()
    so_far = rows_read()
    of_asking = so_far - before

    def note(execute, sql, parameters, many, context):
        nonlocal so_far
        try:
            return execute(sql, parameters, many, context)
        finally:
            before, so_far = so_far, rows_read()
            found.append(Statement(sql, so_far - before - of_asking, _is_ours(sys._getframe())))

    with connection.execute_wrapper(note):
        yield found


def _is_ours(frame):
    """Whether the App's code is closer than Nautobot's."""
    while frame := frame.f_back:
        package, _, module = frame.f_globals["__name__"].partition(".")
        if package in ("nautobot", "nautobot_pve_ipam") and not module.endswith("querysets"):
            return package == "nautobot_pve_ipam"
    return False
