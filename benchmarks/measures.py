"""What is measured, and how: everything that is compared takes turns in one loop, so that noise affects all equally."""

import itertools
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from benchmarks import methods
from benchmarks.fill import IPV6_NETWORK, Filler, Subnet
from benchmarks.load import CREATED, Clients, Outcome, Request, Server, Timed
from benchmarks.methods import METHODS
from benchmarks.plans import Fill, Plan

BULK = 256
#: Plain creates timed for one list.
PLAIN_PER_BULK = 8
CONTEST_PREFIX_LENGTH = 16
CONTEST_USED = 1_000
WARM_UP_CLIENTS = 8
#: Nautobot's cheapest calls that refuse whoever has no token; the faster one is what counts.
CHEAP_CALLS = ("/api/", "/api/users/config/")


@dataclass(frozen=True)
class Case:
    """A subnet, and how often each method takes an address of it."""

    name: str
    subnet: Subnet
    repetitions: dict[str, int]


@dataclass(frozen=True)
class Contest:
    """So many clients at once on the ranges of each method: one for all clients, or several in turn."""

    name: str
    clients: int
    ranges: dict[str, list[Subnet]]


def fill_cases(filler: Filler, plan: Plan) -> list[tuple[Fill, Case]]:
    """The dense prefixes, named by how many addresses are used."""
    return [(fill, _fill_case(filler, plan, fill)) for fill in plan.fills]


def _fill_case(filler: Filler, plan: Plan, fill: Fill) -> Case:
    subnet = filler.dense(f"fill-{fill.used}", fill.prefix_length, fill.used)
    free = subnet.network.num_addresses - 2 - fill.used
    repetitions = min(plan.repetitions, free // (len(METHODS) + 1))
    return Case(str(fill.used), subnet, _without_core(repetitions) | {"core": fill.core_repetitions})


def shape_cases(filler: Filler, plan: Plan) -> list[Case]:
    """Prefixes that are hard to search."""
    length = plan.full_prefix_length
    subnets = {
        "hole_in_full": filler.hole_in_full("hole-in-full", length),
        "alternating": filler.alternating("alternating", length - 1, plan.used),
        "ipv6_64": filler.dense("ipv6-64", 64, plan.used, network=IPV6_NETWORK),
        "many_children": filler.many_children("many-children", length, plan.children, plan.ranges),
    }
    return [Case(name, subnet, _without_core(plan.repetitions)) for name, subnet in subnets.items()]


def pve_case(filler: Filler, plan: Plan) -> Case:
    """A subnet that PVE made, whose guests are identified by zone."""
    repetitions = _without_core(plan.repetitions)
    return Case("pve", filler.pve("pve", CONTEST_PREFIX_LENGTH, CONTEST_USED), repetitions)


def contest(filler: Filler, name: str, clients: int, ranges: int = 1) -> Contest:
    """A contest of `clients`, with a subnet for each method, divided into `ranges` (a power of 2)."""
    subnets = {
        method: filler.dense(f"{name}-{method}".replace("_", "-"), CONTEST_PREFIX_LENGTH, CONTEST_USED)
        for method in METHODS
    }
    return Contest(name, clients, {method: subnet.parts(ranges) for method, subnet in subnets.items()})


def _without_core(repetitions: int) -> dict[str, int]:
    return {"plain": repetitions, "served": repetitions, "ours": repetitions, "ours_mac": repetitions}


def warm_up(clients: Clients, servers: list[Server], subnets: list[Subnet], plan: Plan) -> None:
    """Let every worker load what it loads at its first request of each kind."""
    for subnet, method in itertools.product(subnets, METHODS.values()):
        requests = [[method(subnet) for _ in range(plan.warm_up)] for _ in range(WARM_UP_CLIENTS * len(servers))]
        clients.run(servers, requests)


def one_after_the_other(server: Server, cases: list[Case]) -> dict[str, dict[str, float]]:
    """Medians in ms by case and method; `ours_first`: the App's first request there, which no cursor helps."""
    times: dict[str, dict[str, list[float]]] = {case.name: defaultdict(list) for case in cases}
    for case in cases:
        times[case.name]["ours_first"].append(_take(server, case.subnet, "ours").ms)
    for turn in range(max(max(case.repetitions.values()) for case in cases)):
        for case in cases:
            for method, repetitions in case.repetitions.items():
                if turn < repetitions:
                    times[case.name][method].append(_take(server, case.subnet, method).ms)
    return {
        name: {method: _median(values) for method, values in by_method.items()} for name, by_method in times.items()
    }


def _take(server: Server, subnet: Subnet, method: str) -> Timed:
    timed = server.expect(CREATED, METHODS[method](subnet))
    if subnet.hole:
        server.expect(204, Request("DELETE", f"/api/ipam/ip-addresses/{timed.body['id']}/"))
    return timed


def many_at_once(clients: Clients, servers: list[Server], contest: Contest, plan: Plan) -> dict[str, dict[str, Any]]:
    """Created, failed, duplicates, rate and latencies by method; the methods take turns, round by round."""
    outcomes = {method: Outcome() for method in METHODS}
    each = max(1, plan.requests // contest.clients)
    for _ in range(plan.rounds):
        for method, outcome in outcomes.items():
            ranges = contest.ranges[method]
            requests = [
                [METHODS[method](ranges[number % len(ranges)]) for _ in range(each)]
                for number in range(contest.clients)
            ]
            outcome.add(clients.run(servers, requests))
    return {method: outcome.figures() for method, outcome in outcomes.items()}


def bulk(server: Server, subnet: Subnet, plan: Plan) -> dict[str, float]:
    """A list of addresses in one call, and the time of as many plain creates, as a multiple of their median."""
    plain_times, ours_times = [], []
    for _ in range(plan.bulk_repetitions):
        plain_times += [_take(server, subnet, "plain").ms for _ in range(PLAIN_PER_BULK)]
        answer = server.expect(CREATED, methods.ours_bulk(subnet, BULK))
        if len({item["address"] for item in answer.body}) != BULK:
            raise RuntimeError(f"{BULK} addresses asked for, {len(answer.body)} answered, or some twice")
        ours_times.append(answer.ms)
    return {"ours_ms": _median(ours_times), "plain_create_ms": round(BULK * statistics.median(plain_times), 2)}


def preview(server: Server, subnet: Subnet, repetitions: int) -> tuple[float, float, str]:
    """Medians in ms of the App's preview and of Nautobot's cheapest authenticated call, and which one that is."""
    requests = {"preview": methods.ours_preview(subnet), **{path: Request("GET", path) for path in CHEAP_CALLS}}
    times = defaultdict(list)
    for _ in range(repetitions):
        for name, request in requests.items():
            times[name].append(server.expect(200, request).ms)
    medians = {name: _median(values) for name, values in times.items()}
    cheapest = min(CHEAP_CALLS, key=medians.__getitem__)
    return medians["preview"], medians[cheapest], cheapest


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 2)
