"""What the database actually did for a query: how many rows it read and, on PostgreSQL, in which plan steps."""

import json
from dataclasses import dataclass

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
    """Number of rows that MariaDB has read in this session."""
    with connection.connection.cursor() as cursor:  # the driver's own cursor: Django's would be recorded
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(count) for _, count in cursor.fetchall())
