"""Clients in separate processes, each with its own connections, all started at the same moment."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.live import Answer, http_request

START_SECONDS = 120
#: An importable function, and its arguments.
Task = tuple[Callable[..., Any], tuple[Any, ...]]


def together(*tasks: Task) -> list[Any]:
    """Run each task in a separate process; returns their results, in order.

    Re-raises any exception of a task.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(tasks), mp_context=context) as pool:
        start = manager.Barrier(len(tasks))
        futures = [pool.submit(_from_the_start, start, function, arguments) for function, arguments in tasks]
        return [future.result() for future in futures]


def post(url: str, token: str, bodies: Sequence[Any]) -> list[Answer]:
    """Send the bodies one after the other."""
    return [http_request("POST", url, body, token=token) for body in bodies]


def write_round_our_locks(preview: str, addresses: str, namespace: str, token: str, rounds: int) -> list[str]:
    """Create the same addresses that our clients try to get, through core's API; returns those created.

    If it is too late, core responds with 400, or with 500 if the database detects the conflict.
    """
    made = []
    for _ in range(rounds):
        for candidate in http_request("GET", preview, token=token).body:
            body = {"address": candidate["address"], "namespace": {"name": namespace}, "status": "Active"}
            answer = http_request("POST", addresses, body, token=token)
            if answer.status == 201:
                made.append(answer.body["address"])
    return made


def come_and_go(url: str, addresses: str, token: str, rounds: int) -> list[tuple[str, float, float]]:
    """Repeatedly take two addresses and release the first: (address, held from, held until), in seconds.

    An address that is never released is held until infinity.
    """
    held = []
    for _ in range(rounds):
        taken = []
        for _ in range(2):
            answer = http_request("POST", url, {}, token=token)
            assert answer.status == 201, answer
            taken.append((answer.body, time.monotonic()))  # the machine's clock: comparable between processes
        (first, first_since), (second, second_since) = taken
        held += [(first["address"], first_since, time.monotonic()), (second["address"], second_since, float("inf"))]
        released = http_request("DELETE", f"{addresses}{first['id']}/", token=token)
        assert released.status == 204, released
    return held


def _from_the_start(start: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    start.wait(START_SECONDS)
    return function(*arguments)
