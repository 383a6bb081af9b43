"""What calls tell and change."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.rights.calls import Endpoint, bodies, path_of, queries
from tests.rights.world import Caller, Side, World

#: What Nautobot's own pages answer with 500: OPTIONS where many objects are renamed, and forms sent to an object's list
#: of notes.
CORES_CRASH = {("OPTIONS", "rename"), ("POST", "notes"), ("PUT", "notes")}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@dataclass
class Answer:
    """What a call tells of bravo, beyond what it says itself, and whether it changes anything there."""

    call: tuple[str, str, Any]
    status: int
    told: set[str]
    changed: bool


class Asking:
    """Calls as one caller; nothing that they do is kept."""

    def __init__(self, world: World, caller: Caller) -> None:
        self._world, self._caller = world, caller
        self._marks = world.bravo.app_marks if caller.app_only else world.bravo.marks
        self._before = world.bravo.rows()
        self.answers: list[Answer] = []

    def everything(self, endpoint: Endpoint, side: Side) -> list[Answer]:
        """All calls of an endpoint about one side."""
        path, asked = path_of(endpoint, side), len(self.answers)
        for method in METHODS:
            if method in ("GET", "HEAD"):
                for query in queries(endpoint, side):
                    self.ask(method, f"{path}?{query}" if query else path)
            elif method in endpoint.methods:
                for body in bodies(endpoint, method, side):
                    self.ask(method, path, body)
            else:
                self.ask(method, path)
        return self.answers[asked:]

    def ask(self, method: str, url: str, body: Any = None) -> Answer:
        is_api = url.startswith(("/api/", "/metrics/"))
        client = self._caller.api_client if is_api else self._caller.page_client
        said = json.dumps([url, body], default=str)
        if is_api:
            options = {"data": json.dumps(body, default=str), "content_type": "application/json"}
        else:
            options = {"data": encode_multipart(BOUNDARY, body or {}), "content_type": MULTIPART_CONTENT}
        with transaction.atomic(), written() as tables:
            answer = client.generic(method, url, **(options if body is not None else {}))
            changed = bool(tables) and self._world.bravo.rows() != self._before
            transaction.set_rollback(True)
        text = " ".join([content_of(answer), *answer.headers.values(), str(answer.reason_phrase)])
        told = self.marked(text) - self.marked(said)
        self.answers.append(Answer((method, url, body), answer.status_code, told, changed))
        return self.answers[-1]

    def marked(self, text: str) -> set[str]:
        return {found.group().lower() for found in self._marks.finditer(text)}

    def faults(self) -> list[Any]:
        """The calls that crashed, told or changed something."""
        found, told = [], self._caller.told
        for answer in self.answers:
            if answer.status == 500 and (answer.call[0], answer.call[1].split("/")[-2]) not in CORES_CRASH:
                found.append((*answer.call, "crashes"))
            if told is not None and answer.told - told:
                found.append((*answer.call, answer.status, "tells", sorted(answer.told - told)))
            if answer.changed and not self._caller.writes:
                found.append((*answer.call, answer.status, "changes something"))
        return found


@contextmanager
def written() -> Iterator[list[str]]:
    """Statements in the block that write to tables of core's IPAM or ours."""
    writes: list[str] = []

    def watch(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if WRITES.match(str(sql)):
            writes.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield writes


WRITES = re.compile(r"(INSERT|UPDATE|DELETE)\b.{0,20}[\"`](ipam|nautobot_pve_ipam)_", re.DOTALL)


def content_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode(errors="replace")
