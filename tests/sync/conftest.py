"""A namespace of the Nautobot in this process."""

import pytest


@pytest.fixture
def real(admin):
    """Empty, synced by a superuser."""
    from tests.sync.real import Real  # noqa: PLC0415  (settings exist only when tests run)

    return Real(admin)
