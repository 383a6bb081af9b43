"""The two PVEs, shared by all tests in this folder: nothing that they do to them is kept."""

import pytest


@pytest.fixture(scope="package")
def world(django_db_setup, django_db_blocker):
    """Made once; all that is done to it is rolled back."""
    # Not at the head: pytest loads this file before Nautobot is set up when a run names this folder.
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.db import transaction  # noqa: PLC0415

    from tests.rights.world import World  # noqa: PLC0415

    with django_db_blocker.unblock(), transaction.atomic():
        yield World(get_user_model().objects)
        transaction.set_rollback(True)
