"""Our metrics on Nautobot's /metrics."""

import re
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from nautobot.ipam.models import IPAddressRange
from prometheus_client import REGISTRY

from nautobot_pve_ipam import metrics
from nautobot_pve_ipam.errors import NoFreeAddress
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.allocation import Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from tests.models import data
from tests.networks import Network
from tests.ui.networks import fill, prefix
from tests.ui.users import permit

PAGES = Path(metrics.__file__).parent / "docs" / "pages.md"
ALLOCATED = "nautobot_pve_ipam_addresses_allocated_total"
EXHAUSTED = "nautobot_pve_ipam_requests_exhausted_total"


def samples(generator):
    return {(sample.name, *sample.labels.values()): sample.value for family in generator() for sample in family.samples}


@pytest.fixture
def asked_by(monkeypatch):
    """Let a user ask for the metrics."""

    def ask(user):
        monkeypatch.setattr(metrics, "current_request", SimpleNamespace(get=lambda: SimpleNamespace(user=user)))

    return ask


@pytest.mark.django_db
class TestGauges:
    @pytest.fixture(autouse=True)
    def by_superuser(self, asked_by, superuser):
        asked_by(superuser)

    def test_show_ranges_only_to_who_may_view_them(self, asked_by, user):
        data.prefix(1)
        data.dhcp_range(1, 10, 19)
        data.dhcp_range(1, 20, 29)
        for asking in (AnonymousUser(), user):
            asked_by(asking)
            assert samples(metrics.dhcp_range_fill) == {}
        permit(user, IPAddressRange, "view", start_host="10.1.0.20")
        assert {where[3] for where in samples(metrics.dhcp_range_fill)} == {"10.1.0.20"}

    def test_are_not_shared_through_nautobots_cache(self, settings):
        data.prefix(1)
        data.dhcp_range(1)
        assert samples(metrics.dhcp_range_fill)
        settings.METRICS_EXPERIMENTAL_CACHING_DURATION = 60
        assert samples(metrics.dhcp_range_fill) == {}

    def test_report_used_and_size_of_each_range(self):
        network = data.prefix(1)
        data.dhcp_range(1)
        fill(network, [5, *range(100, 130)])
        where = ("models", "10.1.0.0/24", "10.1.0.100", "10.1.0.199")
        assert samples(metrics.dhcp_range_fill) == {
            ("nautobot_pve_ipam_dhcp_range_used", *where): 30,
            ("nautobot_pve_ipam_dhcp_range_size", *where): 100,
        }

    def test_make_the_documented_alert_fire_for_a_full_range(self):
        """Of a /30, only two addresses can be given; where none can, the range is full as well."""
        alert = re.search(r"^nautobot_pve_ipam_dhcp_range_used .*", PAGES.read_text(), re.MULTILINE)[0]
        network = prefix("10.2.0.0/30")
        data.saved(
            IPAddressRange(
                start_address="10.2.0.0",
                end_address="10.2.0.3",
                namespace=network.namespace,
                status=data.active(IPAddressRange),
                role=data.Role.objects.get(name="DHCP"),
            )
        )

        def fires():
            values = {name: value for (name, *_), value in samples(metrics.dhcp_range_fill).items()}
            return eval(alert, values)

        assert not fires()
        fill(network, [1])
        assert not fires()
        fill(network, [2])
        assert fires()
        assert eval(alert, dict.fromkeys(re.findall("nautobot_pve_ipam_dhcp_range_[a-z]+", alert), 0))

    def test_report_the_number_of_allocations(self):
        data.allocation(1)
        data.allocation(2)
        assert samples(metrics.allocation_count) == {("nautobot_pve_ipam_allocations",): 2}

    def test_cost_the_same_regardless_of_the_number_of_ranges(self, django_assert_num_queries):
        data.prefix(1)
        for start in (10, 20, 30):
            data.dhcp_range(1, start, start + 9)
        with django_assert_num_queries(4):
            samples(metrics.dhcp_range_fill)
            samples(metrics.allocation_count)


@pytest.mark.django_db
class TestCounters:
    @pytest.fixture
    def request_two(self, superuser, django_capture_on_commit_callbacks):
        """Request two addresses in a prefix with that many hosts; returns the increments of the two counters."""

        def ask(prefix):
            before = [REGISTRY.get_sample_value(name) for name in (ALLOCATED, EXHAUSTED)]
            with django_capture_on_commit_callbacks(execute=True), suppress(NoFreeAddress):
                allocate(Search(prefix), [Wanted(), Wanted()], caller=Caller(superuser, prefix.namespace))
            after = [REGISTRY.get_sample_value(name) for name in (ALLOCATED, EXHAUSTED)]
            return [now - then for now, then in zip(after, before, strict=True)]

        return ask

    def test_count_allocated_addresses(self, request_two):
        assert request_two(data.prefix(1)) == [2, 0]

    def test_count_requests_that_found_nothing_free(self, request_two):
        network = data.prefix(1)
        fill(network, range(1, 255))
        assert request_two(network) == [0, 1]


def test_are_served_by_nautobot(live, http):
    network = Network(live)
    network.prefix("10.0.0.0/24")
    network.range("10.0.0.100", "10.0.0.149", role="DHCP")
    network.taken("10.0.0.0-24", {"range_start": "10.0.0.100", "range_end": "10.0.0.149"})
    headers = {"Accept": "text/plain"}
    anonymous = http("GET", f"{live.url}/metrics/", headers=headers)
    assert (anonymous.status, network.name in anonymous.body) == (200, False)
    answer = http("GET", f"{live.url}/metrics/", headers={**headers, "Authorization": f"Token {live.token}"})
    assert answer.status == 200
    where = f'{{end="10.0.0.149",namespace="{network.name}",prefix="10.0.0.0/24",start="10.0.0.100"}}'
    for line in (f"nautobot_pve_ipam_dhcp_range_used{where} 1.0", f"nautobot_pve_ipam_dhcp_range_size{where} 50.0"):
        assert line in answer.body.splitlines()
    for name in (ALLOCATED, EXHAUSTED, "nautobot_pve_ipam_allocations"):
        assert f"\n{name} " in answer.body
