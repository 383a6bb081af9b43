"""Run Nautobot's management commands against a chosen database."""

import os
import subprocess
import sys
from pathlib import Path

from development.paths import NAUTOBOT_CONFIG, REPOSITORY, cache_home
from development.servers import end_with_parent, redis_server

APP = "nautobot_pve_ipam"


def environment(database_url: str, redis_url: str, *, plugins: str = APP, static: Path | None = None) -> dict[str, str]:
    """Environment variables for a Nautobot process; `plugins` is a list separated by spaces, empty for core alone."""
    root = cache_home() / "nautobot"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "nautobot_config",
        "NAUTOBOT_CONFIG": str(NAUTOBOT_CONFIG),
        "NAUTOBOT_ROOT": str(root),
        "NAUTOBOT_PVE_IPAM_DATABASE": database_url,
        "NAUTOBOT_PVE_IPAM_REDIS": redis_url,
        "NAUTOBOT_PVE_IPAM_PLUGINS": plugins,
        "NAUTOBOT_PVE_IPAM_STATIC_ROOT": str(static or root / "static"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
    }


def server_command(*arguments: str) -> list[str]:
    """Command line of `nautobot-server`, of the same installation as this process."""
    return [str(Path(sys.executable).with_name("nautobot-server")), *arguments]


def manage(env: dict[str, str], *arguments: str, **options: object) -> str:
    """Run one management command and return what it printed. Raises RuntimeError with its output when it fails."""
    result = subprocess.run(
        server_command(*arguments), env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, **options
    )
    if result.returncode:
        raise RuntimeError(f"nautobot-server {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def migrate(database_url: str, *, plugins: str = APP) -> None:
    """Migrate an empty database, or one of core alone, and show how far it is. Raises RuntimeError where that fails."""
    with redis_server() as redis_url:
        env = environment(database_url, redis_url, plugins=plugins)
        command = [sys.executable, "-m", "development.migrate"]
        result = subprocess.run(command, env=env, cwd=REPOSITORY, check=False, preexec_fn=end_with_parent())
    if result.returncode:
        raise RuntimeError("Nautobot's migrations have failed: the reason is above.")


def run_python(env: dict[str, str], code: str) -> str:
    """Run Python code with Nautobot set up and return what it printed. Raises RuntimeError as `manage` does."""
    return manage(env, "shell", "--no-imports", "--command", code)
