"""What a sync leaves to people is shown with its evidence and settled on its page, and not found again."""

import pytest
from nautobot.ipam.models import IPAddress, Prefix

from nautobot_pve_ipam.models import Allocation, Difference, SDNSubnet, SDNVNet
from tests.models.data import active, saved
from tests.models.test_core_panels import text_of
from tests.pure.sync.pve import cluster, element, guest, without_guest

pytestmark = pytest.mark.django_db

LAB = frozenset({"lab"})
DNS = "name=eth0,bridge=prod1,hwaddr=BC:24:11:00:01:02,ip=10.3.0.{}/24,ip6=2001:db8:3::53/64,type=veth"


@pytest.fixture
def settled(real, api_client):
    """Sync the believable cluster, then a document in which one thing is planted: it is shown and settled."""
    real.sync(cluster(), zones=LAB)

    def run(document, evidence, settlement):
        real.sync(document, zones=LAB)
        found = Difference.objects.get()
        assert (found.state, found.evidence) == ("open", evidence)
        page = found.get_absolute_url()
        assert evidence.replace("'", "&#x27;") in text_of(api_client.get(page))
        way = f"{page}settle/{settlement}/"
        assert way in api_client.get(page).content.decode()
        answer = api_client.post(way, follow=True)
        assert "Settled: " in text_of(answer)
        assert real.plan(document, zones=LAB).differences == ()
        real.sync(document, zones=LAB)
        assert Difference.objects.get().state == "settled"
        assert real.plan(document, zones=LAB).changes == ()

    return run


def test_an_address_that_pve_did_not_make_is_adopted(settled, real):
    saved(IPAddress(address="10.3.0.77/24", namespace=real.namespace, status=active(IPAddress)))
    document = cluster()
    guest(document, 108)["net1"] = "name=eth1,bridge=prod1,hwaddr=BC:24:11:00:05:00,ip=10.3.0.77/24,type=veth"
    evidence = (
        "The container's configuration has 10.3.0.77 for guest 108 (ci), net1 with MAC BC:24:11:00:05:00, "
        "but something that PVE did not make has it in Nautobot."
    )
    settled(document, evidence, "adopt")
    held = Allocation.objects.get(ip_address__host="10.3.0.77")
    assert (held.adopted, held.vmid, held.hostname) == (True, 108, "ci")


def test_a_prefix_that_pve_did_not_make_is_adopted(settled, real):
    saved(Prefix(prefix="10.3.7.0/24", namespace=real.namespace, status=active(Prefix)))
    document = cluster()
    document["subnets"].append({"subnet": "prod-10.3.7.0-24", "vnet": "prod1", "type": "subnet", "gateway": "10.3.7.1"})
    settled(document, "PVE has subnet 10.3.7.0/24 on vnet prod1, a prefix that PVE did not make.", "adopt")
    record = SDNSubnet.objects.get(prefix__network="10.3.7.0")
    assert (record.adopted, record.gateway) == (True, "10.3.7.1")


def test_pves_word_is_taken_for_the_address_of_a_guest(settled):
    document = cluster()
    guest(document, 102)["net0"] = DNS.format(66)
    evidence = (
        "The container's configuration has 10.3.0.66 for guest 102 (dns), net0 with MAC BC:24:11:00:01:02, "
        "but Nautobot has 10.3.0.53 for that MAC in 10.3.0.0/24."
    )
    settled(document, evidence, "take-pve")
    assert not IPAddress.objects.filter(host="10.3.0.53").exists()
    assert Allocation.objects.get(ip_address__host="10.3.0.66").vmid == 102


def test_a_guest_that_is_gone_is_released(settled):
    document = without_guest(cluster(), 104)
    settled(document, "PVE has no guest 104.", "release")
    assert not Allocation.objects.filter(vmid=104).exists()


def test_what_may_be_there_is_released_by_who_knows_better(settled):
    document = without_guest(cluster(), 104)
    element(document, "cluster", name="pve3")["online"] = 0
    settled(document, "PVE has no guest 104, but node pve3 is offline.", "release")
    assert not Allocation.objects.filter(vmid=104).exists()


def test_a_vnet_without_subnets_is_released(settled, real):
    document = cluster()
    document["vnets"].append({"vnet": "empty1", "zone": "prod", "type": "vnet", "tag": 7})
    real.sync(document, zones=LAB)
    assert SDNVNet.objects.filter(name="empty1").exists()
    settled(cluster(), "PVE has no vnet empty1 in zone prod.", "release")
    assert not SDNVNet.objects.filter(name="empty1").exists()
