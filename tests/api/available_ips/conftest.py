"""A prefix in this process, and calls of core's endpoint for it."""

import pytest

from tests.api.available_ips.serving import serving


@pytest.fixture
def served():
    with serving():
        yield


@pytest.fixture
def ground(db):
    from tests.search.fill import Ground  # noqa: PLC0415  (settings exist only when tests run)

    return Ground("taken over")


@pytest.fixture
def prefix(ground):
    return ground.prefix("10.0.0.0/24")


@pytest.fixture
def ask(api_client, prefix):
    """Call the endpoint; bodies get the status that core requires. No call crashes."""
    from nautobot.extras.models import Status  # noqa: PLC0415

    status = str(Status.objects.get(name="Active").pk)

    def ask(method, body=None, query="", client=api_client, of=prefix, **headers):
        url = f"/api/ipam/prefixes/{of.pk}/available-ips/{query}"
        options = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST":
            many = [{"status": status, **item} for item in (body if isinstance(body, list) else [body or {}])]
            options |= {"data": many if isinstance(body, list) else many[0], "format": "json"}
        answer = getattr(client, method.lower())(url, **options)
        assert answer.status_code != 500, answer.content
        return answer

    return ask
