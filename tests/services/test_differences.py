"""What a sync leaves to people is kept from run to run: opened, continued, ignored, settled."""

import ipaddress
from datetime import datetime, timedelta, timezone

import pytest

from nautobot_pve_ipam.choices import DifferenceKindChoices, SettlementChoices
from nautobot_pve_ipam.models import Difference
from nautobot_pve_ipam.services.differences import SETTLED_KEPT, gone_since, keep, note_sync, plain
from nautobot_pve_ipam.subject import Subject
from nautobot_pve_ipam.sync.changes import Change, Kind, KnownAddress, KnownSubnet, Settlement
from tests.models import data

pytestmark = pytest.mark.django_db

FIRST = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
NEXT = FIRST + timedelta(hours=1)
NETWORK = ipaddress.ip_network("10.0.0.0/24")
MAC = "BC:24:11:00:00:05"


def known(host, **fields):
    facts = {"network": NETWORK, "mac": MAC, "vmid": 105, "hostname": "web5", **fields}
    return KnownAddress(ipaddress.ip_address(f"10.0.0.{host}"), **facts)


def subject(host, mac=MAC, vmid=105):
    return Subject(network=str(NETWORK), vmid=vmid, mac=mac, ip=f"10.0.0.{host}")


def conflict(host=5, before=None, evidence="Cloud-init has it, but somebody else holds it."):
    settlements = (Settlement.ADOPT, Settlement.TAKE_PVE)
    return Change(Kind.CONFLICT, subject(host), before, known(host), evidence, False, settlements)


def gone(host=5, kind=Kind.GONE):
    return Change(kind, subject(host), known(host), None, "PVE has no guest 105.", False, (Settlement.RELEASE,))


@pytest.fixture
def cluster(db):
    return data.cluster(1)


@pytest.fixture
def sync(cluster):
    """A sync of the cluster that finds this."""
    space = data.namespace()

    def run(*found, at=NEXT, complete=True, of=cluster):
        keep(space, of, found, at, complete=complete)

    return run


def kept(**which):
    return Difference.objects.get(**which)


def states():
    return sorted(Difference.objects.values_list("kind", "ip", "state"))


def ignored(**which):
    found = kept(**which)
    found.state, found.reason = "accepted", "a printer"
    found.validated_save()


def test_what_is_new_is_open(sync, cluster):
    sync(conflict(), at=FIRST)
    found = kept()
    assert (found.cluster, found.kind, found.state, found.reason) == (cluster, "conflict", "open", "")
    about = (found.zone, found.vnet, found.network, found.vmid, str(found.mac), found.ip)
    assert about == ("", "", "10.0.0.0/24", 105, MAC, "10.0.0.5")
    assert found.evidence == "Cloud-init has it, but somebody else holds it."
    assert found.settlements == ["adopt", "take-pve"]
    assert found.before is None
    assert found.after["ip"] == "10.0.0.5"
    assert found.after["vmid"] == 105
    assert (found.first_seen, found.last_seen) == (FIRST, FIRST)
    assert str(found) == f"Conflict: 10.0.0.0/24 guest 105 {MAC} 10.0.0.5"


def test_what_is_seen_again_keeps_when_it_was_first_seen(sync):
    sync(conflict(), at=FIRST)
    sync(conflict(evidence="Cloud-init has it."))
    found = kept()
    assert (found.first_seen, found.last_seen, found.evidence) == (FIRST, NEXT, "Cloud-init has it.")


def test_what_is_ignored_stays_so_until_it_changes(sync):
    sync(conflict(), at=FIRST)
    ignored()
    sync(conflict(evidence="The container has it."))
    assert (kept().state, kept().reason) == ("accepted", "a printer")
    sync(conflict(before=known(5, mac="BC:24:11:00:00:99")))
    assert (kept().state, kept().reason, kept().first_seen) == ("open", "", FIRST)


def test_what_was_ignored_and_comes_back_unchanged_is_still_ignored(sync):
    sync(conflict(), at=FIRST)
    ignored()
    sync()
    assert kept().state == "settled"
    sync(conflict())
    assert (kept().state, kept().first_seen) == ("accepted", NEXT)


def test_a_complete_run_settles_what_it_does_not_find(sync):
    sync(conflict(5), conflict(6), at=FIRST)
    sync(conflict(6), complete=False)
    assert states() == [("conflict", "10.0.0.5", "open"), ("conflict", "10.0.0.6", "open")]
    sync(conflict(6))
    assert states() == [("conflict", "10.0.0.5", "settled"), ("conflict", "10.0.0.6", "open")]
    sync(conflict(5), conflict(6), at=NEXT + timedelta(hours=1))
    assert kept(ip="10.0.0.5").first_seen == NEXT + timedelta(hours=1)


def test_what_has_been_settled_for_long_is_forgotten(sync):
    sync(conflict(5), conflict(6), at=FIRST)
    sync(conflict(6), at=FIRST + SETTLED_KEPT)
    assert [state for _, _, state in states()] == ["settled", "open"]
    sync(conflict(6), at=FIRST + SETTLED_KEPT + timedelta(seconds=1))
    assert [state for _, _, state in states()] == ["open"]


def test_a_run_settles_nothing_of_another_cluster(sync):
    sync(conflict(), at=FIRST)
    sync(of=data.cluster(2))
    sync(of=None)
    assert kept().state == "open"


def test_each_cluster_and_a_pve_without_one_has_its_own(sync):
    for of in (None, data.cluster(2), data.cluster(3)):
        sync(conflict(), of=of)
        sync(conflict(), of=of)
    assert Difference.objects.count() == 3


def test_what_is_gone_has_a_time_since_when(sync):
    sync(gone(5), gone(6, Kind.STALE), conflict(7), at=FIRST)
    sync(gone(5))
    assert gone_since(data.namespace()) == {("cluster1", tuple_of(subject(5))): FIRST}
    ignored(ip="10.0.0.5")
    assert len(gone_since(data.namespace())) == 1
    sync()
    assert gone_since(data.namespace()) == {}


def tuple_of(one):
    return (one.zone, one.vnet, one.network, one.vmid, one.mac, one.ip)


def test_what_was_gone_and_is_seen_begins_anew_even_if_the_snapshot_is_incomplete(sync):
    sync(gone(5), gone(6), at=FIRST)
    sync(gone(5, Kind.STALE), complete=False)
    assert gone_since(data.namespace()) == {("cluster1", tuple_of(subject(5))): FIRST}


@pytest.mark.parametrize("of", [conflict, gone])
def test_the_number_of_queries_does_not_depend_on_how_many_there_are(sync, of, django_assert_max_num_queries):
    counts = []
    for number in (2, 200):
        for _run in ("new", "seen again"):
            with django_assert_max_num_queries(20) as counted:
                sync(*(of(host) for host in range(1, number)))
            counts.append(len(counted))
    assert len(set(counts)) == 1, counts


def test_the_words_of_a_sync_are_those_of_the_model():
    assert set(SettlementChoices.values()) == {one.value for one in Settlement}
    assert set(DifferenceKindChoices.values()) <= {one.value for one in Kind}


def test_facts_are_kept_without_what_two_of_them_may_differ_in():
    low, high = (ipaddress.ip_address(text) for text in ("10.0.0.9", "10.0.0.20"))
    fact = KnownSubnet("one", "zone1", "vnet1", NETWORK, gateway=low, ranges=((low, high),), gone_since=FIRST)
    assert plain(fact) == {
        "cluster": "one",
        "zone": "zone1",
        "vnet": "vnet1",
        "network": "10.0.0.0/24",
        "gateway": "10.0.0.9",
        "snat": False,
        "dns_zone_prefix": "",
        "ranges": [["10.0.0.9", "10.0.0.20"]],
        "adopted": False,
    }


def test_nothing_is_kept_of_what_the_user_of_the_sync_may_not_view(sync):
    sync(conflict(before=known(5, mac="BC:24:11:00:00:99", is_visible=False)))
    assert kept().before is None


def test_a_cluster_says_when_it_was_last_synced_and_by_whom(cluster, admin):
    note_sync(cluster, user=admin, result="Nothing was to do.", at=FIRST)
    cluster.refresh_from_db()
    noted = (cluster.last_synced, cluster.last_synced_by, cluster.last_sync_result)
    assert noted == (FIRST, admin, "Nothing was to do.")
