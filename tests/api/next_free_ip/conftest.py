"""Fixtures for the next-free-IP tests."""

import pytest

from tests.networks import Network


@pytest.fixture
def network(live):
    """An empty namespace."""
    return Network(live)
