"""The only writer of addresses: lock, look, create, retry, release.

No lock is global and no request waits for another: each takes the first candidate address that nobody else holds
locked, looks again under that lock, and creates it. The database's unique (parent, host) judges last, for writers
that do not know our locks.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, prefetch_related_objects
from django.utils import timezone
from nautobot.extras.models import Status
from nautobot.ipam.choices import IPAddressTypeChoices
from nautobot.ipam.models import IPAddress
from nautobot.ipam.validators import DNSValidator

from nautobot_pve_ipam import metrics, occupancy
from nautobot_pve_ipam.change_log import expect_entry, logged_together
from nautobot_pve_ipam.errors import Conflict, InvalidRequest, KeyReused, Missing, NoFreeAddress
from nautobot_pve_ipam.locks import locked_transaction
from nautobot_pve_ipam.models import Allocation, IdempotencyKey, PVECluster, SDNSubnet
from nautobot_pve_ipam.rights import require

DEFAULT_STATUS = "Active"
#: How many neighbours of a free address are offered as candidates beside those needed: clients at work side by side.
SPARE_CANDIDATES = 31
KEY_LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class Guest:
    """What PVE knows of who holds an address. `mac` as it is stored, `BC:24:11:00:00:01`; `vmid` 100 to 999999999."""

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
    with locked_transaction() as locks, logged_together() if len(wanted) > 1 else nullcontext():
        if key:
            locks.wait("idempotency-key", user.pk, key)
            if replayed := _replayed(user, key, request_digest):
                return replayed
        for mac in sorted(macs):
            locks.wait("mac", search.prefix.pk, mac)
        held_where = replace(search, bounds=()) if mac_anywhere else search
        held = {mac: held for mac in macs if (held := _held_by_mac(held_where, mac, scope))}
        missing = [item for item in wanted if item.guest.mac not in held]
        made = iter(_create_free(search, missing, locks, _Maker(search.prefix, scope)) if missing else ())
        result = [
            _confirm(held[item.guest.mac], item.guest) if item.guest.mac in held else next(made) for item in wanted
        ]
        require(user, "add", *(item.address for item in result))
        if key:
            _remember(user, key, request_digest, result)
    for item in result:
        item.address._prefetched_objects_cache = {}  # from now on anything may hang on it
    return result


def take(prefix, host: int, wanted: Wanted, *, user, scope) -> Held:
    """Create the one address `host` of `prefix` and hold it for the guest.

    Raises Forbidden as `allocate` does, IntegrityError or ValidationError where the address is there already or
    Nautobot refuses it.
    """
    with transaction.atomic():
        maker = _Maker(prefix, scope)
        maker.look_around(host, host)
        held = maker.make(host, wanted)
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
    if not occupancy.is_known_mac(mac):  # a new guest, as nearly always: ask no more
        return None
    first, last = occupancy.span(search.prefix)
    version = search.prefix.ip_version
    inside = Q()
    for start, end in search.bounds or ((first, last),):
        inside |= Q(
            ip_address__host__gte=occupancy.to_text(start, version),
            ip_address__host__lte=occupancy.to_text(end, version),
        )
    found = (
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
    )
    for allocation in found:
        address = allocation.ip_address
        host = occupancy.to_int(address.host)
        # What lies in a child network is held in another subnet.
        if address.parent_id == search.prefix.pk or any(occupancy.regions(search.prefix, host, host)):
            return allocation
    return None


def _confirm(allocation, guest) -> Held:
    update(allocation, guest)
    return Held(allocation.ip_address, allocation, created=False)


def _create_free(search, wanted, locks, maker) -> list[Held]:
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
            if locked:
                maker.look_around(locked[0], locked[-1])
            for host in locked:
                if held := maker.try_make(host, todo[0]):
                    made.append(held)
                    todo.pop(0)
            # With enough locks taken, the neighbours behind the last one were not even tried.
            at = (locked if len(locked) == count else candidates)[-1] + 1
        if not todo:
            return made
    wished = f"{len(wanted)} wanted, {len(made)} free" if len(wanted) > 1 else "none is left"
    if search.offset:
        wished += f" after offset {search.offset}"
    metrics.requests_exhausted.inc()
    raise NoFreeAddress(f"No free address in {search} in namespace {search.prefix.namespace.name}: {wished}")


class _Maker:
    """Makes the addresses of one request in one prefix; what they have in common is read once."""

    def __init__(self, prefix, scope):
        self._prefix = prefix
        self._scope = scope
        self._dhcp = []
        self._is_parent = False

    def look_around(self, first, last):
        """Read what the free addresses of `first`..`last` that are made next have in common."""
        around = occupancy.prefixes_around(self._prefix, first)
        if not around:
            raise Missing(f"prefix {self._prefix} was deleted a moment ago")
        self._dhcp = occupancy.dhcp_intervals([id_ for id_, *_ in around], self._prefix.ip_version, first, last)
        _, length, has_vrfs = max(around, key=lambda row: row[1])
        self._is_parent = length == self._prefix.prefix_length
        if self._is_parent:  # the change log tells them with each address
            if has_vrfs:
                prefetch_related_objects([self._prefix], "vrfs")
            else:
                _expect_nothing_on(self._prefix, "vrfs")

    def try_make(self, host, wanted) -> Held | None:
        """Make the address, or None where it was taken between our look and our lock, or by who knows no locks.

        Core's clean() looks again, under the lock; what even that misses, the database refuses.
        """
        try:
            with transaction.atomic():
                return self.make(host, wanted)
        except (IntegrityError, ValidationError):
            # Anything but a collision is the caller's to hear.
            if occupancy.is_closed(self._prefix, host):
                return None
            raise

    def make(self, host, wanted) -> Held:
        guest, attributes = wanted.guest, dict(wanted.attributes)
        tags = attributes.pop("tags", None)
        attributes["status"] = attributes.get("status") or self._default_status
        if not attributes.get("type"):
            by_dhcp = not guest.is_gateway and any(first <= host <= last for first, last in self._dhcp)
            attributes["type"] = IPAddressTypeChoices.TYPE_DHCP if by_dhcp else IPAddressTypeChoices.TYPE_HOST
        if not attributes.get("dns_name"):
            attributes["dns_name"] = dns_name_of(guest.hostname)
        address = IPAddress(
            address=f"{occupancy.to_text(host, self._prefix.ip_version)}/{self._prefix.prefix_length}",
            namespace=self._prefix.namespace,
            **attributes,
        )
        if self._is_parent:
            # What clean() would look up for each address anew, reading all prefixes that begin before it. (Where core
            # keeps it elsewhere, it just looks it up.)
            address._closest_parent_cache = {(self._prefix.namespace_id, address.host): self._prefix}
        _expect_nothing_on(address, "interfaces", "nat_outside_list", "vm_interfaces", *(() if tags else ("tags",)))
        expect_entry(address)
        address.save()  # cleans by itself; validated_save() would clean twice
        transaction.on_commit(metrics.addresses_allocated.inc)
        if tags:
            address.tags.set(tags)
        allocation = self._allocation(address, guest) if guest or self._scope.subnet else None
        return Held(address, allocation, created=True)

    def _allocation(self, address, guest):
        allocation = Allocation(
            ip_address=address,
            subnet=self._scope.subnet,
            mac=guest.mac or "",
            vmid=guest.vmid,
            hostname=guest.hostname,
            is_gateway=guest.is_gateway,
            last_seen=timezone.now(),
        )
        # The address is new and the subnet was just read: asking the database whether they are there is idle.
        allocation.full_clean(exclude=("ip_address", "subnet"), validate_unique=False, validate_constraints=False)
        _expect_nothing_on(allocation, "tags")
        expect_entry(allocation)
        allocation.save()
        return allocation

    @cached_property
    def _default_status(self):
        return Status.objects.get(name=DEFAULT_STATUS)


def _expect_nothing_on(thing, *relations):
    """Tell Django what the change log would else ask the database for: nothing hangs there (yet)."""
    thing._prefetched_objects_cache = {relation: _nothing(thing, relation) for relation in relations}


def _nothing(thing, relation):
    queryset = thing._meta.get_field(relation).related_model.objects.none()
    queryset._result_cache = []  # as prefetching does: even of nothing Django would make the SQL first
    return queryset


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
