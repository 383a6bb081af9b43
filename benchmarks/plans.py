"""How much is measured: the whole run, the quick one, and the one that only tries the scripts."""

from dataclasses import dataclass

LARGEST_FILL_WITH_CORE = 100_000


@dataclass(frozen=True)
class Fill:
    """So many addresses used from the start of a prefix; how often core's `available-ips` is timed there."""

    used: int
    prefix_length: int
    core_repetitions: int


@dataclass(frozen=True)
class Plan:
    """`used`, `children`, `ranges`: sizes of the shapes. `requests`: of all clients together, per round and method.

    `warm_up`: requests of each kind and client before anything is timed.
    `subnets`, `allocations`: of PVE, in a crowded namespace. `guests`: of a cluster that is synced, in as many subnets.
    """

    fills: tuple[Fill, ...]
    repetitions: int
    full_prefix_length: int
    used: int
    children: int
    ranges: int
    bulk_repetitions: int
    warm_up: int
    rounds: int
    requests: int
    subnets: int
    allocations: int
    guests: int


FULL = Plan(
    fills=(
        Fill(0, 22, 20), Fill(900, 22, 20), Fill(10_000, 16, 7), Fill(LARGEST_FILL_WITH_CORE, 15, 3),
        Fill(1_000_000, 12, 0),
    ),
    repetitions=60, full_prefix_length=15, used=100_000, children=5_000, ranges=2_000,
    bulk_repetitions=5, warm_up=4, rounds=3, requests=256, subnets=200, allocations=50_000, guests=20_000,
)  # fmt: skip

QUICK = Plan(
    fills=(Fill(0, 22, 5), Fill(900, 22, 5), Fill(10_000, 16, 2), Fill(LARGEST_FILL_WITH_CORE, 15, 1)),
    repetitions=15, full_prefix_length=18, used=10_000, children=500, ranges=200,
    bulk_repetitions=2, warm_up=4, rounds=1, requests=96, subnets=200, allocations=10_000, guests=2_000,
)  # fmt: skip

TRIAL = Plan(
    fills=(Fill(0, 22, 1), Fill(900, 22, 1)),
    repetitions=3, full_prefix_length=22, used=1_000, children=50, ranges=20,
    bulk_repetitions=1, warm_up=1, rounds=1, requests=32, subnets=20, allocations=500, guests=100,
)  # fmt: skip
