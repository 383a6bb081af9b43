"""The HTTP client: one request on a connection of its own, as PVE sends it, and many clients at once.

Many clients are threads in a few processes, so that the client's own interpreter lock is not what is measured.
"""

import http.client
import json
import multiprocessing
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PROCESSES = 4
TIMEOUT_SECONDS = 300
CREATED = 201


@dataclass(frozen=True)
class Request:
    """What a client sends; `path` starts at the root of the server. `taken_over`: to one with `serve_available_ips`."""

    method: str
    path: str
    body: Any = None
    taken_over: bool = False


@dataclass(frozen=True)
class Timed:
    """An answer, and when its request began and its last byte was read; status 0 where there was no answer."""

    status: int
    body: Any
    began: float
    ended: float

    @property
    def ms(self) -> float:
        return (self.ended - self.began) * 1000


@dataclass(frozen=True)
class Server:
    """A Nautobot that answers at `url`, and the token with which to ask it; and at `taking_over` the same, but with the
    setting `serve_available_ips`.
    """

    url: str
    token: str = field(repr=False)
    taking_over: str = ""

    def send(self, request: Request) -> Timed:
        """Time one request from connecting to the answer's last byte. A broken connection is an answer of status 0."""
        headers = {"Accept": "application/json", "Authorization": f"Token {self.token}"}
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body).encode()
        netloc = urlsplit(self.taking_over if request.taken_over else self.url).netloc
        began = time.monotonic()
        try:
            with closing(http.client.HTTPConnection(netloc, timeout=TIMEOUT_SECONDS)) as connection:
                connection.request(request.method, request.path, content, headers)
                response = connection.getresponse()
                status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return Timed(0, repr(error), began, time.monotonic())
        ended = time.monotonic()
        try:
            body = json.loads(answer) if answer else None
        except ValueError:
            body = answer.decode(errors="replace")
        return Timed(status, body, began, ended)

    def expect(self, status: int, request: Request) -> Timed:
        """`send`, for what must succeed: any other status raises RuntimeError."""
        timed = self.send(request)
        if timed.status != status:
            raise RuntimeError(f"{request.method} {request.path}: {timed.status} {str(timed.body)[:500]}")
        return timed


@dataclass
class Outcome:
    """What became of the requests of many clients; rounds add up."""

    answers: list[Timed] = field(default_factory=list)
    seconds: float = 0

    def add(self, answers: list[Timed]) -> None:
        self.answers += answers
        self.seconds += max(answer.ended for answer in answers) - min(answer.began for answer in answers)

    def figures(self) -> dict[str, Any]:
        """As in results.json; the latencies are those of all requests, also of the failed ones."""
        created = [answer.body["address"] for answer in self.answers if answer.status == CREATED]
        failed = Counter(str(answer.status) for answer in self.answers if answer.status != CREATED)
        latencies = [answer.ms for answer in self.answers]
        return {
            "created": len(created),
            "failed": failed.total(),
            "failed_statuses": dict(failed),
            "duplicates": len(created) - len(set(created)),
            "per_second": round(len(created) / self.seconds, 2),
            "p50_ms": round(statistics.median(latencies), 1),
            "p99_ms": round(statistics.quantiles(latencies, n=100, method="inclusive")[98], 1),
        }


class Clients:
    """A pool of processes in which many clients run at once, each sending its requests one after the other."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, servers: list[Server], requests: list[list[Request]]) -> list[Timed]:
        """Send `requests[i]` as client i, to the servers in turn; return all answers when the last one is there."""
        clients = [(servers[i % len(servers)], mine) for i, mine in enumerate(requests)]
        parts = [clients[i::PROCESSES] for i in range(PROCESSES)]
        return [answer for answers in self._pool.map(_run_clients, parts) for answer in answers]


@contextmanager
def clients() -> Iterator[Clients]:
    """The pool; its processes end with the block."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context, _initialise, (context.Barrier(PROCESSES),)) as pool:
        yield Clients(pool)


def _initialise(barrier: "threading.Barrier") -> None:
    global _all_ready  # noqa: PLW0603  (a barrier reaches a process of a pool in no other way)
    _all_ready = barrier


def _run_clients(clients: list[tuple[Server, list[Request]]]) -> list[Timed]:
    """In each of the processes: its share of the clients, started together with those of the others."""
    answers: list[list[Timed]] = [[] for _ in clients]

    def client(number: int) -> None:
        server, requests = clients[number]
        for request in requests:
            answers[number].append(server.send(request))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(clients))]
    _all_ready.wait(TIMEOUT_SECONDS)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answer for mine in answers for answer in mine]
