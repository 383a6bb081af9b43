"""The only code that writes addresses: lock, look, create, retry, release. May import search and models.

There is no global lock and no request waits for another: each locks the first candidate address that nobody else has
locked, checks it again under that lock, and creates it. The database's unique constraint on (parent, host) catches
writers that do not use our locks. Requests share a lock on the prefix: whoever changes what decides about its
addresses (see signals.py) waits for them, and they for whoever is doing so.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, QuerySet
from django.utils import timezone
from nautobot.ipam.choices import IPAddressTypeChoices, PrefixTypeChoices
from nautobot.ipam.models import IPAddress, Prefix
from prometheus_client import Counter

from nautobot_pve_ipam.core_internals import atomic, know_parent, log_cheaply, log_together, look_up_at_once
from nautobot_pve_ipam.errors import Conflict, InvalidRequest, Missing, NoFreeAddress, rejection
from nautobot_pve_ipam.models import Allocation, SDNSubnet
from nautobot_pve_ipam.permissions import is_visible, require
from nautobot_pve_ipam.search import occupancy, tables
from nautobot_pve_ipam.search.intervals import Interval, to_int, to_text
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services import guard, idempotency
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.defaults import Defaults, dhcp_role
from nautobot_pve_ipam.services.locks import LockName, Locks, locked_transaction
from nautobot_pve_ipam.services.names import known_name, remember_name

#: RFC 1123, with the underscores that core allows as well. Core's own validator would take `-web` and `web..x`.
DNS_LABEL = re.compile("(?!-)[0-9A-Za-z_-]{1,63}(?<!-)")
DNS_NAME_MAX_LENGTH = 253
#: Extra candidates offered after a free address, since concurrent clients may have locked the first ones.
SPARE_CANDIDATES = 31

#: Per-process counters; summed up if PROMETHEUS_MULTIPROC_DIR is set, as it should be behind uWSGI.
addresses_allocated = Counter("nautobot_pve_ipam_addresses_allocated", "IP addresses allocated")
requests_exhausted = Counter("nautobot_pve_ipam_requests_exhausted", "Requests refused because no address was free")


@dataclass(frozen=True)
class Guest:
    """What PVE knows about the holder of an address. `mac` is in stored form, `BC:24:11:00:00:01`."""

    mac: str | None = None
    vmid: int | None = None
    hostname: str = ""
    is_gateway: bool = False

    def __bool__(self) -> bool:
        return bool(self.mac or self.vmid or self.hostname or self.is_gateway)


@dataclass(frozen=True)
class Wanted:
    """A request for one address: for whom, and fields of the core IPAddress, `tags` and `custom_fields` included."""

    guest: Guest = Guest()
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Held:
    """An address that is now held, with its allocation if it has one; `created` unless it was held before."""

    address: IPAddress
    allocation: Allocation | None
    created: bool


#: Creates core's addresses: one for each pair of a free address and what is wanted, in the same order.
Write = Callable[[Sequence[tuple[int, Wanted]]], Sequence[IPAddress]]


def allocate(
    search: Search,
    wanted: Sequence[Wanted],
    *,
    caller: Caller,
    key: str | None = None,
    request_digest: str = "",
    by_hook: bool = False,
    write: Write | None = None,
) -> list[Held]:
    """Allocate the next free addresses of `search`, one for each of `wanted`, all or none.

    A MAC that already holds an address of the subnet gets that address back: wherever it lies for a PVE, which asks
    range after range, and within the bounds for a caller that names neither cluster nor zone. `key` is the caller's
    Idempotency-Key: the same key and digest within a day get the same addresses. Hooks find and release addresses by
    their allocations: `by_hook` makes one even if nothing is known of the guest.

    `write` creates the addresses in our stead, under our locks: Nautobot's serializer for example. If somebody who does
    not use our locks was faster, it has to fail with IntegrityError or Django's ValidationError, and is called again
    with other addresses. Then only who names a guest gets an allocation.

    Raises NoFreeAddress, Forbidden if the caller's user may not add such an address, or not view or change one that is
    held already, KeyReused, InvalidRequest, and Django's ValidationError if Nautobot rejects a value; and what `write`
    raises. If any of these is raised, nothing is written.
    """
    user = caller.user
    macs = [item.guest.mac for item in wanted if item.guest.mac]
    if len(macs) != len(set(macs)):
        twice = next(mac for mac in macs if macs.count(mac) > 1)
        raise InvalidRequest(f"mac {twice} appears twice in the list", field="mac")
    # The prefixes whose locks are needed, and their lengths as far as they are child networks.
    territories = {occupancy.territory_id(search.prefix): 0}
    while True:
        try:
            with locked_transaction() as locks, look_up_at_once(), log_together():
                if key:
                    locks.wait("idempotency-key", user.pk, key)
                    if given := idempotency.addresses_given(user, key, request_digest):
                        require(user, "view", *given)
                        return [
                            Held(address, getattr(address, "pve_allocation", None), created=False) for address in given
                        ]
                outermost_first = sorted(territories, key=lambda id_: (territories[id_], str(id_)))
                prefixes = (("prefix", id_) for id_ in outermost_first)
                locks.wait_all([*prefixes, *(("mac", search.prefix.pk, mac) for mac in macs)])
                allocations = {mac: found for mac in macs if (found := _allocation_of_mac(search, mac, caller))}
                missing = [
                    replace(item, guest=with_known_name(item.guest, caller))
                    for item in wanted
                    if item.guest.mac not in allocations
                ]
                if not missing:
                    new = []
                elif write:
                    new = _Finder(write, search.prefix, caller.subnet, territories).create(search, missing, locks)
                else:
                    maker = _Maker(search.prefix, caller.subnet, locks, by_hook=by_hook)
                    new = _create_free(search, missing, locks, maker)
                made = iter(new)
                result = [
                    confirm(allocations[item.guest.mac], item.guest, caller)
                    if item.guest.mac in allocations
                    else next(made)
                    for item in wanted
                ]
                require(user, "add", *(held.address for held in result if held.created))
                if key:
                    idempotency.remember(user, key, request_digest, [held.address for held in result])
                return result
        except _NotLockedError as other:
            territories[other.territory.id] = other.territory.length


def take(
    prefix: Prefix,
    wanted: Sequence[tuple[int, Wanted]],
    locks: Locks,
    *,
    caller: Caller,
    last_seen: datetime | None = None,
) -> list[Held]:
    """Create these addresses in `prefix`, which the caller shares or has for itself, and hold them for the guests.

    They are ascending, and have one parent. `last_seen`: when PVE said so, if that is not now. Raises Forbidden as
    `allocate` does, IntegrityError or ValidationError if an address already exists or Nautobot rejects it.
    """
    with atomic(), look_up_at_once(), log_together():
        maker = _Maker(prefix, caller.subnet, locks, by_hook=True, last_seen=last_seen)
        maker.look_around([host for host, _ in wanted])
        made = [maker.make(host, item) for host, item in wanted]
        require(caller.user, "add", *(held.address for held in made))
        return made


def confirm(allocation: Allocation, guest: Guest, caller: Caller) -> Held:
    """Return an address that is already held, after updating its allocation. One without a subnet gets the caller's.

    Raises Forbidden if the caller's user may not view the address, or not change it and that is necessary.
    """
    require(caller.user, "view", allocation.ip_address)
    if allocation.subnet is None and caller.subnet is not None:
        allocation.subnet = caller.subnet
        allocation.validated_save()
        require(caller.user, "change", allocation.ip_address)
    update(allocation, guest, user=caller.user)
    return Held(allocation.ip_address, allocation, created=False)


def update(
    allocation: Allocation,
    guest: Guest,
    *,
    user: Any,
    subnet: SDNSubnet | None = None,
    last_seen: datetime | None = None,
) -> Allocation:
    """Update hostname, MAC and vmid of an allocation; fields that the guest leaves empty are kept.

    `subnet`: which it is of from now on, if not the same. `last_seen`: when PVE said so, if that is not now. The
    address's DNS name follows the hostname unless it was set to something else. Raises Forbidden.
    """
    address, changed = allocation.ip_address, False
    if guest.hostname and guest.hostname != allocation.hostname:
        if address.dns_name == dns_name_of(allocation.hostname):
            _rename(address, dns_name_of(guest.hostname))
        allocation.hostname, changed = guest.hostname, True
    if guest.vmid and guest.vmid != allocation.vmid:
        allocation.vmid, changed = guest.vmid, True
    if guest.mac and guest.mac != str(allocation.mac or ""):
        allocation.mac, changed = guest.mac, True
    if subnet is not None and subnet.pk != allocation.subnet_id:
        allocation.subnet, changed = subnet, True
    if changed:
        allocation.last_seen = last_seen or timezone.now()
        allocation.validated_save()
        require(user, "change", address)
    else:
        # Merely seen again: update() leaves no entry in the change log.
        Allocation.objects.filter(pk=allocation.pk).update(last_seen=last_seen or timezone.now())
    return allocation


def _rename(address: IPAddress, dns_name: str) -> None:
    """Change the DNS name, unless Nautobot would not accept the address even as it is, whose guest keeps it anyway: an
    exclusive range was made over it, or core has left it on a wrong parent.
    """
    before, address.dns_name = address.dns_name, dns_name
    try:
        address.validated_save()
    except ValidationError:
        address.dns_name = before
        try:
            address.full_clean()
        except ValidationError:
            return
        raise


def release(allocation: Allocation, *, user: Any) -> None:
    """Delete an allocation and its address. An adopted address is kept, and a gateway shared by two clusters passes to
    the other one. Raises Forbidden, and Conflict if something else still needs the address.
    """
    address, subnet = allocation.ip_address, allocation.subnet
    require(user, "delete", address)
    remember_name(allocation)
    if allocation.is_gateway and subnet is not None:
        sharers = SDNSubnet.objects.filter(prefix=subnet.prefix_id, gateway=address.host)
        if heir := sharers.exclude(pk=subnet.pk).first():
            allocation.subnet = heir
            allocation.validated_save()
            return
    if allocation.adopted:
        delete(allocation, "allocation", user=user)
    else:
        delete(address, "address", user=user)


def delete(thing: Any, what: str, *, user: Any) -> None:
    """Delete an object, as `user` may. Raises Conflict with a sentence if something still needs it or forbids that."""
    named = f"{what} {thing}"
    try:
        thing.delete()
    except ProtectedError as error:
        raise Conflict(f"{named} is still in use by {_protectors(error, user)}") from error
    except IntegrityError as error:
        raise Conflict(f"{named} was just put to use by somebody else") from error
    except ValidationError as error:
        raise Conflict(f"{named} cannot be deleted: {rejection(error)}") from error


def _protectors(error: ProtectedError, user: Any) -> str:
    """What protects an object from being deleted, as far as `user` may see it; there may be very many."""
    found = error.protected_objects
    some = found[:4] if isinstance(found, QuerySet) else sorted(found, key=str)[:4]
    names = [f"{one._meta.verbose_name} {one}" for one in some[:3] if is_visible(user, one)]
    return ", ".join(names) + (" and others" if names and len(some) > len(names) else "") or "something else"


def with_known_name(guest: Guest, caller: Caller) -> Guest:
    """The same guest, with the name that is known of its MAC if its PVE tells none."""
    if guest.hostname or guest.is_gateway or not guest.mac or caller.subnet is None:
        return guest
    return replace(guest, hostname=known_name(caller, guest.mac))


def new_allocation(address: IPAddress, guest: Guest, subnet: SDNSubnet | None, **fields: Any) -> Allocation:
    """The allocation of an address for a guest or gateway, not yet saved."""
    return Allocation(
        ip_address=address,
        subnet=subnet,
        mac=guest.mac or "",
        vmid=guest.vmid,
        hostname=guest.hostname,
        is_gateway=guest.is_gateway,
        **fields,
    )


def dns_name_of(hostname: str) -> str:
    """The DNS name for a hostname, or an empty string if it is not a valid DNS name."""
    is_valid = len(hostname) <= DNS_NAME_MAX_LENGTH and all(map(DNS_LABEL.fullmatch, hostname.split(".")))
    return hostname.lower() if is_valid else ""


def _allocation_of_mac(search: Search, mac: str, caller: Caller) -> Allocation | None:
    """The caller's allocation for a guest's MAC that it is given back."""
    if not tables.is_known_mac(mac):  # the usual case, a new guest: skip the expensive query
        return None
    found = caller.allocations_in(search.prefix, mac=mac, is_gateway=False)
    if search.bounds and not (caller.cluster or caller.zone):
        hosts = {allocation.pk: to_int(allocation.ip_address.host) for allocation in found}
        found = [one for one in found if any(start <= hosts[one.pk] <= end for start, end in search.bounds)]
    return found[0] if found else None


Made_co = TypeVar("Made_co", covariant=True)


class _Taker(Protocol[Made_co]):
    """What becomes of a free address whose lock is held."""

    def look_around(self, hosts: Sequence[int]) -> set[int]:
        """Look again under the locks: which of them are taken after all? They are ascending, and have one parent."""

    def try_make(self, host: int, wanted: Wanted) -> Made_co | None:
        """Take it; None if that is not possible after all."""


def _create_free(search: Search, wanted: list[Wanted], locks: Locks, taker: _Taker[Made_co]) -> list[Made_co]:
    """Take an address for each of `wanted`, the lowest free ones that no other request is about to take."""
    made, skipped = _create_unlocked(search, wanted, locks, taker)
    if len(made) < len(wanted) and skipped:
        # A long list may have kept us from more addresses than it takes: look again when it is done.
        rest = wanted[len(made) :]
        locks.wait_at_gates(skipped, len(rest))
        made += _create_unlocked(search, rest, locks, taker)[0]
    if len(made) == len(wanted):
        return made
    wished = f"{len(wanted)} wanted, {len(made)} free" if len(wanted) > 1 else "none left"
    if search.offset:
        wished += f" after offset {search.offset}"
    requests_exhausted.inc()
    sentence = f"No free address in {search} in namespace {search.prefix.namespace.name}: {wished}"
    raise NoFreeAddress(sentence, free=len(made))


def _create_unlocked(
    search: Search, wanted: list[Wanted], locks: Locks, taker: _Taker[Made_co]
) -> tuple[list[Made_co], list[LockName]]:
    """Addresses for the first of `wanted`, and the names of locks that others held."""
    todo, made = list(wanted), []
    skipped: list[LockName] = []
    namespace = search.prefix.namespace_id
    for low, high in search.free():
        at = low
        while todo and at <= high:
            count = len(todo)
            candidates = list(range(at, min(high, at + count + SPARE_CANDIDATES - 1) + 1))
            names = [("address", namespace, host) for host in candidates]
            found = locks.first_free(names, count)
            # With enough locks taken, the candidates after the last one were not even tried.
            tried = found[-1] + 1 if len(found) == count else len(candidates)
            skipped += [names[index] for index in sorted(set(range(tried)) - set(found))]
            locked = [candidates[index] for index in found]
            in_use = taker.look_around(locked) if locked else set()
            for host in locked:
                if host not in in_use and (taken := taker.try_make(host, todo[0])) is not None:
                    made.append(taken)
                    todo.pop(0)
            at = candidates[tried - 1] + 1
        if not todo:
            break
    return made, skipped


class _NotLockedError(Exception):
    """A free address is in a child network whose lock is not held. All have to be taken together, so begin anew."""

    def __init__(self, territory: tables.AroundRow) -> None:
        super().__init__(territory)
        self.territory = territory


class _Finder:
    """Finds addresses for `write` to create, in `territories`, whose locks are held."""

    def __init__(
        self, write: Write, prefix: Prefix, subnet: SDNSubnet | None, territories: Collection[tables.DatabaseID]
    ) -> None:
        self._write = write
        self._prefix = prefix
        self._subnet = subnet
        self._territories = territories
        #: What the search may still find: addresses that turned out not to be free, and those that it has found.
        self._lost: set[int] = set()
        self._found: set[int] = set()

    def create(self, search: Search, wanted: list[Wanted], locks: Locks) -> list[Held]:
        """Create an address for each of `wanted`, and allocations for those that name a guest."""
        while True:
            self._found.clear()
            found = list(zip(_create_free(search, wanted, locks, self), wanted, strict=True))
            try:
                return self._create(found)
            except (IntegrityError, ValidationError):
                # Only a collision is ours to handle.
                if not (lost := tables.closed(self._prefix, [host for host, _item in found])):
                    raise
                self._lost |= lost

    def _create(self, found: list[tuple[int, Wanted]]) -> list[Held]:
        made = []
        with atomic(), log_together(), guard.chosen({host for host, _item in found}):
            for address, (_host, item) in zip(self._write(found), found, strict=True):
                log_cheaply(address)
                transaction.on_commit(addresses_allocated.inc)
                allocation = _save_allocation(address, item.guest, self._subnet) if item.guest else None
                made.append(Held(address, allocation, created=True))
        return made

    def look_around(self, hosts: Sequence[int]) -> set[int]:
        """Raises Missing and Conflict as `_check_unchanged` does, _NotLockedError."""
        around, in_use = tables.around_and_in_use(self._prefix, hosts)
        _check_unchanged(self._prefix, around)
        networks = [row for row in around if row.type != PrefixTypeChoices.TYPE_POOL]
        home = max(networks, key=_length) if networks else min(around, key=_length)
        if home.id not in self._territories:
            raise _NotLockedError(home)
        return in_use | self._lost | self._found

    def try_make(self, host: int, wanted: Wanted) -> int:
        self._found.add(host)
        return host


def _length(row: tables.AroundRow) -> int:
    return row.length


def _check_unchanged(prefix: Prefix, around: list[tables.AroundRow]) -> None:
    """Raise Missing or Conflict if the prefix was deleted, moved, resized or got another type before it was locked.

    `around`: the prefixes around one of its addresses, as they are now.
    """
    found = next((row for row in around if row.id == tables.database_id(prefix.pk)), None)
    if found is None and not Prefix.objects.filter(pk=prefix.pk).exists():
        raise Missing(f"prefix {prefix} was just deleted")
    if found is None or (found.length, found.type) != (prefix.prefix_length, prefix.type):
        raise Conflict(f"prefix {prefix} was just changed: try again")


class _Maker:
    """Creates the addresses of one request in one prefix; what they have in common is read once."""

    def __init__(
        self,
        prefix: Prefix,
        subnet: SDNSubnet | None,
        locks: Locks,
        *,
        by_hook: bool,
        last_seen: datetime | None = None,
    ) -> None:
        self._prefix = prefix
        self._subnet = subnet
        self._locks = locks
        self._by_hook = by_hook
        self._last_seen = last_seen
        self._defaults = Defaults(IPAddress)
        self._dhcp_role = dhcp_role()
        self._dhcp: list[Interval] = []
        self._is_parent = False

    def look_around(self, hosts: Sequence[int]) -> set[int]:
        """Look again under the locks: read what the addresses about to be created have in common, and return those that
        exist already, on whatever parent Nautobot has left them. `hosts` is ascending.

        Raises Missing and Conflict as `_check_unchanged` does.
        """
        prefix, own_id = self._prefix, tables.database_id(self._prefix.pk)
        around, in_use = tables.around_and_in_use(prefix, hosts)
        _check_unchanged(prefix, around)
        closest = max(around, key=_length)
        if closest.type != PrefixTypeChoices.TYPE_POOL and closest.id != own_id:
            # Only a caller that names the address gets here: it is in a child network, which nobody has locked.
            self._locks.wait("prefix", closest.id)
            around, in_use = tables.around_and_in_use(prefix, hosts)
        if self._dhcp_role:
            parents = [row.id for row in around]
            self._dhcp = occupancy.dhcp_intervals(parents, prefix.ip_version, hosts[0], hosts[-1], self._dhcp_role)
        self._is_parent = closest.id == own_id
        return in_use

    def try_make(self, host: int, wanted: Wanted) -> Held | None:
        """Create the address; None if it was taken between our look and our lock, or by a writer that does not lock.

        Core's clean() checks again under the lock, and the database rejects whatever that misses.
        """
        try:
            with atomic():
                return self.make(host, wanted)
        except (IntegrityError, ValidationError):
            # Only a collision is ours to handle.
            if tables.closed(self._prefix, [host]):
                return None
            raise

    def make(self, host: int, wanted: Wanted) -> Held:
        guest, attributes = wanted.guest, self._defaults.complete(wanted.attributes)
        tags, custom_fields = attributes.pop("tags"), attributes.pop("custom_fields")
        if not attributes.get("type"):
            by_dhcp = not guest.is_gateway and any(first <= host <= last for first, last in self._dhcp)
            attributes["type"] = IPAddressTypeChoices.TYPE_DHCP if by_dhcp else IPAddressTypeChoices.TYPE_HOST
        if not attributes.get("dns_name"):
            attributes["dns_name"] = dns_name_of(guest.hostname)
        address = IPAddress(
            address=f"{to_text(host, self._prefix.ip_version)}/{self._prefix.prefix_length}",
            namespace=self._prefix.namespace,
            **attributes,
        )
        address.cf.update(custom_fields)
        if self._is_parent:
            know_parent(address, self._prefix)
        log_cheaply(address)
        with guard.chosen((host,)):
            address.save()  # it calls clean() itself; validated_save() would do so twice
        transaction.on_commit(addresses_allocated.inc)
        if tags:
            address.tags.set(tags)
        is_wanted = guest or self._subnet or self._by_hook
        allocation = _save_allocation(address, guest, self._subnet, self._last_seen) if is_wanted else None
        return Held(address, allocation, created=True)


def _save_allocation(
    address: IPAddress, guest: Guest, subnet: SDNSubnet | None, last_seen: datetime | None = None
) -> Allocation:
    """The allocation of a new address."""
    allocation = new_allocation(address, guest, subnet, last_seen=last_seen or timezone.now())
    if not (guest or subnet):
        # It says only that we handed out the address, and that is in the address's own entry in the change log.
        Allocation.objects.bulk_create([allocation])
        return allocation
    # The address is new and the subnet was just read: no need to query whether they exist.
    allocation.full_clean(exclude=("ip_address", "subnet"), validate_unique=False, validate_constraints=False)
    log_cheaply(allocation)
    allocation.save()
    return allocation
