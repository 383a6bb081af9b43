"""Range gauges: what they count and when they warn, and the home page panel and metrics based on them."""

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.ipam.models import IPAddressRange

from nautobot_pve_ipam.ui.panels import overview
from nautobot_pve_ipam.ui.usage import dhcp_ranges, fullest, gauges, with_next_free
from tests.models import data
from tests.ui.networks import fill, prefix
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

HOME = "/"


@pytest.fixture
def network():
    return data.prefix(1)  # 10.1.0.0/24


def gauge_of(network, used, start=100, end=199):
    data.dhcp_range(1, start, end)
    fill(network, range(start, start + used))
    (gauge,) = with_next_free(gauges(dhcp_ranges().filter(parent=network)))
    return gauge


class TestGauge:
    def test_counts_addresses_in_the_range(self, network):
        fill(network, [99, 200])
        gauge = gauge_of(network, 30)
        assert (gauge.used, gauge.size, gauge.left, gauge.percent) == (30, 100, 70, 30)

    @pytest.mark.parametrize(
        ("used", "level"), [(0, "success"), (79, "success"), (80, "warning"), (94, "warning"), (95, "danger")]
    )
    def test_warns_by_percent(self, used, level, network):
        assert gauge_of(network, used).level == level

    def test_warns_according_to_the_settings(self, network, monkeypatch):
        monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "gauge_warning", 10)
        monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "gauge_danger", 20)
        assert gauge_of(network, 10).level == "warning"

    def test_shows_100_percent_for_a_full_range_only(self):
        network = prefix("10.2.0.0/16")
        data.saved(
            IPAddressRange(
                start_address="10.2.0.0",
                end_address="10.2.15.255",
                namespace=data.namespace(),
                status=data.active(IPAddressRange),
                role=data.Role.objects.get(name="DHCP"),
            )
        )
        fill(network, range(4095))
        (gauge,) = gauges(dhcp_ranges())
        assert gauge.percent == 99

    @pytest.mark.parametrize(
        ("used", "start", "end", "expected"),
        [(0, 100, 199, "10.1.0.100"), (7, 100, 199, "10.1.0.107"), (100, 100, 199, None), (0, 0, 9, "10.1.0.1")],
    )
    def test_shows_the_next_free_address(self, used, start, end, expected, network):
        assert gauge_of(network, used, start, end).next_free == expected

    def test_shows_the_next_free_address_of_a_large_range(self):
        network = prefix("10.2.0.0/16")
        data.saved(
            IPAddressRange(
                start_address="10.2.1.0",
                end_address="10.2.15.255",
                namespace=data.namespace(),
                status=data.active(IPAddressRange),
                role=data.Role.objects.get(name="DHCP"),
            )
        )
        fill(network, range(256, 256 + 2000))
        (gauge,) = with_next_free(gauges(dhcp_ranges()))
        assert gauge.next_free == "10.2.8.208"

    def test_other_namespaces_do_not_count(self, network):
        fill(data.prefix(1, data.namespace("elsewhere")), range(100, 120))
        assert gauge_of(network, 3).used == 3

    def test_costs_the_same_empty_or_full_for_one_range_or_many(self, network):
        data.dhcp_range(1, 100, 199)

        def queries():
            with CaptureQueriesContext(connection) as captured:
                with_next_free(gauges(dhcp_ranges()))
            return len(captured)

        one = queries()
        fill(network, range(100, 200))
        data.dhcp_range(1, 10, 19)
        data.dhcp_range(1, 20, 29)
        assert queries() == one == 4


class TestHomePage:
    def test_shows_usage_and_allocations(self, admin_client):
        data.allocation(1, 101, hostname="web1")
        text = admin_client.get(HOME).content.decode()
        assert "99 left" in text
        assert "10.1.0.100 - 10.1.0.199" in text
        assert "10.1.0.101" in text
        assert "web1" in text

    def test_shows_nothing_that_the_user_may_not_view(self, browser, user):
        data.allocation(1, 101, hostname="web1")
        assert "Fullest DHCP ranges" not in browser.get(HOME).content.decode()
        permit(user, data.Allocation, "view", hostname="db1")
        text = browser.get(HOME).content.decode()
        assert "Newest allocations" in text
        assert "web1" not in text
        assert "99 left" not in text

    def test_fullest_come_first(self, network, rf, admin_user):
        data.dhcp_range(1, 10, 19)
        data.dhcp_range(1, 20, 119)
        data.dhcp_range(1, 120, 129)
        fill(network, [10, 11, *range(20, 70), 120])
        assert [gauge.percent for gauge in fullest(dhcp_ranges(), 2)] == [50, 20]
        request = rf.get(HOME)
        request.user = admin_user
        assert [gauge.percent for gauge in overview(request)["fullest"]] == [50, 20, 10]

    def test_costs_the_same_regardless_of_the_amount_of_data(self, rf, admin_user):
        request = rf.get(HOME)
        request.user = admin_user

        def queries():
            with CaptureQueriesContext(connection) as captured:
                shown = overview(request)
                [str(allocation.ip_address) for allocation in shown["newest"]]
            return len(captured)

        data.allocation(1)
        few = queries()
        for number in range(2, 6):
            data.allocation(number)
        assert queries() == few == 5
