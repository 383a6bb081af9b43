"""Where files are kept between runs: one cache per user, shared by all checkouts of the project."""

import functools
import os
import pwd
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAUTOBOT_CONFIG = REPOSITORY / "development" / "nautobot_config.py"


@functools.lru_cache(maxsize=1)
def cache_home() -> Path:
    """Directory for servers, templates' data and static files; made when missing.

    `$XDG_CACHE_HOME/nautobot-pve-ipam`, or `~/.cache/nautobot-pve-ipam` without that variable. PostgreSQL refuses to
    run as root and so runs as another account there; as root, a place that this account cannot reach (/root is
    closed to others) is passed over for /var/cache.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if os.geteuid() == 0 and not _others_may_enter(base):
        base = Path("/var/cache")
    home = base / "nautobot-pve-ipam"
    home.mkdir(parents=True, exist_ok=True)
    return home


def server_account() -> dict[str, object]:
    """Arguments for `subprocess` that make a server run as somebody else than root; empty for everybody else."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = names.get("postgres") or names["nobody"]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _others_may_enter(directory: Path) -> bool:
    existing = next(place for place in (directory, *directory.parents) if place.exists())
    return all(place.stat().st_mode & 0o001 for place in (existing, *existing.parents))
