"""Servers, databases and a live Nautobot for the tests.

We use pytest with pytest-django rather than Nautobot's own runner, which migrates its own database (minutes) or loads
one from a JSON dump, and does not support fixtures such as the live server that many tests share. Here, the test
database is cloned from the migrated template in a second, and Nautobot's test cases still run.
"""

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from development.databases import fresh_database
from development.management import environment
from development.servers import postgresql, redis_server
from development.web import nautobot_web
from tests import seed
from tests.live import Live, Shell, http_request
from tests.nightly import NIGHTLY

PURE = ("tests/pure", "pve")
LIVE_WORKERS = 4


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its options
def pytest_configure(config: pytest.Config) -> None:
    """Set up Nautobot on a fresh database, unless only tests that need none were selected.

    Done here and not in a fixture, because test modules import Nautobot's models at import time.
    """
    config.pluginmanager.register(seed)
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # pytest-xdist's controller: each worker sets up its own
    places = [config.invocation_params.dir / argument.split("::")[0] for argument in config.args]
    pure = [config.rootpath / place for place in PURE]
    if all(any(place.is_relative_to(root) for root in pure) for place in places):
        return
    stack = ExitStack()
    config.add_cleanup(stack.close)
    try:
        redis_url = stack.enter_context(redis_server())
        database_url = stack.enter_context(fresh_database("tests"))
    except RuntimeError as error:
        raise pytest.UsageError(str(error)) from error
    os.environ.update(environment(database_url, redis_url))

    import nautobot  # noqa: PLC0415  (reads the environment)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hide Nautobot's own deprecation warnings
        logging.disable(logging.INFO)
        nautobot.setup()
        logging.disable(logging.NOTSET)
    gc.freeze()  # Nautobot itself: collections need not walk through it again and again
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that are specific to the other database, and the long forms except in nightly runs."""
    is_mariadb = os.environ.get("NAUTOBOT_PVE_IPAM_DATABASE", "").startswith("mysql")
    left_out = {"postgresql" if is_mariadb else "mariadb"} | (set() if NIGHTLY else {"nightly"})
    others = [item for item in items if any(map(item.get_closest_marker, left_out))]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None) -> None:
    """Nothing to set up: the database in the settings already belongs to this run."""


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of the PostgreSQL server on which `scratch_database` creates databases."""
    with postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """A real Nautobot web server with four workers, its own database, and a superuser's token."""
    with (
        fresh_database("live") as database_url,
        nautobot_web(database_url, workers=LIVE_WORKERS) as web,
        closing(Shell(web)) as shell,
    ):
        yield Live(web, shell.run("from development import seed; print(seed.superuser())").strip(), shell)


@pytest.fixture(scope="session")
def http():
    """The function `http_request`, which never raises for an error status."""
    return http_request


@pytest.fixture(scope="module")
def for_module(django_db_setup, django_db_blocker):
    """A transaction around a module: what its fixtures of that scope write is there for each test, as it was."""
    from django.db import transaction  # noqa: PLC0415  (settings exist only when tests run)

    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def admin(django_user_model, db):
    """A superuser in this process's database."""
    return django_user_model.objects.create_superuser("counter", "counter@example.com", "counter")


@pytest.fixture
def api_client(admin):
    """A client of the REST API and of the pages in this process, as a superuser."""
    from tests.ui.users import logged_in  # noqa: PLC0415  (settings exist only when tests run)

    return logged_in(admin)


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    """A context manager that runs all on-commit callbacks at its end."""
    return lambda: django_capture_on_commit_callbacks(execute=True)
