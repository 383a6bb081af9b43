"""A prefix in this process, and calls of core's endpoint for it."""

import pytest

from tests.api.available_ips.serving import asking, serving


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
    """Call the endpoint; see `asking`."""
    return asking(api_client, lambda of: f"/api/ipam/prefixes/{of.pk}/available-ips/", prefix)
