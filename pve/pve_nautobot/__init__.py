"""A small client of nautobot-pve-ipam for a Proxmox VE node: needs only urllib3.

    from pve_nautobot import Client
    client = Client("https://nautobot.example.com", "pve", token)
    client.next_free_ip("10.0.0.0/24", mac="BC:24:11:00:00:01", hostname="web", vmid=100).address

`errors` lists every exception, `cli` is the `pve-nautobot` command.
"""

__version__ = "0.1.0"  # also of the App and the Debian package, see tests/test_pve_version.py

from .answers import Allocation, Found, FreeAddress, Job, JobReport, NamespaceStatus, Subnet, SyncReport
from .client import Client
from .errors import PveNautobotError
from .values import UNCHANGED

__all__ = [
    "UNCHANGED",
    "Allocation",
    "Client",
    "Found",
    "FreeAddress",
    "Job",
    "JobReport",
    "NamespaceStatus",
    "PveNautobotError",
    "Subnet",
    "SyncReport",
]
