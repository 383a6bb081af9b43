"""What a change or a difference is about, in one form for all who compare it. Pure: imports nothing of the App."""

from typing import NamedTuple


class Subject(NamedTuple):
    """Together with the cluster and the kind it identifies a difference from run to run.

    Addresses have no zone and vnet here: their subnet may move to other ones.
    """

    zone: str = ""
    vnet: str = ""
    network: str = ""
    vmid: int = 0
    mac: str = ""
    ip: str = ""

    def __str__(self) -> str:
        place = "/".join(part for part in (self.zone, self.vnet) if part)
        guest = f"guest {self.vmid}" if self.vmid else ""
        return " ".join(part for part in (place, self.network, guest, self.mac, self.ip) if part)
