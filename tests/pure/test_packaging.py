"""The package's metadata: the dependencies are what the App imports, and the index page has no broken links."""

import ast
import re
import sys
from importlib.metadata import files, metadata, requires

from development.paths import REPOSITORY

NAME = "nautobot-pve-ipam"
APP = REPOSITORY / "nautobot_pve_ipam"


def declared():
    """Distributions that an installation without extras brings, and the top-level modules in each."""
    names = [re.match(r"[\w.-]+", line)[0] for line in requires(NAME) if "extra ==" not in line]
    return {name: {file.parts[0].removesuffix(".py") for file in files(name)} for name in names}


def imported():
    """Top-level modules that the App imports."""
    for path in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]


def test_the_app_depends_on_exactly_what_it_imports():
    modules = set(imported()) - sys.stdlib_module_names - {APP.name}
    brought = declared()
    assert modules - set().union(*brought.values()) == set()
    assert {name for name, theirs in brought.items() if not modules & theirs} == set()


def test_nothing_but_nautobot_has_bounds():
    bounded = [line for line in requires(NAME) if "extra ==" not in line and re.search(r"[<>=~!]", line)]
    assert [line.startswith("nautobot") for line in bounded] == [True]


def test_the_page_of_the_index_has_no_pictures_and_no_links_into_the_repository():
    page = metadata(NAME).get_payload()
    assert page.startswith("# Nautobot PVE IPAM")
    assert "# Changelog" in page
    assert "![" not in page
    assert re.findall(r"\]\((?!https://)[^)]*\)", page) == []
