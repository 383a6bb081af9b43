"""Fixtures for the hook tests."""

import json

import pytest

from tests.api.hooks.entry import Entry
from tests.api.hooks.stock_pve import PVE

_USERS = """
import json
from django.contrib.auth import get_user_model
from nautobot.users.models import ObjectPermission, Token
from nautobot_pve_ipam.services.connect import connect_pve

tokens = {{}}
for number, right in enumerate([None, *{rights!r}]):
    name = f"{namespace}-{{number}}"
    tokens[right or "all"] = connect_pve({namespace!r}, name).token
    if right:
        app, permission = right.split(".")
        action, model = permission.split("_")
        for held in ObjectPermission.objects.filter(groups__user__username=name, object_types__model=model):
            held.actions = [other for other in held.actions if other != action]
            held.save()
print(json.dumps(tokens))
"""


class Limited(Entry):
    """An entry whose token has the hooks' permissions in its namespace only, and tokens that each lack one of them."""

    def __init__(self, live):
        super().__init__(live)
        # Not at the head: pytest loads this file before Nautobot is set up when a run names this folder.
        from nautobot_pve_ipam.permissions import HOOK_RIGHTS  # noqa: PLC0415

        self.tokens = json.loads(live.manage(_USERS.format(namespace=self.name, rights=HOOK_RIGHTS)))
        self.token = self.tokens["all"]

    def without(self, right: str) -> str:
        """A token with all permissions except this one."""
        return self.tokens[right]


@pytest.fixture(scope="session")
def limited(live):
    """Shared because creating its users takes seconds; each test uses its own subnets."""
    return Limited(live)


@pytest.fixture
def entry(live):
    """An empty namespace."""
    return Entry(live)


@pytest.fixture
def neighbour(live):
    """Another empty namespace."""
    return Entry(live)


@pytest.fixture
def pve(entry):
    """A PVE with its stock NetBox plugin, using an empty namespace."""
    return PVE(entry)
