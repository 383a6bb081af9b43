"""The App's integration in Nautobot: seed data, search, navigation, REST root, change log, CSV."""

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse
from nautobot.apps.utils import get_filterset_for_model, get_form_for_model, get_table_for_model
from nautobot.extras.models import ObjectChange, Role, Status
from nautobot.extras.registry import registry
from nautobot.ipam.models import IPAddressRange

from nautobot_pve_ipam import models
from nautobot_pve_ipam.signals import CLUSTER_STATUSES, offer_cluster_statuses
from tests.models import data
from tests.models.test_core_panels import text_of

pytestmark = pytest.mark.django_db

MODELS = (models.PVECluster, models.SDNZone, models.SDNVNet, models.SDNSubnet, models.Allocation)
SHOWN = (*MODELS, models.Difference)


def cluster_statuses():
    return {status.name for status in Status.objects.get_for_model(models.PVECluster)}


def test_clusters_have_statuses_from_the_start():
    assert cluster_statuses() == set(CLUSTER_STATUSES)


def test_statuses_removed_by_the_admin_stay_removed():
    content_type = ContentType.objects.get_for_model(models.PVECluster)
    Status.objects.get(name="Planned").content_types.remove(content_type)
    Status.objects.get(name="Connected").content_types.add(content_type)
    offer_cluster_statuses(None, apps=apps)
    assert cluster_statuses() == {*CLUSTER_STATUSES, "Connected"} - {"Planned"}


def test_statuses_are_added_if_there_are_none():
    content_type = ContentType.objects.get_for_model(models.PVECluster)
    content_type.statuses.clear()
    Status.objects.get(name="Maintenance").delete()
    offer_cluster_statuses(None, apps=apps)
    assert cluster_statuses() == set(CLUSTER_STATUSES) - {"Maintenance"}


def test_editing_a_status_on_its_page_keeps_it_for_clusters_and_can_give_it_back(admin_client):
    active = Status.objects.get(name="Active")
    url = reverse("extras:status_edit", args=[active.pk])
    form = {"name": "Active", "color": active.color, "description": "in production"}
    offered = admin_client.get(url).context["form"]["content_types"].subwidgets
    clusters = str(ContentType.objects.get_for_model(models.PVECluster).pk)
    assert clusters in {str(option.data["value"]) for option in offered}
    before = [str(pk) for pk in active.content_types.values_list("pk", flat=True)]
    for kept in (before, [pk for pk in before if pk != clusters], before):
        assert admin_client.post(url, {**form, "content_types": kept}).status_code == 302
        assert sorted(str(pk) for pk in active.content_types.values_list("pk", flat=True)) == sorted(kept)


def test_every_model_with_a_status_can_be_chosen_for_statuses():
    with_status = {model._meta.model_name for model in SHOWN if hasattr(model, "status")}
    assert set(registry["model_features"]["statuses"]["nautobot_pve_ipam"]) == with_status == {"pvecluster"}


def test_nautobot_provides_the_role_of_dhcp_ranges():
    assert Role.objects.get_for_model(IPAddressRange).filter(name="DHCP").exists()


@pytest.mark.parametrize("model", SHOWN)
def test_nautobot_finds_what_belongs_to_a_model(model):
    assert get_filterset_for_model(model)
    assert get_table_for_model(model)
    assert get_form_for_model(model, "BulkEdit")
    assert get_form_for_model(model) or model not in MODELS


@pytest.mark.parametrize(
    ("text", "shown"), [("guest1", "10.1.0.100/24"), ("bc2411000164", "guest1"), ("10.1.0.100", "guest1")]
)
def test_search_finds_the_guest(text, shown, admin_client):
    data.allocation(1)
    query = {"q": text, "model": "nautobot_pve_ipam.allocation"}
    assert shown in text_of(admin_client.get(reverse("search"), query, headers={"HX-Request": "true"}))


def test_navigation_has_the_group_for_those_who_may_view(admin_client, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("nobody"))
    lists = [reverse(f"plugins:nautobot_pve_ipam:{model._meta.model_name}_list") for model in SHOWN]
    page = admin_client.get("/").content.decode()
    assert [url for url in lists if f'href="{url}"' in page] == lists
    page = client.get("/").content.decode()
    assert [url for url in lists if f'href="{url}"' in page] == []


def test_rest_api_lists_its_endpoints(admin_client):
    root = admin_client.get("/api/plugins/pve-ipam/").json()
    assert set(root) == {"clusters", "zones", "vnets", "subnets", "dhcp-ranges", "allocations", "differences"}


def test_a_change_is_logged_with_its_user(admin_client, admin_user):
    allocation = data.allocation(1)
    url = reverse("plugins-api:nautobot_pve_ipam-api:allocation-detail", args=[allocation.pk])
    assert admin_client.patch(url, {"hostname": "renamed"}, content_type="application/json").status_code == 200
    change = ObjectChange.objects.get(changed_object_id=allocation.pk)
    assert (change.action, change.user) == ("update", admin_user)
    assert change.object_data_v2["hostname"] == "renamed"


@pytest.mark.parametrize("model", [models.SDNVNet, models.SDNSubnet, models.Allocation])
@pytest.mark.parametrize("clustered", [True, False])
def test_csv_export_can_be_imported(model, clustered, admin_client):
    data.allocation(1)
    if not clustered:
        models.SDNZone.objects.update(cluster=None)
    url = reverse(f"plugins-api:nautobot_pve_ipam-api:{model._meta.model_name}-list")
    exported = admin_client.get(url, {"format": "csv"}).content
    model.objects.get().delete()
    response = admin_client.post(url, exported, content_type="text/csv")
    assert response.status_code == 201, response.content
    assert model.objects.count() == 1
