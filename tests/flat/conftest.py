"""Fixtures of the tests of flat cost."""

import pytest


@pytest.fixture
def admin(django_user_model, db):
    return django_user_model.objects.create_superuser("counter", "counter@example.com", "counter")


@pytest.fixture
def client(admin):
    """A client of the REST API and of the pages in this process, as a superuser."""
    from rest_framework.test import APIClient  # noqa: PLC0415  (settings are there only when tests run)

    client = APIClient()
    client.force_login(admin)
    return client


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """A block at whose end everything is done that waits for the commit."""
    return lambda: django_capture_on_commit_callbacks(execute=True)
