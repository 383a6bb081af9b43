"""Whether MariaDB is available for tests."""

import importlib.util
import os

import pytest

from development.mariadb import program


def need_mariadb() -> None:
    """Call at module level: if MariaDB is missing, fail in CI, where .ci/run installs it, and skip elsewhere."""
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
