"""The development commands that choose Pythons and versions, without any installing."""

import sys

import pytest

from development import matrix
from development.constraints import merged
from development.interpreters import NAMED, interpreters

HERE = sys.version_info[:2]


@pytest.fixture
def search_path(tmp_path, monkeypatch):
    """A search path of its own; the function puts a program that prints the version there, or one that only fails."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(NAMED, raising=False)

    def put(name, version=None):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
        program.chmod(0o755)
        return str(program)

    return put


def test_pythons_are_found_by_name_and_only_those_that_run(search_path):
    oldest, newest = search_path("python3.10", "3 10"), search_path("python3.13", "3 13")
    search_path("python3.12")
    search_path("python3.9", "3 9")
    assert list(interpreters().items()) == [((3, 10), oldest), ((3, 13), newest)]


def test_pythons_that_are_named_are_used_instead(search_path, monkeypatch):
    search_path("python3.10", "3 10")
    monkeypatch.setenv(NAMED, sys.executable)
    assert interpreters() == {HERE: sys.executable}
    monkeypatch.setenv(NAMED, "python-that-is-not-there")
    with pytest.raises(RuntimeError, match="python-that-is-not-there"):
        interpreters()


def test_a_version_that_all_pythons_get_has_no_marker():
    assert merged({(3, 10): {"django": "5.2"}, (3, 12): {"django": "5.2"}}) == ["django==5.2"]


def test_an_answer_holds_up_to_the_next_python_that_was_asked():
    answers = {
        (3, 10): {"old": "1", "pair": "1", "back": "1"},
        (3, 12): {"pair": "2", "new": "2"},
        (3, 13): {"pair": "2", "new": "2", "back": "1"},
    }
    assert merged(answers) == [
        "back==1 ; python_version < '3.12'",
        "back==1 ; python_version >= '3.13'",
        "new==2 ; python_version >= '3.12'",
        "old==1 ; python_version < '3.12'",
        "pair==1 ; python_version < '3.12'",
        "pair==2 ; python_version >= '3.12'",
    ]


def test_the_app_itself_is_no_constraint():
    assert merged({(3, 12): {"nautobot-pve-ipam": "1", "nautobot": "3.2.7"}}) == ["nautobot==3.2.7"]


def test_the_matrix_runs_the_oldest_nautobot_once_and_the_newest_on_each_python(search_path):
    for minor in (10, 11, 12, 13):
        search_path(f"python3.{minor}", f"3 {minor}")
    assert [(each.version, each.nautobot) for each in matrix.combinations()] == [
        ("3.10", "nautobot==3.2"),
        ("3.10", "nautobot"),
        ("3.12", "nautobot"),
        ("3.13", "nautobot"),
    ]
    assert len({each.environment for each in matrix.combinations()}) == 4


def test_the_matrix_says_what_is_missing_where_there_is_no_python(search_path):
    with pytest.raises(RuntimeError, match=NAMED):
        matrix.combinations()


def test_the_table_has_its_columns_under_each_other():
    lines = [
        matrix.Outcome("3.10", "3.2.0", "passed", "3 passed, 0 failed, 0 skipped", "1.5"),
        matrix.Outcome("3.13", "nautobot", "NOT INSTALLED", "", "0.1"),
    ]
    assert matrix.table(lines) == (
        "Python  Nautobot  Result         Counts                         Minutes\n"
        "3.10    3.2.0     passed         3 passed, 0 failed, 0 skipped  1.5\n"
        "3.13    nautobot  NOT INSTALLED                                 0.1"
    )
