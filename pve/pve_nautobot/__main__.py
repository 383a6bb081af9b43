"""`python -m pve_nautobot` runs the `pve-nautobot` command."""

import sys

from .cli import main

sys.exit(main())
