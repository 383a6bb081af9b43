"""Where the time of one request goes inside Nautobot: its stages, its queries, and the functions that take longest.

`python -m benchmarks --profile`; runs in a Nautobot process, with Django's test client, through all of the middleware.
"""

import cProfile
import ipaddress
import json
import logging
import pstats
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client
from nautobot.extras.models import Status
from nautobot.ipam.models import Namespace, Prefix

from benchmarks import methods, report
from benchmarks.fill import ZONE, Subnet, put_subnet
from benchmarks.load import CREATED, Request
from benchmarks.stages import Watch
from development import seed

NETWORKS = {False: "10.0.0.0/16", True: "10.1.0.0/16"}
WARM_UP = 5
REPETITIONS = 30
BULK = 16
FUNCTIONS_SHOWN = 40
QUERY_SHOWN = 230


class Candidate:
    """One kind of request, and what was seen of it; all times in seconds but those of its stages."""

    def __init__(self, name: str, client: Client, make: Callable[[], Request], status: int = CREATED) -> None:
        self.name = name
        self._client, self._make, self._status = client, make, status
        self.times: list[float] = []
        self.queries: list[list[tuple[str, float]]] = []
        self.watch = Watch()
        self._profiler = cProfile.Profile()

    def send(self) -> float:
        """One request; how long it took. Raises RuntimeError for any other answer than the expected one."""
        request = self._make()
        body = json.dumps(request.body) if request.body is not None else ""
        settings.PLUGINS_CONFIG["nautobot_pve_ipam"]["serve_available_ips"] = request.taken_over
        began = time.perf_counter()
        response = self._client.generic(request.method, request.path, body, "application/json")
        took = time.perf_counter() - began
        if response.status_code != self._status:
            raise RuntimeError(f"{self.name}: {response.status_code} {response.content[:500]!r}")
        return took

    def observe(self) -> None:
        """A request for the time alone, one for its stages, one for the queries, one under the profiler."""
        self.times.append(self.send())
        self.observe_stages()
        queries: list[tuple[str, float]] = []

        def timed(execute: Callable, sql: str, *arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return execute(sql, *arguments)
            finally:
                queries.append((sql, time.perf_counter() - began))

        with connection.execute_wrapper(timed):
            self.send()
        self.queries.append(queries)
        self._profiler.runcall(self.send)

    def observe_stages(self) -> None:
        with self.watch.request():
            self.send()

    def summary(self) -> str:
        in_queries = statistics.median(sum(took for _, took in queries) for queries in self.queries)
        count = statistics.median(map(len, self.queries))
        commit = self._cumulative("_commit")
        return (
            f"{self.name:<14}{statistics.median(self.times) * 1000:7.1f} ms, of which {in_queries * 1000:6.1f} in "
            f"{count:3.0f} queries and {commit * 1000:4.1f} in the commit (profiled)"
        )

    def show(self) -> None:
        """All queries of the last request, then the functions by cumulative time."""
        print(f"\n=== {self.summary()}")
        times = defaultdict(list)
        for queries in self.queries:
            for place, (_, took) in enumerate(queries):
                times[place].append(took)
        last = [(shape(sql), statistics.median(times[place])) for place, (sql, _) in enumerate(self.queries[-1])]
        seen = Counter(sql for sql, _ in last)
        for number, (sql, took) in enumerate(last, 1):
            again = f"x{seen[sql]}" if seen[sql] > 1 else ""
            print(f"{number:4} {took * 1000:6.2f} ms {again:<4} {sql[:QUERY_SHOWN]}")
        print(f"\n{'ms':>8} {'own ms':>8} {'calls':>8}  function (under the profiler, which slows Python down)")
        by_cumulative = sorted(pstats.Stats(self._profiler).stats.items(), key=lambda item: -item[1][3])
        for (path, line, function), (_, calls, own, cumulative, _) in by_cumulative[:FUNCTIONS_SHOWN]:
            figures = (cumulative * 1000 / REPETITIONS, own * 1000 / REPETITIONS, calls / REPETITIONS)
            print("{:8.2f} {:8.2f} {:8.1f}  ".format(*figures) + f"{'/'.join(Path(path).parts[-3:])}:{line} {function}")

    def _cumulative(self, function: str) -> float:
        stats = pstats.Stats(self._profiler).stats
        return sum(entry[3] for (_, _, name), entry in stats.items() if name == function) / REPETITIONS


def main() -> None:
    """Each way to get an address, and our preview, in turns on a prefix with few addresses; print what was seen."""
    candidates = make_candidates()
    for _ in range(REPETITIONS):
        for candidate in candidates:
            candidate.observe()
    for candidate in candidates:
        candidate.show()
    print(f"\n{report.stages_table({candidate.name: candidate.watch.medians() for candidate in candidates})}\n")
    for candidate in candidates:
        print(candidate.summary())


def print_stages(repetitions: int) -> None:
    """Milliseconds by candidate and stage, as JSON."""
    candidates = make_candidates()
    for _ in range(repetitions):
        for candidate in candidates:
            candidate.observe_stages()
    print(json.dumps({candidate.name: candidate.watch.medians() for candidate in candidates}))


def make_candidates() -> list[Candidate]:
    """All that is compared, warmed up."""
    logging.disable(logging.INFO)
    client = Client(
        SERVER_NAME="localhost", HTTP_AUTHORIZATION=f"Token {seed.superuser()}", HTTP_ACCEPT="application/json"
    )
    subnet, pve = (make_subnet(client, is_pve=is_pve) for is_pve in NETWORKS)
    candidates = [Candidate(name, client, lambda make=make: make(subnet)) for name, make in methods.METHODS.items()]
    candidates.append(Candidate("ours_pve", client, lambda: methods.ours_mac(pve)))
    candidates.append(Candidate(f"ours_bulk_{BULK}", client, lambda: methods.ours_bulk(subnet, BULK)))
    candidates.append(Candidate("ours_preview", client, lambda: methods.ours_preview(subnet), 200))
    for candidate in candidates:
        for _ in range(WARM_UP):
            candidate.send()
    return candidates


def make_subnet(client: Client, *, is_pve: bool) -> Subnet:
    """A prefix of a namespace; made by the hook that PVE calls, if it is to be a PVE subnet."""
    network = ipaddress.ip_network(NETWORKS[is_pve])
    namespace, _ = Namespace.objects.get_or_create(name="bench-profile")
    if is_pve:
        request = put_subnet(namespace.name, network)
        answer = client.generic(request.method, request.path, json.dumps(request.body), "application/json")
        if answer.status_code != CREATED:
            raise RuntimeError(f"{request.path}: {answer.status_code} {answer.content!r}")
    else:
        status = Status.objects.get(name="Active")
        Prefix(prefix=str(network), namespace=namespace, status=status).validated_save()
    prefix = Prefix.objects.get(prefix=str(network), namespace=namespace)
    return Subnet(namespace.name, str(namespace.pk), str(prefix.pk), network, zone=ZONE if is_pve else None)


def shape(sql: str) -> str:
    """A query without its list of columns and the number of its savepoint, so that equal ones look equal."""
    sql = re.sub(r'^SELECT (DISTINCT )?".*?" FROM', r"SELECT \1.. FROM", " ".join(sql.split()))
    return re.sub(r'(SAVEPOINT ")[^"]*', r"\1..", sql)
