"""Fixtures of the hooks' tests."""

import pytest

from tests.hooks.entry import Entry


@pytest.fixture
def entry(live):
    """An empty namespace."""
    return Entry(live)


@pytest.fixture
def neighbour(live):
    """Another empty namespace."""
    return Entry(live)
