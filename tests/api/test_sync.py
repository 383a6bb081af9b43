"""The endpoint for a sync: what it takes, what it answers, and when it leaves the work to a Job."""

import json
import logging

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from nautobot.core.testing import run_job_for_testing
from nautobot.extras.models import FileProxy, Job, JobResult
from nautobot.ipam.models import IPAddress, Namespace, Prefix
from nautobot.users.models import Token

from nautobot_pve_ipam.api import sync as endpoint
from nautobot_pve_ipam.models import Allocation, Difference, PVECluster
from nautobot_pve_ipam.services.settling import ignore
from tests.pure.sync.pve import cluster, element, guest
from tests.ui.users import logged_in

pytestmark = pytest.mark.django_db

URL = "/api/plugins/pve-ipam/namespaces/pve/sync/"


@pytest.fixture
def ask(api_client):
    """POST a snapshot; the answer's body has what the test names."""
    Namespace.objects.create(name="pve")

    def ask(snapshot=None, *, client=api_client, **fields):
        body = {"snapshot": cluster() if snapshot is None else snapshot, "cluster": "dc1", "zones": ["lab"], **fields}
        return client.post(URL, body, format="json")

    return ask


def subjects(changes):
    return [(change["kind"], change["subject"]) for change in changes]


def test_a_dry_run_is_the_default_and_writes_nothing(ask):
    answer = ask()
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"cluster", "dry_run", "to_do", "differences", "ignored", "problems", "failed"}
    assert (body["cluster"], body["dry_run"], body["failed"]) == ("dc1", True, [])
    assert ("zone", "office") in subjects(body["to_do"])
    assert not Prefix.objects.exists()
    assert not PVECluster.objects.exists()


def test_a_snapshot_is_needed(ask, api_client):
    answer = api_client.post(URL, {}, format="json")
    assert (answer.status_code, answer.json()["snapshot"]) == (400, ["This field is required."])


def test_a_change_says_what_is_and_what_is_to_be_and_why(ask):
    change = next(one for one in ask().json()["to_do"] if one["subject"].endswith("10.1.0.100"))
    assert change == {
        "kind": "address",
        "subject": "10.1.0.0/24 guest 100 BC:24:11:00:01:00 10.1.0.100",
        "before": None,
        "after": {
            "ip": "10.1.0.100",
            "allocated": True,
            "cluster": "dc1",
            "zone": "office",
            "vnet": "off1",
            "network": "10.1.0.0/24",
            "mac": "BC:24:11:00:01:00",
            "vmid": 100,
            "hostname": "web1",
            "is_gateway": False,
            "adopted": False,
        },
        "evidence": "PVE's MAC cache has 10.1.0.100 for guest 100 (web1), net0 with MAC BC:24:11:00:01:00.",
        "settlements": [],
    }


def test_what_was_done_is_answered_and_the_second_run_has_nothing_to_do(ask):
    first = ask(dry_run=False).json()
    assert (first["dry_run"], first["failed"]) == (False, [])
    assert sorted(subjects(first["applied"])) == sorted(subjects(first["to_do"]))
    second = ask(dry_run=False).json()
    assert (second["to_do"], second["applied"], second["differences"]) == ([], [], [])


def test_differences_are_kept_with_their_evidence_but_not_by_a_dry_run(ask):
    ask(dry_run=False)
    document = cluster()
    guest(document, 104)["ipconfig0"] = "ip=10.9.9.9/24"
    (found,) = [one for one in ask(document).json()["differences"] if one["kind"] == "conflict"]
    assert not Difference.objects.exists()
    ask(document, dry_run=False)
    assert Difference.objects.get(kind="conflict").evidence == found["evidence"]
    synced = PVECluster.objects.get()
    assert (synced.last_synced_by.username, synced.last_sync_result) == ("counter", "0 done, 0 not done, 1 differences")


def test_what_was_ignored_is_counted_and_stays_quiet_until_it_changes(ask, admin):
    ask(dry_run=False)
    document = cluster()
    guest(document, 104)["ipconfig0"] = "ip=10.9.9.9/24"
    ask(document, dry_run=False)
    ignore(Difference.objects.get(), "on purpose", user=admin)
    body = ask(document).json()
    assert (body["differences"], body["ignored"]) == ([], 1)
    guest(document, 104)["name"] = "changed"
    body = ask(document).json()
    assert ([one["kind"] for one in body["differences"]], body["ignored"]) == (["conflict"], 0)


def test_what_one_guest_or_zone_says_wrong_is_named_and_stops_nothing_else(ask):
    document = cluster()
    zones = ["lab", "office"]
    guest(document, 104)["net0"] = "virtio=nonsense,bridge=prod2"
    element(document, "zones", zone="office")["ipam"] = "old"
    document["guests"] += [{"vmid": 500, "type": "lxc"}, {"vmid": 500, "type": "lxc"}, {"vmid": 7, "type": "lxc"}]
    guest(document, 102)["net0"] = guest(document, 102)["net0"].replace("prod1", "nowhere")
    problems = {one["subject"]: one["why"] for one in ask(document, dry_run=False, zones=zones).json()["problems"]}
    assert "nonsense" in problems["guest 104"]
    assert problems["zone office"] == "its IPAM entry names namespace branch office, not pve"
    assert problems["guest 500"] == "is there 2 times"
    assert "vmid '7'" in problems["guest 7"]
    assert "is no vnet of this cluster" in problems["bridge nowhere"]
    assert Allocation.objects.filter(vmid=105).exists()


def test_a_cluster_that_is_new_here_is_told_what_to_do_if_it_was_renamed(ask):
    ask(dry_run=False)
    document = cluster()
    element(document, "cluster", type="cluster")["name"] = "dc9"
    problem = ask(document, cluster="dc9").json()["problems"][0]
    assert problem["subject"] == "cluster dc9"
    assert "if it was renamed, rename it in Nautobot" in problem["why"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"snapshot": {"version": 2}}, "snapshot version 2 is unknown: this App understands version 1"),
        ({"snapshot": {"version": 1}}, "taken None is not a time with a time zone, such as 2026-11-26T20:00:00Z"),
        ({"snapshot": []}, 'snapshot: Expected a dictionary of items but got type "list".'),
        ({"cluster": "dc2"}, "the snapshot is of cluster dc1, not of cluster dc2"),
        ({"zones": ["no zone"]}, "zones.0: 'no zone' is not a valid PVE ID"),
        ({"dry_run": "perhaps"}, "dry_run: Must be a valid boolean."),
        ({"dryrun": False}, "dryrun is not a field of this request"),
    ],
)
def test_what_cannot_be_used_as_a_whole_is_refused(ask, fields, sentence):
    answer = ask(**fields)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["detail"].startswith(sentence)
    assert answer.reason_phrase == answer.json()["detail"]


def test_an_unknown_namespace_is_not_found(api_client):
    answer = api_client.post(URL, {"snapshot": cluster()}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_body_above_the_limit_is_refused_and_twenty_thousand_guests_are_below_it(ask, monkeypatch):
    document = cluster()
    size = len(json.dumps(document)) / len(document["guests"])
    assert size * 20_000 < endpoint.MAX_SNAPSHOT_BYTES
    monkeypatch.setattr(endpoint.SyncView, "max_body_bytes", 1000)
    answer = ask()
    assert answer.status_code == 400
    assert answer.json()["detail"].endswith("bytes exceed the limit of 1000")


def test_djangos_own_limit_of_a_body_does_not_apply(ask, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert ask().status_code == 200


def test_a_read_only_token_may_not_even_ask(ask, admin, client):
    key = Token.objects.create(user=admin, write_enabled=False).key
    answer = client.post(
        URL,
        json.dumps({"snapshot": cluster()}),
        content_type="application/json",
        headers={"Authorization": f"Token {key}"},
    )
    assert answer.status_code == 403


def test_rights_on_prefixes_and_addresses_are_needed(ask):
    client = logged_in(get_user_model().objects.create_user("nobody"))
    answer = ask(client=client)
    assert answer.status_code == 403
    assert answer.json()["detail"] == "user nobody lacks permission ipam.view_prefix, ipam.view_ipaddress"


# Above 500 changes


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(endpoint, "MANY_CHANGES", 10)


@pytest.fixture
def job():
    return Job.objects.get(module_name="nautobot_pve_ipam.jobs")


def test_the_job_is_enabled_when_the_app_is_installed(job):
    assert (job.name, job.enabled, job.installed) == ("Sync a PVE cluster", True, True)


def test_many_changes_run_as_a_job(ask, many, job, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)  # a Job logs on a connection that sees nothing of a test
    count, enqueued = len(ask().json()["to_do"]), []

    def enqueue(job_model, user, *, job_kwargs):
        enqueued.append(job_kwargs)
        return JobResult.objects.create(name=job_model.name, job_model=job_model, user=user)

    with monkeypatch.context() as patch:
        patch.setattr(JobResult, "enqueue_job", enqueue)
        answer = ask(dry_run=False, prune=True)
    assert answer.status_code == 202
    result = JobResult.objects.get()
    assert answer.json()["job_result"].endswith(reverse("extras-api:jobresult-detail", kwargs={"pk": result.pk}))
    assert "are done by Job Sync a PVE cluster" in answer.json()["detail"]
    assert not Prefix.objects.exists()
    (given,) = enqueued
    assert (given["cluster"], given["zones"], given["adopt"], given["prune"]) == ("dc1", "lab", False, True)
    # What a worker then does:
    done = run_job_for_testing(job, username="counter", job_kwargs=given)
    assert done.status == "SUCCESS", done.traceback
    assert done.result["failed"] == []
    assert done.result["to_do"] == done.result["applied"] == count
    assert ask().json()["to_do"] == []
    assert not FileProxy.objects.exists()


def test_a_job_that_is_not_enabled_is_named(ask, many, job):
    Job.objects.filter(pk=job.pk).update(enabled=False)
    answer = ask(dry_run=False)
    assert (answer.status_code, answer.json()["code"]) == (409, "misconfigured")
    assert "Job SyncCluster is not enabled" in answer.json()["detail"]
    assert not FileProxy.objects.exists()
    assert not IPAddress.objects.exists()
