"""`nautobot-server pve_ipam_connect`: what it creates, prints and rejects, and that the token works."""

import logging
import re
import uuid

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from nautobot.extras.models import ObjectChange
from nautobot.ipam.models import Namespace
from nautobot.users.models import ObjectPermission, Token

from development.management import manage
from nautobot_pve_ipam.models import PVECluster
from nautobot_pve_ipam.permissions import HOOK_RIGHTS, SYNC_RIGHTS, VIEW_RIGHTS

TOKEN = re.compile(r"\b[0-9a-f]{40}\b")
SUBNET = "subnets/10.0.0.0-24/"


@pytest.fixture
def connect(db, capsys):
    """Run the command in this process; returns what it printed."""

    def run(*arguments, namespace="pve", user="pve-cluster1"):
        call_command("pve_ipam_connect", "--namespace", namespace, "--user", user, *arguments)
        return capsys.readouterr().out

    return run


def rights_of(username):
    user = get_user_model().objects.get(username=username)
    return {
        f"{kind.app_label}.{action}_{kind.model}": permission.constraints
        for permission in ObjectPermission.objects.filter(groups__user=user)
        for kind in permission.object_types.all()
        for action in permission.actions
    }


def test_the_user_has_minimal_permissions_and_no_password(connect):
    connect()
    user = get_user_model().objects.get(username="pve-cluster1")
    assert (user.has_usable_password(), user.is_staff, user.is_superuser) == (False, False, False)
    rights = rights_of("pve-cluster1")
    assert set(rights) == {*HOOK_RIGHTS, *VIEW_RIGHTS, *SYNC_RIGHTS}
    unlimited = {right for right, constraints in rights.items() if not constraints}
    assert unlimited == {"nautobot_pve_ipam.add_pvecluster"}
    assert rights["ipam.add_ipaddress"] == {"parent__namespace__name": "pve"}


def test_a_named_cluster_is_the_only_one_it_may_create(connect):
    connect("--cluster", "alpha")
    assert rights_of("pve-cluster1")["nautobot_pve_ipam.add_pvecluster"] == {"name": "alpha"}
    connect("--cluster", "beta")
    assert rights_of("pve-cluster1")["nautobot_pve_ipam.add_pvecluster"] == {"name": "beta"}


def test_a_named_cluster_is_bound_to_the_user(connect):
    connect("--cluster", "alpha")
    connect("--cluster", "alpha")
    user = get_user_model().objects.get(username="pve-cluster1")
    assert list(PVECluster.objects.values_list("name", "user")) == [("alpha", user.pk)]
    connect("--cluster", "beta", namespace="second")
    assert PVECluster.objects.filter(user=user).count() == 2, "one user may serve several"
    with pytest.raises(CommandError, match="cluster 'alpha' is bound to user 'pve-cluster1'"):
        connect("--cluster", "alpha", user="another")
    assert not get_user_model().objects.filter(username="another").exists()


def test_the_permissions_keep_to_a_named_cluster(connect):
    connect("--cluster", "alpha")
    rights = rights_of("pve-cluster1")
    assert rights["nautobot_pve_ipam.change_sdnzone"] == {"namespace__name": "pve", "cluster__name": "alpha"}
    assert rights["ipam.add_ipaddress"] == {"parent__namespace__name": "pve"}
    own, unclaimed = rights["ipam.delete_ipaddress"]
    assert own["pve_allocation__subnet__vnet__zone__cluster__name"] == "alpha"
    assert unclaimed["pve_allocation__isnull"] is False


def test_the_token_is_printed_once(connect):
    printed = TOKEN.findall(connect())
    assert printed == [Token.objects.get().key]
    again = connect()
    assert not TOKEN.findall(again)
    assert "not shown again" in again
    assert Token.objects.get().key == printed[0], "a second run keeps it"


def test_rotate_replaces_the_token(connect):
    (old,) = TOKEN.findall(connect())
    (new,) = TOKEN.findall(connect("--rotate"))
    assert new != old
    assert Token.objects.get().key == new


def test_a_second_run_changes_nothing(connect):
    connect()
    before = (rights_of("pve-cluster1"), ObjectPermission.objects.count(), Namespace.objects.count())
    connect()
    assert (rights_of("pve-cluster1"), ObjectPermission.objects.count(), Namespace.objects.count()) == before


def test_a_second_run_repairs_the_permissions(connect):
    connect()
    permissions = ObjectPermission.objects.filter(groups__user__username="pve-cluster1")
    permissions.filter(object_types__model="prefix").update(constraints=None, actions=["view", "change"])
    stale = permissions.get(object_types__model="sdnzone")
    stale.pk, stale.name = uuid.uuid4(), f"{stale.name} of an older version"
    stale.save()
    stale.groups.set(get_user_model().objects.get().groups.all())
    connect()
    rights = rights_of("pve-cluster1")
    assert set(rights) == {*HOOK_RIGHTS, *VIEW_RIGHTS, *SYNC_RIGHTS}
    assert rights["ipam.view_prefix"] == {"namespace__name": "pve"}
    assert not ObjectPermission.objects.filter(pk=stale.pk).exists()


def test_one_user_in_two_namespaces(connect):
    connect()
    assert not TOKEN.findall(connect(namespace="second"))
    constraints = ObjectPermission.objects.filter(object_types__model="prefix").values_list("constraints", flat=True)
    assert sorted(item["namespace__name"] for item in constraints) == ["pve", "second"]


def test_both_entries_of_ipams_cfg_are_printed(connect):
    printed = connect("--cluster", "alpha", "--url", "https://ipam.example.net:8443/api/", namespace="lab 1")
    assert (
        "\nnautobot: nautobot\n\turl https://ipam.example.net:8443/api\n\ttoken $TOKEN\n\tnamespace lab 1\n" in printed
    )
    facade = "https://ipam.example.net:8443/api/plugins/pve-ipam/netbox/lab%201/alpha"
    assert f"\nnetbox: nautobot\n\turl {facade}\n\ttoken $TOKEN\n" in printed
    assert 'https://ipam.example.net:8443/api/plugins/pve-ipam/namespaces/lab%201/?cluster=alpha"\n' in printed


@pytest.mark.parametrize(
    ("arguments", "named", "sentence"),
    [
        ([], {"namespace": "a/b"}, "namespace 'a/b' must be"),
        ([], {"namespace": "b\u00fcro"}, "namespace 'b\u00fcro' must be"),
        ([], {"namespace": "pve\n"}, "must be 1 to 100 printable ASCII"),
        ([], {"namespace": ""}, "namespace '' must be"),
        ([], {"namespace": "n" * 101}, "must be 1 to 100"),
        ([], {"user": "pve cluster"}, "user 'pve cluster':"),
        ([], {"user": "u" * 101}, "is longer than 100"),
        (["--cluster", "-a"], {}, "--cluster"),
        (["--cluster=al/pha"], {}, "cluster 'al/pha' must be"),
        (["--cluster="], {}, "cluster '' must be"),
        (["--url", "nautobot.example.com"], {}, "url 'nautobot.example.com' is not of the form"),
        (["--url", "ftp://nautobot.example.com"], {}, "is not of the form"),
        (["--url", "https://"], {}, "is not of the form"),
    ],
)
def test_rejected_arguments(connect, arguments, named, sentence):
    with pytest.raises(CommandError, match=re.escape(sentence)):
        connect(*arguments, **named)
    assert not get_user_model().objects.exists()
    assert [namespace.name for namespace in Namespace.objects.all()] == ["Global"]


@pytest.mark.parametrize("kind", ["a person", "a single sign-on user", "a superuser"])
def test_an_existing_user_is_not_taken_over(connect, kind):
    users = get_user_model().objects
    if kind == "a superuser":
        users.create_superuser("pve-cluster1")
    else:
        users.create_user("pve-cluster1", password="secret" if kind == "a person" else None)
    with pytest.raises(CommandError, match="user 'pve-cluster1' already exists and was not created by this command"):
        connect()
    assert not Token.objects.exists()
    assert not Namespace.objects.filter(name="pve").exists()
    assert rights_of("pve-cluster1") == {}


def test_the_token_is_never_logged(connect, caplog):
    with caplog.at_level(logging.DEBUG):
        (token,) = TOKEN.findall(connect())
    assert token not in caplog.text
    assert not ObjectChange.objects.filter(changed_object_type__model="token").exists()


def test_the_printed_token_drives_a_subnet_in_its_namespace_and_nothing_elsewhere(live):
    own, other = f"connect-{uuid.uuid4().hex[:8]}", f"connect-{uuid.uuid4().hex[:8]}"
    printed = manage(live.web.environment, "pve_ipam_connect", "--namespace", own, "--user", own, "--url", live.url)
    (token,) = TOKEN.findall(printed)
    made = live.request("POST", "/api/ipam/namespaces/", {"name": other})
    body = {
        "zone": "simple1",
        "vnet": "vnet0",
        "gateway": "10.0.0.1",
        "dhcp_ranges": [{"start": "10.0.0.10", "end": "10.0.0.20"}],
    }
    guest = {"mac": "BC:24:11:00:00:01", "hostname": "web1", "zone": "simple1"}
    live.request("PUT", f"namespaces/{other}/{SUBNET}", body)
    live.request("PUT", f"namespaces/{other}/ips/10.0.0.50/", guest)

    def call(method, path, sent=None, namespace=own):
        return live.request(method, f"namespaces/{namespace}/{path}", sent, token=token)

    assert call("GET", "").body["ready"] is True
    life = [
        ("PUT", SUBNET, body, 201),
        ("PUT", "ips/10.0.0.1/", {"gateway": True, "hostname": "vnet0-gw", "zone": "simple1"}, 201),
        ("POST", f"{SUBNET}next-free-ip/", {**guest, "range_start": "10.0.0.10", "range_end": "10.0.0.20"}, 201),
        ("PATCH", "ips/10.0.0.10/", {"hostname": "web2", "zone": "simple1"}, 200),
        ("GET", "ips/?mac=BC:24:11:00:00:01&zone=simple1", None, 200),
        ("PUT", SUBNET, {**body, "dhcp_ranges": [], "zone_type": "vlan", "snat": True}, 200),
        ("DELETE", "ips/10.0.0.10/?zone=simple1", None, 204),
        ("DELETE", f"{SUBNET}?zone=simple1&vnet=vnet0", None, 204),
    ]
    assert [(path, call(method, path, sent).status) for method, path, sent, _ in life] == [
        (path, status) for _, path, _, status in life
    ]
    for method, path, sent, _ in life:
        assert call(method, path, sent, namespace=other).status in (403, 404), (method, path)
    assert call("DELETE", "ips/10.0.0.50/", namespace=other).status == 404
    left = live.request("GET", f"/api/ipam/ip-addresses/?namespace={made.body['id']}").body["results"]
    assert [item["address"] for item in left] == ["10.0.0.50/24"]
