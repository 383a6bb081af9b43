"""HEAD and OPTIONS: the first needs the rights of GET and has its headers only, the second only describes."""

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory
from nautobot.ipam.models import Prefix

from nautobot_pve_ipam.api.next_free_ip import SubnetNextFreeIPView
from tests.models import data
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

URL = "/api/plugins/pve-ipam/namespaces/models/subnets/10.1.0.0-24/next-free-ip/"


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("limited")


@pytest.fixture
def ask(client, user):
    data.prefix(1)
    client.force_login(user)
    return lambda method: getattr(client, method)(URL)


def test_head_needs_the_rights_of_get(ask, user):
    assert (ask("get").status_code, ask("head").status_code) == (403, 403)
    permit(user, Prefix, "view")
    assert (ask("get").status_code, ask("head").status_code) == (200, 200)


def test_head_has_no_body_whatever_the_server(admin):
    """Django's own servers remove it; uWSGI sends what it is given."""
    data.prefix(1)

    def answer(method):
        request: WSGIRequest = getattr(RequestFactory(), method)(URL)
        request.user, request._dont_enforce_csrf_checks = admin, True
        return SubnetNextFreeIPView.as_view()(request, namespace="models", subnet="10.1.0.0-24").render()

    got, headed = answer("get"), answer("head")
    assert headed.content == b""
    assert headed["Content-Length"] == str(len(got.content)) != "0"


def test_options_describes_the_same_whatever_exists(ask):
    known = ask("options").json()
    Prefix.objects.all().delete()
    assert ask("options").json() == known
