"""A user without rights and the browser (Django's test client) that this user is logged in to."""

import pytest


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("reader")


@pytest.fixture
def superuser(django_user_model):
    return django_user_model.objects.create_superuser("root", "root@example.com", "root")


@pytest.fixture
def browser(client, user):
    """The test client of `user`."""
    client.force_login(user)
    return client
