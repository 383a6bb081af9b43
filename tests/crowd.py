"""A namespace with many subnets and allocations of one PVE, made in bulk."""

from django.db import connection
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.models import Allocation, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from tests.search.fill import Ground, settle

OURS = (SDNZone, SDNVNet, SDNSubnet, SDNDHCPRange, Allocation)
#: The subnet that holds all allocations, from its first address on.
BUSY = "10.0.0.0/16"


def crowd(name, subnets, allocations):
    """A namespace whose zone `z` and vnet `v` have BUSY and `subnets` - 1 empty /24s, each with a DHCP range."""
    ground = Ground(name)
    busy = ground.prefix(BUSY)
    ground.use(busy, range(1, allocations + 1))
    networks = [f"10.{1 + number // 256}.{number % 256}.0/24" for number in range(subnets - 1)]
    empty = Prefix.objects.bulk_create(
        Prefix(prefix=network, namespace=ground.namespace, status=ground.active) for network in networks
    )
    zone = SDNZone.objects.create(namespace=ground.namespace, name="z")
    vnet = SDNVNet.objects.create(zone=zone, name="v")
    records = SDNSubnet.objects.bulk_create(SDNSubnet(vnet=vnet, prefix=prefix) for prefix in (busy, *empty))
    for prefix in (busy, *empty):
        ground.ranges(prefix, range(200, 201), size=50, role="DHCP")
    ranges = IPAddressRange.objects.filter(parent__namespace=ground.namespace)
    record_of = {record.prefix_id: record for record in records}
    SDNDHCPRange.objects.bulk_create(
        SDNDHCPRange(subnet=record_of[found.parent_id], ip_address_range=found) for found in ranges
    )
    Allocation.objects.bulk_create(
        Allocation(
            ip_address_id=address_id,
            subnet=records[0],
            mac=f"02:00:{number >> 24:02X}:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}",
            vmid=1000 + number,
            hostname=f"guest{number}",
        )
        for number, address_id in enumerate(IPAddress.objects.filter(parent=busy).values_list("pk", flat=True))
    )
    settle()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(model._meta.db_table for model in OURS)}")
    return ground.namespace
