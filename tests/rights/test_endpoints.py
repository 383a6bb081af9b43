"""Every endpoint and page, with every method, as everybody."""

import pytest

from nautobot_pve_ipam.views import override_views
from tests.api.available_ips.serving import serving
from tests.nightly import nightly_only
from tests.rights.asking import Asking
from tests.rights.calls import API, PAGES, endpoints
from tests.rights.world import CALLERS

#: At each change, who has the most to gain, and who shows that the calls are not vacuous; all others nightly. All pages
#: are also asked for by the viewer of core, in test_panels.py.
EACH_CHANGE = {
    (API, "all of alfa, sees namespaces"),
    (API, "PVE of alfa"),
    (API, "superuser"),
}


@pytest.mark.parametrize(
    ("base", "name"),
    [
        pytest.param(base, name, marks=() if (base, name) in EACH_CHANGE else nightly_only)
        for base in (API, PAGES)
        for name in CALLERS
    ],
)
def test_endpoints(world, name, base):
    asking = Asking(world, world.callers[name])
    idle = []
    for endpoint in endpoints(base):
        answers = asking.everything(endpoint, world.bravo)
        if not any(answer.told or answer.changed for answer in answers) and not endpoint.is_silent:
            idle.append(str(endpoint))
    assert asking.faults() == []
    if name == "superuser":
        assert idle == [], "these calls prove nothing: queries() or bodies() does not ask for anything that exists"


@pytest.mark.parametrize("name", CALLERS)
def test_the_endpoint_of_cores_that_we_answer(world, name):
    asking = Asking(world, world.callers[name])
    with serving():
        for endpoint in endpoints("api/ipam/"):
            if endpoint.callback in override_views.values():
                asking.everything(endpoint, world.bravo)
    assert asking.faults() == []
    assert any(answer.changed for answer in asking.answers) == (name == "superuser")
