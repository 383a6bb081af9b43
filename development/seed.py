"""What the demo's and the tests' databases hold beyond Nautobot's own records; runs inside Nautobot."""

import secrets

import netaddr
from django.contrib.auth import get_user_model
from nautobot.apps.change_logging import web_request_context
from nautobot.extras.models import Role, Status
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace
from nautobot.users.models import Token

from nautobot_pve_ipam.services.addresses import put_address
from nautobot_pve_ipam.services.allocation import Guest
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.subnets import SubnetFacts, put_subnet

#: vnet0 of the zone simple1: subnet, gateway, DHCP ranges.
SUBNETS = (
    ("10.0.0.0/24", "10.0.0.1", (("10.0.0.100", "10.0.0.149"), ("10.0.0.150", "10.0.0.199"))),
    (
        "2001:db8:10::/64",
        "2001:db8:10::1",
        (("2001:db8:10::100", "2001:db8:10::1ff"), ("2001:db8:10::200", "2001:db8:10::2ff")),
    ),
)
GUESTS = (
    ("10.0.0.100", Guest("BC:24:11:00:00:64", 100, "web1")),
    ("10.0.0.102", Guest("BC:24:11:00:00:66", 110, "db1")),
    ("2001:db8:10::100", Guest("BC:24:11:00:00:64", 100, "web1")),
)


def superuser(password: str = "admin") -> str:
    """Make the superuser `admin`, unless there is one, and return a new token of its."""
    users = get_user_model().objects
    user = users.filter(username="admin").first() or users.create_superuser("admin", "admin@example.com", password)
    key = secrets.token_hex(20)
    Token.objects.create(user=user, key=key)
    return key


def pve_network() -> None:
    """Namespace `pve` as a PVE with a simple zone left it, beside a printer and a reserve of Nautobot's own people.

    Namespace `lab` holds the same prefix for a second cluster, whose DHCP range is nearly full.
    """
    admin = get_user_model().objects.get(username="admin")
    with web_request_context(admin, context_detail="demo"):
        pve = Namespace.objects.create(name="pve", description="Guests of the Proxmox VE demo node")
        for network, gateway, ranges in SUBNETS:
            _subnet(pve, admin, network, gateway, ranges, zone="simple1", vnet="vnet0")
        for address, guest in GUESTS:
            put_address(Caller(admin, pve, zone="simple1"), netaddr.IPAddress(address), guest)
        active = Status.objects.get(name="Active")
        IPAddress(address="10.0.0.20/24", namespace=pve, status=active, dns_name="printer.example.com").validated_save()
        IPAddressRange(
            name="Reserve of the network team", start_address="10.0.0.240", end_address="10.0.0.250", namespace=pve,
            status=active, role=Role.objects.get(name="Reserved"), is_exclusive=True,
        ).validated_save()  # fmt: skip

        lab = Namespace.objects.create(name="lab", description="Guests of the Proxmox VE lab cluster")
        ranges = (("10.0.0.10", "10.0.0.29"),)
        _subnet(lab, admin, "10.0.0.0/24", "10.0.0.1", ranges, zone="labzone", vnet="labnet", cluster="pve-lab")
        caller = Caller(admin, lab, "pve-lab", "labzone")
        for number in range(17):
            guest = Guest(f"BC:24:11:1A:B0:{number:02X}", 200 + number, f"ci-runner{number + 1}")
            put_address(caller, netaddr.IPAddress("10.0.0.10") + number, guest)


def _subnet(namespace, user, network, gateway, ranges, *, zone, vnet, cluster=None):
    """A subnet with its gateway registered, as PVE does it: in two steps."""
    facts = SubnetFacts(
        zone=zone,
        vnet=vnet,
        cluster=cluster,
        gateway=netaddr.IPAddress(gateway),
        dhcp_ranges=[tuple(int(netaddr.IPAddress(end)) for end in bounds) for bounds in ranges],
        snat=cluster is None,
    )
    put_subnet(namespace, netaddr.IPNetwork(network), facts, user=user)
    router = Guest(hostname=f"{vnet}-gw", is_gateway=True)
    put_address(Caller(user, namespace, cluster, zone), netaddr.IPAddress(gateway), router)
