"""`python -m development.shell ARGUMENTS`: nautobot-server on a fresh migrated database, dropped afterwards."""

import subprocess
import sys

from development.databases import scratch_database
from development.management import environment, server_command
from development.paths import REPOSITORY
from development.servers import postgresql, redis_server


def main() -> int:
    with postgresql() as server, redis_server() as redis_url, scratch_database(server, "shell") as database_url:
        env = environment(database_url, redis_url)
        return subprocess.run(server_command(*sys.argv[1:]), env=env, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
