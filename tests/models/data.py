"""Data for Nautobot's test cases: three objects of each model, each in its own cluster, and spare core objects."""

from datetime import datetime, timezone

from django.contrib.contenttypes.models import ContentType
from nautobot.extras.models import Role, Status, Tag
from nautobot.ipam.models import VLAN, IPAddress, IPAddressRange, Namespace, Prefix
from nautobot.virtualization.models import Cluster, ClusterType

from nautobot_pve_ipam.models import Allocation, Difference, PVECluster, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone


def saved(thing):
    thing.validated_save()
    return thing


def active(model):
    return Status.objects.get_for_model(model).get(name="Active")


def namespace(name="models"):
    return Namespace.objects.get_or_create(name=name)[0]


def prefix(number, space=None):
    """10.`number`.0.0/24"""
    space = space or namespace()
    return saved(Prefix(prefix=f"10.{number}.0.0/24", namespace=space, status=active(Prefix)))


def address(number, host, space=None):
    """10.`number`.0.`host`"""
    space = space or namespace()
    return saved(IPAddress(address=f"10.{number}.0.{host}/24", namespace=space, status=active(IPAddress), type="host"))


def dhcp_range(number, start=100, end=199, space=None):
    """10.`number`.0.`start` to 10.`number`.0.`end`"""
    return saved(
        IPAddressRange(
            start_address=f"10.{number}.0.{start}",
            end_address=f"10.{number}.0.{end}",
            namespace=space or namespace(),
            status=active(IPAddressRange),
            role=Role.objects.get(name="DHCP"),
        )
    )


def virtualization_cluster(name):
    return saved(Cluster(name=name, cluster_type=ClusterType.objects.get_or_create(name="Proxmox VE")[0]))


def cluster(number):
    return saved(
        PVECluster(
            name=f"cluster{number}",
            description=f"the cluster with number {number}",
            status=active(PVECluster),
            virtualization_cluster=virtualization_cluster(f"inventory{number}"),
        )
    )


def zone(number, of=None):
    of = of or cluster(number)
    return saved(
        SDNZone(
            name=f"zone{number}",
            cluster=of,
            namespace=namespace(),
            type="vlan",
            dhcp=f"dnsmasq{number}",
            description=f"the zone with number {number}",
        )
    )


def vlan(number):
    return saved(VLAN(name=f"vlan{number}", vid=number, status=active(VLAN)))


def vnet(number):
    return saved(
        SDNVNet(
            name=f"vnet{number}",
            zone=zone(number),
            alias=f"servers of rack {number}",
            tag=1000 + number,
            vlan=vlan(number),
            description=f"the vnet with number {number}",
        )
    )


def subnet(number):
    """10.`number`.0.0/24 with a gateway address and one DHCP range, .100 to .199."""
    found = saved(
        SDNSubnet(
            vnet=vnet(number),
            prefix=prefix(number),
            gateway=f"10.{number}.0.1",
            snat=bool(number % 2),
            dns_zone_prefix=f"dns{number}",
        )
    )
    saved(SDNDHCPRange(subnet=found, ip_address_range=dhcp_range(number)))
    return found


def allocation(number, host=100, of=None, **fields):
    """10.`number`.0.`host` for the guest `number`."""
    of = of or subnet(number)
    fields = {
        "mac": f"BC:24:11:00:{number:02X}:{host:02X}",
        "vmid": 100 + number,
        "hostname": f"guest{number}",
        **fields,
    }
    return saved(Allocation(ip_address=address(number, host), subnet=of, **fields))


def difference(number, of=None, **fields):
    """PVE has no guest `number` any more, whose allocation is `of`."""
    of = of or allocation(number)
    address, place = of.ip_address, of.subnet
    known = {
        "ip": address.host,
        "allocated": True,
        "cluster": place.vnet.zone.cluster.name,
        "zone": place.vnet.zone.name,
        "vnet": place.vnet.name,
        "network": str(place.prefix.prefix),
        "mac": str(of.mac),
        "vmid": of.vmid,
        "hostname": of.hostname,
        "is_gateway": of.is_gateway,
        "adopted": of.adopted,
    }
    fields = {
        "kind": "gone",
        "network": known["network"],
        "vmid": of.vmid,
        "mac": known["mac"],
        "ip": address.host,
        "before": known,
        "evidence": f"PVE has no guest {of.vmid}.",
        "settlements": ["release"],
        "first_seen": datetime(2026, 11, number, 12, tzinfo=timezone.utc),
        "last_seen": datetime(2026, 11, 27, 12, number, tzinfo=timezone.utc),
        **fields,
    }
    return saved(Difference(namespace=address.parent.namespace, cluster=place.vnet.zone.cluster, **fields))


def tags(model):
    """Two tags that apply to this model."""
    made = [Tag.objects.create(name=f"{model._meta.verbose_name} {name}") for name in ("alpha", "bravo")]
    for tag in made:
        tag.content_types.add(ContentType.objects.get_for_model(model))
    return made
