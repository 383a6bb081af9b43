"""`python -m pve_nautobot` is the `pve-nautobot` command."""

import sys

from .cli import main

sys.exit(main())
