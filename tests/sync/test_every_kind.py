"""A difference of every kind, planted in a cluster that was in step: each is found with its evidence, and settled from
the command or from its page.
"""

from html import unescape

import pytest
from django.urls import reverse
from nautobot.ipam.models import IPAddress, Namespace

from nautobot_pve_ipam.choices import DifferenceStateChoices
from nautobot_pve_ipam.models import Allocation, Difference
from tests.models.data import active, saved
from tests.pure.sync.pve import cluster, element, guest, without_guest

pytestmark = pytest.mark.django_db

NEW, FIXED = "BC:24:11:00:01:10", "BC:24:11:00:01:11"


def planted(namespace):
    """What PVE says after a day on which Nautobot did not listen, and somebody took an address by hand."""
    document = cluster()
    document["zones"].append({"zone": "dmz", "type": "vlan", "ipam": "nautobot"})  # zone, vnet
    document["vnets"].append({"vnet": "dmz1", "zone": "dmz", "tag": 300})
    document["subnets"].append({"subnet": "office-10.1.2.0-24", "vnet": "off2", "gateway": "10.1.2.1"})  # subnet
    element(document, "subnets", subnet="lab-10.2.1.0-25")["dhcp-range"] = [  # range
        {"start-address": "10.2.1.10", "end-address": "10.2.1.120"}
    ]
    guest(document, 101)["name"] = "shop2"  # allocation
    start(document, 110, "qemu", {"name": "new", "net0": f"virtio={NEW},bridge=off2"})  # address
    document["mac-cache"][NEW] = {"ip4": "10.1.1.20", "ip6": None}
    guest(document, 106)["net1"] = guest(document, 106)["net1"].replace("lab2", "lab1")  # moved
    element(document, "pve-ipam-state", ip="10.2.1.10").update(ip="10.2.0.60", subnet="10.2.0.0/24")
    document["mac-cache"]["BC:24:11:00:01:16"] = {"ip4": "10.2.0.60"}
    document["mac-cache"]["BC:24:11:00:01:00"]["ip4"] = "10.1.1.77"  # cache
    without_guest(document, 109)  # gone
    document["pve-ipam-state"].append(  # stale
        {"zone": "lab", "subnet": "10.2.0.0/24", "ip": "10.2.0.50", "mac": "BC:24:11:00:09:99", "vmid": "999"}
    )
    saved(IPAddress(address="10.3.0.60/24", namespace=namespace, status=active(IPAddress)))  # conflict
    config = {"hostname": "fixed", "net0": f"name=eth0,bridge=prod1,hwaddr={FIXED},ip=10.3.0.60/24"}
    start(document, 111, "lxc", config)
    return document


def start(document, vmid, kind, config):
    """One more guest."""
    document["vmlist"][str(vmid)] = {"node": "pve1", "type": kind}
    document["guests"].append({"vmid": vmid, "type": kind, "node": "pve1", "status": "running", "config": config})


#: What is found, by kind, and the sentence that says so. Of several of one kind, the first.
EVIDENCE = {
    "zone": "PVE has zone dmz, Nautobot does not.",
    "vnet": "PVE has vnet dmz1, Nautobot does not.",
    "subnet": "PVE has subnet 10.1.2.0/24 of vnet off2, Nautobot does not.",
    "range": "PVE says of subnet 10.2.1.0/25 of vnet lab2: ranges 10.2.1.10-10.2.1.120 instead of 10.2.1.10-10.2.1.99.",
    "allocation": "PVE's MAC cache has 10.1.0.101 for guest 101 (shop2), net0 with MAC BC:24:11:00:01:01: "
    "hostname shop2 instead of web2.",
    "address": "PVE's MAC cache has 10.1.1.20 for guest 110 (new), net0 with MAC BC:24:11:00:01:10.",
    "moved": "PVE's own IPAM has 10.2.0.60 for guest 106 (build), net1 with MAC BC:24:11:00:01:16.",
    "stale": "PVE's own IPAM has 10.2.0.50 for guest 999 with MAC BC:24:11:00:09:99, but lab1 has no such device.",
    "gone": "PVE has net1 of guest 106 (build) with MAC BC:24:11:00:01:16 on lab1, not on lab2.",
    "conflict": "The container's configuration has 10.3.0.60 for guest 111 (fixed), net0 with MAC BC:24:11:00:01:11, "
    "but something that PVE did not make has it in Nautobot.",
    "cache": "PVE's MAC cache has 10.1.1.77, fd01::100 for guest 100 (web1), Nautobot 10.1.0.100, fd01::100.",
}


@pytest.fixture
def sync(api_client):
    """What the command on the node asks for: `sync(snapshot)` for a dry run; nothing fails."""

    def sync(document, **fields):
        body = {"snapshot": document, "cluster": "dc1", "zones": ["lab"], **fields}
        answer = api_client.post("/api/plugins/pve-ipam/namespaces/pve/sync/", body, format="json")
        assert (answer.status_code, answer.json()["failed"]) == (200, [])
        return answer.json()

    return sync


def by_kind(changes):
    """The evidence of the first of each kind."""
    return {change["kind"]: change["evidence"] for change in reversed(changes)}


def test_every_kind_is_found_and_settled(api_client, sync):
    namespace = Namespace.objects.create(name="pve")
    sync(cluster(), dry_run=False)
    again = sync(cluster())
    assert again["to_do"] + again["differences"] == []
    document = planted(namespace)
    found = sync(document)
    assert by_kind(found["to_do"] + found["differences"]) == EVIDENCE

    sync(document, dry_run=False)  # from the command: pve-nautobot sync --apply
    left = sync(document)
    assert left["to_do"] == []
    assert set(by_kind(left["differences"])) == {"stale", "gone", "conflict", "cache"}

    for kind, settlement in (("gone", "release"), ("gone", "release"), ("conflict", "adopt")):  # from their pages
        difference = Difference.objects.filter(kind=kind).exclude(state=DifferenceStateChoices.SETTLED).first()
        assert difference.evidence in unescape(api_client.get(difference.get_absolute_url()).content.decode())
        names = {"pk": difference.pk, "settlement": settlement}
        page = reverse("plugins:nautobot_pve_ipam:difference_settle", kwargs=names)
        assert api_client.post(page, {"confirm": True}).status_code == 302
        difference.refresh_from_db()
        assert difference.state == DifferenceStateChoices.SETTLED
    assert Allocation.objects.get(vmid=111).adopted
    assert not Allocation.objects.filter(vmid=109).exists()

    del document["pve-ipam-state"][-1]  # in PVE, and with pve-nautobot sync --repair-cache
    del document["mac-cache"]["BC:24:11:00:01:09"]
    document["mac-cache"]["BC:24:11:00:01:00"]["ip4"] = "10.1.0.100"
    last = sync(document, dry_run=False)
    assert last["to_do"] + last["differences"] == []
    assert not Difference.objects.exclude(state=DifferenceStateChoices.SETTLED).exists()
