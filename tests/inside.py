"""Requests to Nautobot in this process, in the form of `tests.live.Live`: no server, and all is rolled back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.live import Answer


class Inside:
    """Stands in for a `Live`: `Entry(Inside(api_client))` is a namespace that only this test sees."""

    url, token = "http://testserver", None

    def __init__(self, client: Any) -> None:
        self._client = client

    def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, token: None = None
    ) -> Answer:
        """As `Live.request` does. The client is logged in: there is no token."""
        url = path if path.startswith(("/", self.url)) else f"/api/plugins/pve-ipam/{path}"
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self._client.generic(method, url, content, content_type="application/json", headers=headers)
        is_json = "json" in response.headers.get("Content-Type", "")
        parsed = json.loads(response.content) if is_json and response.content else response.content.decode() or None
        return Answer(response.status_code, response.reason_phrase, response.headers, parsed)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        from django.db import connection  # noqa: PLC0415  (settings exist only when tests run)

        yield connection
