"""A user without permissions, and a Django test client logged in as this user."""

import pytest


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("reader")


@pytest.fixture
def superuser(django_user_model):
    return django_user_model.objects.create_superuser("root", "root@example.com", "root")


@pytest.fixture
def browser(client, user):
    """A test client logged in as `user`."""
    client.force_login(user)
    return client
