"""While the setting is off, core answers, and no request of core's costs a query more."""

from unittest.mock import patch

import pytest
from constance import config
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.extras.plugins import register_override_views
from nautobot.ipam.api.views import PrefixViewSet
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam import middleware
from nautobot_pve_ipam.api import available_ips
from nautobot_pve_ipam.views import override_views
from tests.api.available_ips.serving import hosts

pytestmark = pytest.mark.django_db

CORES = PrefixViewSet.as_view(
    {"get": "available_ips", "post": "available_ips"},
    basename="prefix",
    detail=True,
    **{name: value for name, value in PrefixViewSet.available_ips.kwargs.items() if name != "schema"},
)


@pytest.fixture
def without_override():
    """Call something with core's own view in the URL configuration."""

    def call(function):
        register_override_views(dict.fromkeys(override_views, CORES), "tests")
        try:
            return function()
        finally:
            register_override_views(override_views, "tests")

    return call


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_not_one_query_more(ask, without_override, method):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            answer = ask(method)
        return answer.status_code, len(captured)

    ask(method)
    assert queries() == without_override(queries)


def test_core_answers(ask):
    assert config.nautobot_pve_ipam__serve_available_ips is False
    with patch.object(Prefix, "get_available_ips", autospec=True, side_effect=Prefix.get_available_ips) as cores:
        assert hosts(ask("POST", {"offset": 9, "mac": "x"}, "?offset=9")) == "10.0.0.1"
        assert hosts(ask("GET", query="?limit=1")) == ["10.0.0.2"]
    assert cores.call_count == 2


def test_the_page_of_settings_turns_it_on(ask):
    config.nautobot_pve_ipam__serve_available_ips = True
    try:
        assert hosts(ask("POST", query="?offset=9")) == "10.0.0.10"
    finally:
        config.nautobot_pve_ipam__serve_available_ips = False


def test_no_other_url_asks_for_the_setting(api_client, prefix):
    with (
        patch.object(available_ips, "is_on", side_effect=AssertionError),
        patch.object(middleware, "is_on", side_effect=AssertionError),
    ):
        for path in ("", f"{prefix.pk}/", f"{prefix.pk}/available-prefixes/"):
            assert api_client.get(f"/api/ipam/prefixes/{path}").status_code == 200
