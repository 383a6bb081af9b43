"""One notion of what belongs to whom, for every hook, whatever has become of the network since."""

import pytest
from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet
from tests.api.hooks.entry import Entry, dhcp, mac, refusal
from tests.inside import Inside
from tests.models import data

S, IP = "10.0.0.0-24", "10.0.0.100"
GUEST = {"mac": mac(1), "vmid": 101, "hostname": "web1"}
RANGES = {"dhcp_ranges": dhcp("10.0.0.100..10.0.0.109", "10.0.0.200..10.0.0.209")}
OTHER = {"dhcp_ranges": dhcp("10.0.0.150..10.0.0.159")}


@pytest.fixture(params=[None, "alpha"])
def entry(api_client, request):
    """A namespace with a subnet, and a guest that got .100; PVE tells its zone, and its cluster if it has one."""
    entry = Entry(Inside(api_client), cluster=request.param)
    entry.made(entry.put_subnet(S, **RANGES))
    held = entry.made(entry.next_free_ip(S, range_start=IP, range_end="10.0.0.109", **GUEST))
    assert held["address"] == f"{IP}/24"
    return entry


def child(entry, prefix, kind="network"):
    space = Namespace.objects.get(pk=entry.id)
    return data.saved(Prefix(prefix=prefix, namespace=space, type=kind, status=data.active(Prefix)))


def record_made_anew(entry):
    SDNSubnet.objects.get().delete()
    entry.made(entry.put_subnet(S, adopt=True, **RANGES))


def nothing(entry):
    pass


def a_network_around_it(entry):
    child(entry, "10.0.0.64/26")


def a_container_and_a_pool_around_it(entry):
    child(entry, "10.0.0.64/26", "container")
    child(entry, "10.0.0.96/27", "pool")


def a_larger_network(entry):
    child(entry, "10.0.0.0/16", "container")


def other_ranges(entry):
    entry.made(entry.put_subnet(S, **OTHER), 200)


def its_range_is_exclusive(entry):
    """Only once the guest has its address: Nautobot lets an admin do that."""
    SDNSubnet.objects.get().prefix.ip_address_ranges.update(is_exclusive=True)


def its_record_made_anew_amid_pools(entry):
    for length in (25, 26, 27, 28, 29):
        child(entry, f"10.0.0.{100 >> (32 - length) << (32 - length)}/{length}", "pool")
    SDNSubnet.objects.get().delete()
    entry.made(entry.put_subnet(S, adopt=True))  # without ranges: core allows none across the pools


def its_record_made_anew_below_a_network(entry):
    a_network_around_it(entry)
    SDNSubnet.objects.get().delete()
    entry.made(entry.put_subnet(S, adopt=True))


def its_record_made_anew_below_a_container_and_a_pool(entry):
    a_container_and_a_pool_around_it(entry)
    SDNSubnet.objects.get().delete()
    entry.made(entry.put_subnet(S, adopt=True))


def its_record_made_anew_and_a_wrong_parent(entry):
    """Core leaves addresses on another parent than the closest, for example below a prefix that was made meanwhile."""
    around = child(entry, "10.0.0.0/16", "container")
    record_made_anew(entry)
    IPAddress.objects.filter(host=IP).update(parent=around)


CHANGES = [
    nothing,
    a_network_around_it,
    a_container_and_a_pool_around_it,
    a_larger_network,
    other_ranges,
    its_range_is_exclusive,
    record_made_anew,
    its_record_made_anew_amid_pools,
    its_record_made_anew_below_a_network,
    its_record_made_anew_below_a_container_and_a_pool,
    its_record_made_anew_and_a_wrong_parent,
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_hook_finds_it(entry, change):
    change(entry)
    for bounds in (
        {},
        {"range_start": IP, "range_end": "10.0.0.109"},
        {"range_start": "10.0.0.200", "range_end": "10.0.0.209"},
        {"ranges": dhcp("10.0.0.150..10.0.0.159")},
    ):
        again = entry.made(entry.next_free_ip(S, **GUEST, **bounds), 200)
        assert again["address"] == f"{IP}/24", bounds
    assert entry.made(entry.by_mac(mac(1)), 200)["ip4"] == IP
    assert entry.call("GET", f"ips/{IP}/?zone=simple1").status == 200
    assert entry.put_ip(IP, **GUEST).status == 200
    assert refusal(entry.put_ip("10.0.0.33", **GUEST))[:2] == (409, "conflict")
    assert entry.patch_ip(IP, hostname="web2").status == 200
    assert refusal(entry.delete_subnet(S))[:2] == (409, "subnet_not_empty")
    assert entry.delete_ip(IP).status == 204
    assert not Allocation.objects.exists()
    assert not IPAddress.objects.exists()


def test_the_facade_finds_it(api_client):
    for change in CHANGES:
        SDNSubnet.objects.all().delete()
        entry = Entry(Inside(api_client))
        entry.made(entry.put_subnet(S, **RANGES))
        entry.made(entry.next_free_ip(S, range_start=IP, range_end="10.0.0.109", **GUEST))
        change(entry)
        base = f"netbox/{entry.name}/ipam"
        (prefix,) = entry.live.request("GET", f"{base}/prefixes/?q=10.0.0.0").body["results"]
        guest = {"dns_name": "web1", "description": f"mac:{mac(1)}"}
        again = entry.live.request("POST", f"{base}/prefixes/{prefix['id']}/available-ips/", guest)
        assert (again.status, again.body["address"]) == (200, f"{IP}/24"), change
        for query in (f"description__ic={mac(1)}", f"q={IP}"):
            (found,) = entry.live.request("GET", f"{base}/ip-addresses/?{query}").body["results"]
            assert found == again.body
        assert entry.live.request("DELETE", f"{base}/ip-addresses/{found['id']}/").status == 204
        assert not Allocation.objects.exists()


def test_a_loose_guest_of_an_adopted_prefix_keeps_its_subnet_and_what_else_is_there_does_not(entry):
    record_made_anew(entry)
    entry.address("10.0.0.5/24")
    entry.made(Entry.next_free_ip(entry, S, range_start="10.0.0.6", range_end="10.0.0.6"))
    Allocation.objects.filter(mac="").update(subnet=None)
    assert refusal(entry.delete_subnet(S))[:2] == (409, "subnet_not_empty")
    entry.made(entry.delete_ip(IP), 204)
    assert entry.delete_subnet(S).status == 204
    assert set(entry.held()["addresses"]) == {"10.0.0.5/24", "10.0.0.6/24"}


def test_bounds_count_for_a_caller_that_names_neither_zone_nor_cluster(api_client):
    entry = Entry(Inside(api_client))
    entry.prefix("10.0.0.0/24")
    url = f"namespaces/{entry.name}/subnets/{S}/next-free-ip/"
    first, second = (
        entry.live.request("POST", url, {"mac": mac(1), "range_start": start, "range_end": start})
        for start in ("10.0.0.9", "10.0.0.19")
    )
    assert (first.status, second.status) == (201, 201)


@pytest.mark.parametrize("in_subnet", [True, False])
@pytest.mark.parametrize("zone", ["simple1", None])
def test_what_was_handed_out_to_nobody_is_found_and_released(api_client, in_subnet, zone):
    """A guest without MAC, VMID and name: the address alone says which it is."""
    entry = Entry(Inside(api_client))
    if in_subnet:
        entry.made(entry.put_subnet(S))
    elif zone:
        return  # a zone has subnets
    else:
        entry.prefix("10.0.0.0/24")
    where = {"zone": zone} if zone else {}
    query = f"?zone={zone}" if zone else ""
    for _ in range(2):
        assert entry.call("PUT", "ips/10.0.0.9/", where).status in (201, 200)
    taken = entry.made(entry.call("POST", f"subnets/{S}/next-free-ip/", {"range_start": "10.0.0.20", **where}))
    several = entry.made(entry.call("POST", f"subnets/{S}/next-free-ip/", [where, {"description": "two", **where}]))
    hosts = ["10.0.0.9", *(one["address"].split("/")[0] for one in (taken, *several))]
    assert len(set(hosts)) == 4
    for host in hosts:
        found = entry.call("GET", f"ips/{host}/{query}")
        assert found.status == 200
        assert entry.call("PUT", f"ips/{host}/", where).status == 200
        assert entry.call("PATCH", f"ips/{host}/{query}", {}).status == 200
        assert entry.call("DELETE", f"ips/{host}/{query}").status == 204
        assert entry.call("DELETE", f"ips/{host}/{query}").status == 204
    assert entry.held()["addresses"] == {}


def test_by_hand_stays_by_hand(api_client):
    entry = Entry(Inside(api_client))
    entry.prefix("10.0.0.0/24")
    entry.address("10.0.0.9/24")
    assert refusal(entry.call("PUT", "ips/10.0.0.9/", {}))[:2] == (409, "address_taken")
    assert refusal(entry.call("DELETE", "ips/10.0.0.9/"))[:2] == (409, "not_ours")


def test_clusters_stay_apart(api_client):
    """What has no subnet belongs to whose subnet it lies in, not to any cluster."""
    entry = Entry(Inside(api_client), cluster="alpha")
    entry.made(entry.put_subnet(S))
    entry.made(entry.next_free_ip(S, **GUEST))
    other = entry.of(cluster="beta")
    entry.made(other.put_subnet("10.0.1.0-24"))
    record_made_anew_of(entry)
    assert other.made(other.by_mac(mac(1)), 200)["results"] == []
    assert refusal(other.delete_ip("10.0.0.1"))[:2] == (409, "not_ours")
    assert other.made(other.next_free_ip("10.0.1.0-24", **GUEST))["address"] == "10.0.1.1/24"
    assert entry.made(entry.by_mac(mac(1)), 200)["ip4"] == "10.0.0.1"


def record_made_anew_of(entry):
    SDNSubnet.objects.get(vnet__zone__cluster=PVECluster.objects.get(name=entry.cluster)).delete()
    entry.made(entry.put_subnet(S, adopt=True))
