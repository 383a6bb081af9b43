"""Which changes cause the migrated template databases to be rebuilt."""

from pathlib import Path

import pytest

from development.databases import app_key, core_key


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_initial.py").write_text("first")
    (tmp_path / "models.py").write_text("tables")
    (tmp_path / "views.py").write_text("pages")
    return tmp_path


def test_a_core_key_is_stable_while_nothing_is_installed():
    assert core_key() == core_key()


@pytest.mark.parametrize("changed", ["migrations/0001_initial.py", "migrations/0002_next.py", "models.py"])
def test_an_app_key_follows_migrations_and_models(package, changed):
    before = app_key("core", package)
    (package / changed).write_text("other")
    assert app_key("core", package) != before


def test_an_app_key_follows_the_core_template(package):
    assert app_key("one", package) != app_key("other", package)


def test_an_app_key_ignores_what_does_not_affect_tables(package):
    before = app_key("core", package)
    (package / "views.py").write_text("other")
    assert app_key("core", package) == before
