"""Differences are settled through REST as they are on their pages."""

import pytest
from nautobot.ipam.models import IPAddress
from rest_framework.test import APIClient

from nautobot_pve_ipam.models import Allocation, Difference
from nautobot_pve_ipam.services.connect import connect_pve
from tests.models import data

pytestmark = pytest.mark.django_db


@pytest.fixture
def gone():
    return data.difference(1)


def url(difference):
    return f"/api/plugins/pve-ipam/differences/{difference.pk}/settle/"


def test_answers_with_the_settled_difference(gone, api_client):
    answer = api_client.post(url(gone), {"settlement": "release"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (200, "settled")
    assert not IPAddress.objects.exists()


def test_says_what_has_changed_meanwhile(gone, api_client):
    Allocation.objects.update(vmid=999)
    answer = api_client.post(url(gone), {"settlement": "release"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "by now: sync again" in answer.reason_phrase


@pytest.mark.parametrize("body", [{}, {"settlement": "forget"}, {"settlement": "adopt"}, {"settlement": None}, []])
def test_refuses_what_is_not_offered(body, gone, api_client):
    answer = api_client.post(url(gone), body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert "settlement" in answer.reason_phrase or body == []
    assert IPAddress.objects.exists()


def test_nobody_settles_what_does_not_exist(gone, api_client):
    address = url(gone)
    gone.delete()
    assert api_client.post(address, {"settlement": "release"}, format="json").status_code == 404


def test_a_pve_decides_about_its_own_and_no_other(gone):
    other = data.difference(2)
    token = connect_pve("models", "pve", cluster="cluster1").token
    client = APIClient(headers={"Authorization": f"Token {token}"})
    listed = client.get("/api/plugins/pve-ipam/differences/").json()["results"]
    assert [one["id"] for one in listed] == [str(gone.pk)]
    assert client.post(url(other), {"settlement": "release"}, format="json").status_code == 404
    ignored = {"state": "accepted", "reason": "a printer"}
    assert client.patch(url(gone).removesuffix("settle/"), ignored, format="json").status_code == 200
    assert client.post(url(gone), {"settlement": "release"}, format="json").status_code == 200
    assert set(Difference.objects.values_list("vmid", "state")) == {(101, "settled"), (102, "open")}
