"""What Nautobot has, as a plan has to know it; what a plan consists of; and in which steps it is done.

Pure: no Django. The records are those of what Nautobot has as well as of what it is to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import groupby
from typing import NamedTuple

from nautobot_pve_ipam.subject import Subject
from nautobot_pve_ipam.sync.snapshot import Cached, IPAddress, Network, Problem, Range

#: Addresses that one step writes at most: it is one transaction.
STEP_SIZE = 256


class Kind(str, Enum):
    """What a change does, or what a difference is about."""

    ZONE = "zone"
    VNET = "vnet"
    SUBNET = "subnet"
    RANGES = "range"
    ADDRESS = "address"
    ALLOCATION = "allocation"
    MOVED = "moved"
    STALE = "stale"
    GONE = "gone"
    CONFLICT = "conflict"
    CACHE = "cache"


class Settlement(str, Enum):
    """What a person may do about a difference, besides ignoring it or mending its cause."""

    TAKE_PVE = "take-pve"
    TAKE_NAUTOBOT = "take-nautobot"
    ADOPT = "adopt"
    RELEASE = "release"


@dataclass(frozen=True)
class KnownZone:
    """`gone_since`, here and below: when a sync of its cluster first had evidence that PVE no longer has it, without
    having seen it since; the later of that snapshot's `taken` and of its arrival.
    """

    cluster: str | None
    name: str
    type: str
    dhcp: str = ""
    gone_since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class KnownVNet:
    cluster: str | None
    zone: str
    name: str
    alias: str = ""
    tag: int | None = None
    gone_since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class KnownSubnet:
    """`ranges` in ascending order. `adopted`: PVE did not make its prefix."""

    cluster: str | None
    zone: str
    vnet: str
    network: Network
    gateway: IPAddress | None = None
    snat: bool = False
    dns_zone_prefix: str = ""
    ranges: tuple[Range, ...] = ()
    adopted: bool = False
    gone_since: datetime | None = field(default=None, compare=False)
    is_visible: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        if not self.is_visible:
            return "a subnet of somebody else"
        return f"{self.network} of vnet {self.vnet}" + (f" of cluster {self.cluster}" if self.cluster else "")


@dataclass(frozen=True)
class KnownAddress:
    """A core IP address, with its allocation if `allocated`, whose subnet is `network` if it has one.

    `adopted`: PVE did not make it. `last_seen`: when PVE last asked for it or confirmed it.
    """

    ip: IPAddress
    allocated: bool = True
    cluster: str | None = None
    zone: str = ""
    vnet: str = ""
    network: Network | None = None
    mac: str = ""
    vmid: int | None = None
    hostname: str = ""
    is_gateway: bool = False
    adopted: bool = False
    last_seen: datetime | None = field(default=None, compare=False)
    gone_since: datetime | None = field(default=None, compare=False)
    is_visible: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        """Who has it."""
        if not self.is_visible:
            return "somebody else"
        if not self.allocated:
            return "something that PVE did not make"
        parts = (
            "a gateway" if self.is_gateway else f"guest {self.vmid}" if self.vmid else "a guest",
            f"({self.hostname})" if self.hostname and not self.is_gateway else "",
            f"with MAC {self.mac}" if self.mac else "",
            f"of cluster {self.cluster}" if self.cluster else "",
        )
        return " ".join(filter(None, parts))


Fact = KnownZone | KnownVNet | KnownSubnet | KnownAddress | Cached


@dataclass(frozen=True)
class Known:
    """What Nautobot has in one namespace, as one cluster's sync has to know it.

    `zones` and `vnets` of the cluster; `subnets` of all clusters; of `addresses`, all with an allocation of the cluster
    and, whoever has them, all that the snapshot mentions (`Snapshot.addresses`). `prefixes`: which of the snapshot's
    networks are prefixes. `released`: MACs and the addresses that were released in Nautobot since PVE last asked.
    """

    namespace: str
    cluster: str | None
    zones: Iterable[KnownZone] = ()
    vnets: Iterable[KnownVNet] = ()
    subnets: Iterable[KnownSubnet] = ()
    addresses: Iterable[KnownAddress] = ()
    prefixes: frozenset[Network] = frozenset()
    released: frozenset[tuple[str, IPAddress]] = frozenset()


@dataclass(frozen=True)
class Options:
    """`now`: when the snapshot arrived. `zones`: take part although their IPAM entry does not name the namespace.

    `adopt`: take over prefixes and addresses that PVE did not make. `prune`: release what has been gone for `grace`.
    """

    now: datetime
    zones: frozenset[str] = frozenset()
    adopt: bool = False
    prune: bool = False
    grace: timedelta = timedelta(hours=24)


def subject_of(address: KnownAddress) -> Subject:
    """An address as the subject of a change."""
    return Subject("", "", str(address.network or ""), address.vmid or 0, address.mac, str(address.ip))


@dataclass(frozen=True)
class Change:
    """`before`: what Nautobot (for CACHE: PVE's cache) has. `after`: what it should have; what PVE says in a conflict.

    `evidence` is a sentence. `is_due`: a sync does it; otherwise it is a difference, which `settlements` may settle.
    """

    kind: Kind
    subject: Subject
    before: Fact | None
    after: Fact | None
    evidence: str
    is_due: bool = True
    settlements: tuple[Settlement, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All changes in the order in which they are to be done, and what PVE says wrong."""

    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]

    @property
    def to_do(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.is_due)

    @property
    def differences(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if not change.is_due)


class Step(NamedTuple):
    """Changes to be done together or not at all: of one zone and its vnets, or of one subnet and its addresses."""

    zone: str
    network: Network | None
    changes: tuple[Change, ...]


def steps(changes: Iterable[Change], size: int = STEP_SIZE) -> Iterator[Step]:
    """The changes of a plan that are due, in their order, as steps of at most `size` addresses each."""
    for (_, zone, network), group in groupby((one for one in changes if one.is_due), key=_step_of):
        together: list[Change] = []
        addresses = 0
        for change in group:
            is_address = isinstance(change.after or change.before, KnownAddress)
            if is_address and addresses == size:
                yield Step(zone, network, tuple(together))
                together, addresses = [], 0
            together.append(change)
            addresses += is_address
        yield Step(zone, network, tuple(together))


def _phase(change: Change) -> int:
    """Addresses and subnets that go come first, to make room; then zones with their vnets; then subnets with their
    addresses; then vnets and zones that are empty by now; and then what is left to people.
    """
    if not change.is_due:
        return 6
    if change.kind is Kind.GONE:
        return {KnownAddress: 0, KnownSubnet: 1, KnownVNet: 4, KnownZone: 5}[type(change.before)]
    return 2 if change.kind in (Kind.ZONE, Kind.VNET) else 3


def _place(change: Change) -> tuple[str, str, Network | None]:
    """The zone, the vnet and the network that it is done in."""
    fact = change.after or change.before
    if isinstance(fact, (KnownSubnet, KnownAddress)):
        return fact.zone, fact.vnet, fact.network
    return change.subject.zone, change.subject.vnet, None


def _step_of(change: Change) -> tuple[int, str, Network | None]:
    zone, _, network = _place(change)
    return _phase(change), zone, network


def order(change: Change) -> tuple[object, ...]:
    """The key by which changes are sorted."""
    fact, (zone, vnet, network) = change.after or change.before, _place(change)
    ip = fact.ip if isinstance(fact, KnownAddress) else None
    return (
        _phase(change),
        zone,
        vnet,
        (network.version, network) if network else (0,),
        (ip.version, ip) if ip else (0,),
        list(Kind).index(change.kind),
        change.subject,
    )
