"""Whether there is a MariaDB to test with."""

import importlib.util
import os
import shutil

import pytest


def program(name: str) -> str | None:
    """Path of one of MariaDB's programs; servers are often not in an ordinary user's search path."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def need_mariadb() -> None:
    """For the head of a module: fail in CI, where .ci/run installs it, and skip elsewhere when it is missing."""
    if not program("mariadbd"):
        sentence = "MariaDB is not tested: there is no mariadbd (apt-get install mariadb-server)"
    elif importlib.util.find_spec("MySQLdb") is None:
        sentence = (
            "MariaDB is not tested: mysqlclient is missing (pip install mysqlclient; needs libmariadb-dev and gcc)"
        )
    else:
        return
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence, allow_module_level=True)
