"""The only writer of addresses: lock, look, create, retry, release.

No lock is global and no request waits for another: each takes the first candidate address that nobody else holds
locked, looks again under that lock, and creates it. The database's unique (parent, host) judges last, for writers
that do not know our locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from nautobot.dcim.models import Interface
from nautobot.extras.models import Status, Tag
from nautobot.ipam.choices import IPAddressTypeChoices
from nautobot.ipam.models import IPAddress, IPAddressRange
from nautobot.ipam.validators import DNSValidator
from nautobot.virtualization.models import VMInterface

from nautobot_pve_ipam import occupancy
from nautobot_pve_ipam.errors import Conflict, InvalidRequest, KeyReused, NoFreeAddress
from nautobot_pve_ipam.locks import locked_transaction
from nautobot_pve_ipam.models import Allocation, IdempotencyKey, PVECluster, SDNSubnet
from nautobot_pve_ipam.rights import require

DEFAULT_STATUS = "Active"
#: How many neighbours of a free address are offered as candidates beside those needed: clients at work side by side.
SPARE_CANDIDATES = 31
KEY_LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class Guest:
    """What PVE knows of who holds an address. `mac` in any spelling netaddr's EUI takes; `vmid` 100 to 999999999."""

    mac: str | None = None
    vmid: int | None = None
    hostname: str = ""
    is_gateway: bool = False

    def __bool__(self):
        return bool(self.mac or self.vmid or self.hostname or self.is_gateway)


@dataclass(frozen=True)
class Wanted:
    """One address asked for: for whom, and the core IPAddress's own fields (`tags` among them)."""

    guest: Guest = Guest()
    attributes: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """On whose behalf a PVE hook acts: its cluster (None: the namespace has one PVE only) and its subnet's record."""

    cluster: PVECluster | None = None
    subnet: SDNSubnet | None = None

    def allocations(self):
        """The allocations that this caller may call its own."""
        if self.subnet is not None:
            return Allocation.objects.filter(Q(subnet=self.subnet) | Q(subnet=None))
        if self.cluster is not None:
            return Allocation.objects.filter(subnet__vnet__zone__cluster=self.cluster)
        return Allocation.objects.filter(Q(subnet=None) | Q(subnet__vnet__zone__cluster=None))


@dataclass(frozen=True)
class Held:
    """An address that is now held, with its allocation where it has one; `created` unless it was held already."""

    address: IPAddress
    allocation: Allocation | None
    created: bool


def allocate(
    search, wanted: Sequence[Wanted], *, user, scope=None, key=None, request_digest="", mac_anywhere=False
) -> list[Held]:
    """Take the next free addresses of `search`, one for each of `wanted`, all or none.

    A MAC that holds an address of the prefix already (inside the bounds, if the search names any and unless
    `mac_anywhere`) gets that one back. `key` is the caller's Idempotency-Key: the same key and digest within a day
    get the same addresses.

    Raises NoFreeAddress, Forbidden when `user` may not add such an address, KeyReused, InvalidRequest, and Django's
    ValidationError where Nautobot refuses a value. After any of them nothing is written.
    """
    scope = scope or Scope()
    macs = [item.guest.mac for item in wanted if item.guest.mac]
    if len(macs) != len(set(macs)):
        twice = next(mac for mac in macs if macs.count(mac) > 1)
        raise InvalidRequest(f"mac {twice} stands twice in the list", field="mac")
    with locked_transaction() as locks:
        if key:
            locks.wait("idempotency-key", user.pk, key)
            if replayed := _replayed(user, key, request_digest):
                return replayed
        for mac in sorted(macs):
            locks.wait("mac", search.prefix.pk, mac)
        held_where = replace(search, bounds=()) if mac_anywhere else search
        held = {mac: held for mac in macs if (held := _held_by_mac(held_where, mac, scope))}
        missing = [item for item in wanted if item.guest.mac not in held]
        made = iter(_create_free(search, missing, locks, scope) if missing else ())
        result = [
            _confirm(held[item.guest.mac], item.guest) if item.guest.mac in held else next(made) for item in wanted
        ]
        require(user, "add", *(item.address for item in result))
        if key:
            _remember(user, key, request_digest, result)
        return result


def take(prefix, host: int, wanted: Wanted, *, user, scope) -> Held:
    """Create the one address `host` of `prefix` and hold it for the guest.

    Raises Forbidden as `allocate` does, IntegrityError or ValidationError where the address is there already or
    Nautobot refuses it.
    """
    with transaction.atomic():
        held = _create(prefix, host, wanted, scope)
        require(user, "add", held.address)
        return held


def update(allocation: Allocation, guest: Guest) -> Allocation:
    """Bring hostname, MAC and vmid of an allocation up to date; what the guest leaves empty stays as it is.

    The address's DNS name follows the hostname unless somebody gave it another one.
    """
    address, changed = allocation.ip_address, False
    if guest.hostname and guest.hostname != allocation.hostname:
        if address.dns_name == dns_name_of(allocation.hostname):
            address.dns_name = dns_name_of(guest.hostname)
            address.validated_save()
        allocation.hostname, changed = guest.hostname, True
    if guest.vmid and guest.vmid != allocation.vmid:
        allocation.vmid, changed = guest.vmid, True
    if guest.mac and guest.mac != str(allocation.mac or ""):
        allocation.mac, changed = guest.mac, True
    if changed:
        allocation.last_seen = timezone.now()
        allocation.validated_save()
    else:
        # Seen again: worth knowing, not worth a line in the change log.
        Allocation.objects.filter(pk=allocation.pk).update(last_seen=timezone.now())
    return allocation


def release(address: IPAddress) -> None:
    """Delete an address; its allocation goes with it. Raises Conflict where something else still needs it."""
    try:
        address.delete()
    except (IntegrityError, ValidationError) as error:
        raise Conflict(f"address {address} could not be released: {error}") from error


def dns_name_of(hostname: str) -> str:
    """The DNS name that a hostname makes, or an empty string where it is no valid one."""
    try:
        DNSValidator(hostname)
    except ValidationError:
        return ""
    return hostname.lower()


def _held_by_mac(search, mac, scope):
    first, last = occupancy.span(search.prefix)
    version = search.prefix.ip_version
    inside = Q()
    for start, end in search.bounds or ((first, last),):
        inside |= Q(
            ip_address__host__gte=occupancy.to_text(start, version),
            ip_address__host__lte=occupancy.to_text(end, version),
        )
    return (
        scope.allocations()
        .filter(
            inside,
            mac=mac,
            is_gateway=False,
            ip_address__ip_version=version,
            ip_address__parent__namespace_id=search.prefix.namespace_id,
        )
        .select_related("ip_address__status", "ip_address__parent__namespace", "subnet__vnet__zone__cluster")
        .order_by("ip_address__host")
        .first()
    )


def _confirm(allocation, guest) -> Held:
    update(allocation, guest)
    return Held(allocation.ip_address, allocation, created=False)


def _create_free(search, wanted, locks, scope) -> list[Held]:
    """Create an address for each of `wanted` from the lowest free ones that no other request is about to take."""
    todo, made = list(wanted), []
    namespace = search.prefix.namespace_id
    for low, high in search.free():
        at = low
        while todo and at <= high:
            count = len(todo)
            candidates = list(range(at, min(high, at + count + SPARE_CANDIDATES - 1) + 1))
            names = [("address", namespace, host) for host in candidates]
            locked = [candidates[index] for index in locks.first_free(names, count)]
            for host in locked:
                if held := _try_create(search.prefix, host, todo[0], scope):
                    made.append(held)
                    todo.pop(0)
            # With enough locks taken, the neighbours behind the last one were not even tried.
            at = (locked if len(locked) == count else candidates)[-1] + 1
        if not todo:
            return made
    wished = f"{len(wanted)} wanted, {len(made)} free" if len(wanted) > 1 else "none is left"
    if search.offset:
        wished += f" after offset {search.offset}"
    raise NoFreeAddress(f"No free address in {search} in namespace {search.prefix.namespace.name}: {wished}")


def _try_create(prefix, host, wanted, scope):
    """Create the address, or None where it was taken between our look and our lock, or by who knows no locks.

    Core's clean() looks again, under the lock; what even that misses, the database refuses.
    """
    try:
        with transaction.atomic():
            return _create(prefix, host, wanted, scope)
    except (IntegrityError, ValidationError):
        # Anything but a collision is the caller's to hear.
        if occupancy.present(prefix, [host]) or _in_exclusive_range(prefix, host):
            return None
        raise


def _create(prefix, host, wanted, scope) -> Held:
    guest, attributes = wanted.guest, dict(wanted.attributes)
    tags = attributes.pop("tags", None)
    if attributes.get("status") is None:
        attributes["status"] = Status.objects.get(name=DEFAULT_STATUS)
    if not attributes.get("type"):
        attributes["type"] = (
            IPAddressTypeChoices.TYPE_DHCP
            if not guest.is_gateway and occupancy.in_dhcp_range(prefix, host)
            else IPAddressTypeChoices.TYPE_HOST
        )
    if not attributes.get("dns_name"):
        attributes["dns_name"] = dns_name_of(guest.hostname)
    address = IPAddress(
        address=f"{occupancy.to_text(host, prefix.ip_version)}/{prefix.prefix_length}",
        namespace=prefix.namespace,
        **attributes,
    )
    _expect_no_relations(address)
    address.save()  # cleans by itself; validated_save() would clean twice
    address._prefetched_objects_cache = {}
    if tags:
        address.tags.set(tags)
    allocation = None
    if guest or scope.subnet:
        allocation = Allocation(
            ip_address=address,
            subnet=scope.subnet,
            mac=guest.mac or "",
            vmid=guest.vmid,
            hostname=guest.hostname,
            is_gateway=guest.is_gateway,
            last_seen=timezone.now(),
        )
        allocation.validated_save()
    return Held(address, allocation, created=True)


def _expect_no_relations(address):
    """Tell Django what the change log would else ask the database for: nothing hangs on a new address yet."""
    address._prefetched_objects_cache = {
        "interfaces": Interface.objects.none(),
        "nat_outside_list": IPAddress.objects.none(),
        "tags": Tag.objects.none(),
        "vm_interfaces": VMInterface.objects.none(),
    }


def _in_exclusive_range(prefix, host):
    address = occupancy.to_text(host, prefix.ip_version)
    return IPAddressRange.objects.filter(
        parent__namespace_id=prefix.namespace_id,
        ip_version=prefix.ip_version,
        is_exclusive=True,
        start_host__lte=address,
        end_host__gte=address,
    ).exists()


def _replayed(user, key, request_digest):
    """What this user's `key` got before; None where it is new, a day old, or its addresses are gone."""
    IdempotencyKey.objects.filter(user=user, created__lt=timezone.now() - KEY_LIFETIME).delete()
    seen = IdempotencyKey.objects.filter(user=user, key=key).first()
    if seen is None:
        return None
    if seen.request_digest != request_digest:
        raise KeyReused(f"Idempotency-Key {key} was used for another request", field="Idempotency-Key")
    addresses = (
        IPAddress.objects.select_related("status", "parent__namespace", "pve_allocation__subnet__vnet__zone__cluster")
    ).in_bulk(seen.ip_address_ids)
    if len(addresses) != len(seen.ip_address_ids):
        seen.delete()
        return None
    found = [next(a for pk, a in addresses.items() if str(pk) == id_) for id_ in seen.ip_address_ids]
    return [Held(address, getattr(address, "pve_allocation", None), created=False) for address in found]


def _remember(user, key, request_digest, result):
    IdempotencyKey.objects.create(
        user=user,
        key=key,
        request_digest=request_digest,
        ip_address_ids=[str(held.address.pk) for held in result],
    )
