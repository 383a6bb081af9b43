"""`python -m development.docs` renders the documentation from Markdown to the HTML beside it, which Nautobot serves.

The HTML is not in Git. `make install`, and every build of the package (setup.py), create it: this file may import only
the standard library and what `build-system.requires` in pyproject.toml lists.
"""

import os
import re
from pathlib import Path

from markdown import Markdown

from development.paths import REPOSITORY

DOCS = REPOSITORY / "nautobot_pve_ipam" / "docs"
#: The pages of the navigation, in its order.
NAVIGATION = (
    "index",
    "admin",
    "pve",
    "next_free_ip",
    "automation",
    "sync",
    "pages",
    "compatibility",
    "faq",
    "external_interactions",
    "development",
)
EXTENSIONS = ("tables", "fenced_code", "toc")
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Proxmox VE IPAM</title>
<link rel="stylesheet" href="{root}style.css">
</head>
<body>
<nav aria-label="Documentation">
{navigation}
</nav>
<main>
{body}
</main>
</body>
</html>
"""


def sources() -> list[Path]:
    """All Markdown files of the documentation."""
    return sorted(DOCS.rglob("*.md"))


def render(source: Path) -> str:
    """The HTML page of a Markdown file; its first heading is the title, links to `.md` lead to `.html`."""
    title, body = _converted(source)
    links = []
    for name in NAVIGATION:
        page = DOCS / f"{name}.md"
        here = ' aria-current="page"' if page == source else ""
        href = os.path.relpath(page.with_suffix(".html"), source.parent)
        links.append(f'<a href="{href}"{here}>{_converted(page)[0]}</a>')
    root = "../" * len(source.relative_to(DOCS).parents[:-1])
    return PAGE.format(title=title, root=root, navigation="\n".join(links), body=body)


def _converted(source: Path) -> tuple[str, str]:
    """Title and body, as HTML."""
    converter = Markdown(extensions=EXTENSIONS)
    body = converter.convert(source.read_text(encoding="utf-8"))
    body = re.sub(r'(href="(?!https?:)[^"#]*)\.md(?=["#])', r"\1.html", body)
    return converter.toc_tokens[0]["name"], body


def build() -> int:
    """Write all pages and remove those whose source is gone; returns how many there are."""
    wanted = {source.with_suffix(".html"): render(source) for source in sources()}
    for page in set(DOCS.rglob("*.html")) - set(wanted):
        page.unlink()
    for page, text in wanted.items():
        page.write_text(text, encoding="utf-8")
    return len(wanted)


if __name__ == "__main__":
    print(f"{build()} pages in {DOCS.relative_to(REPOSITORY)}.")
