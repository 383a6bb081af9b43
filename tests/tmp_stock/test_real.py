import subprocess, pytest
from tests.hooks import test_life
from tests.hooks.clients import PerlPlugin, Facade, Hooks
from tests.hooks.entry import Entry
from contextlib import ExitStack


class RealStock(PerlPlugin):
    tells_all = False

    def __init__(self, entry):
        Hooks.__init__(self, entry)
        self._config = {"url": f"{entry.live.api}netbox/{entry.name}", "token": entry.token}
        self._process = subprocess.Popen(
            ["perl", "/tmp/stock/driver.pl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def find(self, mac):
        got = self._one("get_ips_from_mac", mac, "z")
        return tuple(got)


@pytest.mark.parametrize("versions", [(4,), (6,), (4, 6)])
def test_real(live, versions):
    test_life.test_nautobot_holds_what_pve_holds.__wrapped__ if False else None
    with ExitStack() as stack:
        pves = [test_life.PVE(stack.enter_context(RealStock(Entry(live))), versions) for _ in range(2)]
        for checkpoints in zip(*(test_life.life(pve) for pve in pves), strict=True):
            for pve, checkpoint in zip(pves, checkpoints, strict=True):
                pve.check()
