"""What the demo's and the tests' databases hold beyond Nautobot's own records; runs inside Nautobot."""

import secrets

from django.contrib.auth import get_user_model
from nautobot.extras.models import Role, Status
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix
from nautobot.users.models import Token

SUBNETS = {
    "10.0.0.0/24": ("10.0.0.1", [("10.0.0.100", "10.0.0.149"), ("10.0.0.150", "10.0.0.199")]),
    "2001:db8:10::/64": (
        "2001:db8:10::1",
        [("2001:db8:10::100", "2001:db8:10::1ff"), ("2001:db8:10::200", "2001:db8:10::2ff")],
    ),
}
USED = {
    "10.0.0.100/24": "web1.example.com",
    "10.0.0.102/24": "db1.example.com",
    "2001:db8:10::100/64": "web1.example.com",
}


def superuser(password: str = "admin") -> str:
    """Make the superuser `admin` and return a new token of its."""
    user = get_user_model().objects.create_superuser("admin", "admin@example.com", password)
    key = secrets.token_hex(20)
    Token.objects.create(user=user, key=key)
    return key


def pve_network() -> None:
    """Namespace `pve` with the subnets of a simple zone: a gateway, two DHCP ranges, some addresses in use."""
    active = Status.objects.get(name="Active")
    dhcp = Role.objects.get(name="DHCP")
    namespace = Namespace.objects.create(name="pve", description="Guests of the Proxmox VE demo cluster")
    for network, (gateway, ranges) in SUBNETS.items():
        prefix = Prefix(prefix=network, namespace=namespace, status=active, description="Zone simple1, vnet0")
        prefix.validated_save()
        IPAddress(
            address=f"{gateway}/{prefix.prefix_length}", namespace=namespace, status=active, description="Gateway"
        ).validated_save()
        for start, end in ranges:
            IPAddressRange(
                start_address=start, end_address=end, namespace=namespace, status=active, role=dhcp
            ).validated_save()
    for address, name in USED.items():
        IPAddress(address=address, namespace=namespace, status=active, dns_name=name).validated_save()
