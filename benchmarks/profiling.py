"""Where the time of one request goes inside Nautobot: its queries, and the functions that take longest.

`python -m benchmarks --profile`; runs in a Nautobot process, with Django's test client, through all of the middleware.
"""

import cProfile
import io
import ipaddress
import json
import pstats
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from nautobot.extras.models import Status
from nautobot.ipam.models import Namespace, Prefix

from benchmarks import methods
from benchmarks.fill import Subnet
from benchmarks.load import CREATED, Request
from development import seed

NETWORK = "10.0.0.0/16"
WARM_UP = 5
REPETITIONS = 30
FUNCTIONS_SHOWN = 45
QUERY_SHOWN = 230
LITERALS = re.compile(r"'(?:[^']|'')*'|\b\d+\b")


class Profile(NamedTuple):
    """Medians in ms, and one request's queries as (SQL, seconds)."""

    name: str
    total_ms: float
    database_ms: float
    queries: list[tuple[str, float]]
    functions: str


def main() -> None:
    """Profile each way to get an address, and our preview, on a prefix with few addresses; print all findings."""
    client = Client(
        SERVER_NAME="localhost", HTTP_AUTHORIZATION=f"Token {seed.superuser()}", HTTP_ACCEPT="application/json"
    )
    subnet = make_subnet()
    kinds = {**methods.METHODS, "ours_bulk_16": lambda subnet: methods.ours_bulk(subnet, 16)}
    profiles = [profile(name, client, lambda make=make: make(subnet), CREATED) for name, make in kinds.items()]
    profiles.append(profile("ours_preview", client, lambda: methods.ours_preview(subnet), 200))
    for item in profiles:
        show(item)
    print("\nSummary")
    for item in profiles:
        print(f"{item.name:<14} {item.total_ms:8.1f} ms, {len(item.queries):3} queries {item.database_ms:8.1f} ms")


def make_subnet() -> Subnet:
    namespace = Namespace.objects.create(name="bench-profile")
    status = Status.objects.get(name="Active")
    prefix = Prefix(prefix=NETWORK, namespace=namespace, status=status)
    prefix.validated_save()
    return Subnet(namespace.name, str(namespace.pk), str(prefix.pk), ipaddress.ip_network(NETWORK))


def profile(name: str, client: Client, make: Callable[[], Request], status: int) -> Profile:
    """Send `make()` again and again: for the time alone, then counting queries, then under the profiler."""

    def send() -> float:
        request = make()
        body = json.dumps(request.body) if request.body is not None else ""
        began = time.perf_counter()
        response = client.generic(request.method, request.path, body, "application/json")
        took = time.perf_counter() - began
        if response.status_code != status:
            raise RuntimeError(f"{name}: {response.status_code} {response.content[:500]!r}")
        return took

    for _ in range(WARM_UP):
        send()
    total = statistics.median(send() for _ in range(REPETITIONS))
    database = []
    for _ in range(REPETITIONS):
        with CaptureQueriesContext(connection) as captured:
            send()
        database.append(sum(float(query["time"]) for query in captured.captured_queries))
    queries = [(query["sql"], float(query["time"])) for query in captured.captured_queries]
    profiler = cProfile.Profile()
    for _ in range(REPETITIONS):
        profiler.runcall(send)
    return Profile(name, total * 1000, statistics.median(database) * 1000, queries, top_functions(profiler))


def top_functions(profiler: cProfile.Profile) -> str:
    """By cumulative time, in ms per request."""
    stats = pstats.Stats(profiler, stream=io.StringIO())
    lines = [f"{'ms':>8} {'own ms':>8} {'calls':>8}  function"]
    by_cumulative = sorted(stats.stats.items(), key=lambda item: -item[1][3])
    for (path, line, function), (_, calls, own, cumulative, _) in by_cumulative[:FUNCTIONS_SHOWN]:
        where = f"{'/'.join(Path(path).parts[-3:])}:{line} {function}"
        per_request = (cumulative * 1000 / REPETITIONS, own * 1000 / REPETITIONS, calls / REPETITIONS)
        lines.append("{:8.2f} {:8.2f} {:8.1f}  {}".format(*per_request, where))
    return "\n".join(lines)


def show(item: Profile) -> None:
    print(
        f"\n=== {item.name}: {item.total_ms:.1f} ms, of which {item.database_ms:.1f} ms in {len(item.queries)} queries"
    )
    seen = Counter(LITERALS.sub("?", sql) for sql, _ in item.queries)
    for number, (sql, seconds) in enumerate(item.queries, 1):
        again = seen[LITERALS.sub("?", sql)]
        print(f"{number:3} {seconds * 1000:6.1f} ms {f'x{again}' if again > 1 else '':<4} {shortened(sql)}")
    print(item.functions)


def shortened(sql: str) -> str:
    """Without the list of columns, which says nothing here."""
    sql = re.sub(r'^SELECT (DISTINCT )?".*?" FROM', r"SELECT \1.. FROM", " ".join(sql.split()))
    return sql if len(sql) <= QUERY_SHOWN else f"{sql[: QUERY_SHOWN - 3]}..."
