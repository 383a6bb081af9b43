"""Where the time of a request goes, stage by stage: some functions are wrapped to note it, and nothing else is slowed.

The time of a stage excludes that of the stages inside it; what no stage covers is the rest.
"""

import functools
import importlib
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

REST = "Django, its middleware, REST framework"
CHANGE_LOG = "change log: the objects as JSON"
AFTER = "after the response, by Nautobot: job hooks, webhooks, events"

#: Stage -> the functions in which it is spent.
STAGES = {
    REST: [],
    "token": ["nautobot.core.api.authentication:TokenAuthentication.authenticate_credentials"],
    "finding the subnet": [
        "nautobot_pve_ipam.services.lookups:visible_prefix_of",
        "nautobot_pve_ipam.services.callers:Caller.in_prefix",
    ],
    "validating the request": ["rest_framework.serializers:BaseSerializer.is_valid"],
    "search and locks": [
        "nautobot_pve_ipam.api.next_free_ip:allocate",
        "nautobot_pve_ipam.api.available_ips:allocate",
    ],
    "building the objects": ["nautobot_pve_ipam.services.allocation:_Maker.make"],
    "validating the objects: clean() and custom validators": [
        "nautobot.ipam.models:IPAddress.clean",
        "nautobot_pve_ipam.models:Allocation.full_clean",
    ],
    CHANGE_LOG: [
        "nautobot.extras.models.change_logging:ChangeLoggedModel.to_objectchange",
        "nautobot_pve_ipam.core_internals:_objectchange",
    ],
    "inserts": ["django.db.models.base:Model._save_table"],
    "commit": ["django.db.backends.base.base:BaseDatabaseWrapper._commit"],
    "the response": [
        "nautobot_pve_ipam.api.next_free_ip:held_response",
        "nautobot.core.api.serializers:BaseModelSerializer.to_representation",
    ],
    AFTER: [],
}


class Watch:
    """Watches requests, one at a time, and tells how long each stage takes."""

    def __init__(self) -> None:
        self._requests: list[dict[str, float]] = []
        self._inside: list[str] = []
        self._others = [0.0]

    def medians(self) -> dict[str, float]:
        """Milliseconds by stage."""
        return {
            stage: round(statistics.median(seconds[stage] for seconds in self._requests) * 1000, 2) for stage in STAGES
        }

    @contextmanager
    def request(self) -> Iterator[None]:
        """Watch until the block ends."""
        self._requests.append(defaultdict(float))
        with ExitStack() as patches:
            for stage, functions in STAGES.items():
                for function in functions:
                    holder, attribute = _find(function)
                    noted = self._noted(stage, getattr(holder, attribute))
                    patches.enter_context(patch.object(holder, attribute, noted))
            middleware = importlib.import_module("nautobot.core.middleware")
            noted = self._noted_at_its_end(middleware.web_request_context)
            patches.enter_context(patch.object(middleware, "web_request_context", noted))
            with self._stage(REST):
                yield

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self._inside.append(name)
        self._others.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self._inside.pop()
            self._requests[-1][name] += took - self._others.pop()
            self._others[-1] += took

    def _noted(self, stage: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def noted(*arguments: Any, **named: Any) -> Any:
            if CHANGE_LOG in self._inside:  # counted with everything it calls
                return function(*arguments, **named)
            with self._stage(stage):
                return function(*arguments, **named)

        return noted

    def _noted_at_its_end(self, manager: Callable) -> Callable:
        @contextmanager
        def noted(*arguments: Any, **named: Any) -> Iterator[Any]:
            context = manager(*arguments, **named)
            entered = context.__enter__()
            try:
                yield entered
            finally:
                with self._stage(AFTER):
                    context.__exit__(*sys.exc_info())

        return noted


def _find(function: str) -> tuple[Any, str]:
    """The class or module that holds it, and its name there."""
    module, _, path = function.partition(":")
    *classes, attribute = path.split(".")
    return functools.reduce(getattr, classes, importlib.import_module(module)), attribute
