"""`python -m benchmarks [--quick | --trial | --profile] [--output FILE]`.

The whole run writes benchmarks/results.json and its tables into the READMEs; the others write nothing unless told
where. Exit status 1: one of the App's requests failed, or two got the same address.
"""

import argparse
import json
import os
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks import measures, methods, pve_calls, report
from benchmarks.fill import Filler
from benchmarks.load import Clients, Server, clients
from benchmarks.plans import FULL, QUICK, TRIAL, Plan
from development.databases import scratch_database
from development.management import run_python
from development.servers import postgresql, redis_server
from development.web import nautobot_web

RESULTS = Path(__file__).with_name("results.json")
WORKERS = 4

_started = time.monotonic()


def main() -> int:
    arguments = parse_arguments()
    with ExitStack() as stack:
        postgresql_url = stack.enter_context(postgresql())
        # One Redis for both web servers, as any Nautobot of several servers has it.
        os.environ["REDIS_URL"] = stack.enter_context(redis_server())
        database_url = stack.enter_context(scratch_database(postgresql_url, "bench"))
        if arguments.profile:
            environment = stack.enter_context(nautobot_web(database_url, WORKERS)).environment
            print(run_python(environment, "from benchmarks import profiling; profiling.main()"))
            return 0
        connection = stack.enter_context(closing(psycopg2.connect(database_url)))
        connection.autocommit = True
        pool = stack.enter_context(clients())
        results = {"machine": report.machine(), "versions": report.versions(connection, os.environ["REDIS_URL"])}
        results |= measure(arguments.plan, database_url, connection, pool)
    results["minutes"] = round((time.monotonic() - _started) / 60, 1)
    print(f"\n{report.table(results)}")
    output = arguments.output or (RESULTS if arguments.plan is FULL else None)
    if output:
        output.write_text(json.dumps(results, indent=2) + "\n")
        print(f"Written to {output}.")
    if output == RESULTS and arguments.plan is FULL:
        report.publish(results)
    return 1 if any(report.failures_and_duplicates(results)) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Nautobot core and the App, side by side.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="plan", action="store_const", const=QUICK, help="less of all: 5 minutes, not 30")
    size.add_argument("--trial", dest="plan", action="store_const", const=TRIAL, help="only try the benchmark itself")
    size.add_argument("--profile", action="store_true", help="where the time of one request goes, instead")
    parser.add_argument("--output", type=Path, help="write the results to this file")
    parser.set_defaults(plan=FULL)
    return parser.parse_args()


def measure(
    plan: Plan, database_url: str, connection: "psycopg2.extensions.connection", pool: Clients
) -> dict[str, Any]:
    """All figures of results.json but machine and versions."""
    with (
        nautobot_web(database_url, WORKERS) as web,
        nautobot_web(database_url, WORKERS, settings={"serve_available_ips": True}) as taking_over,
    ):
        token = run_python(web.environment, "from development import seed; print(seed.superuser())").strip()
        server = Server(web.url, token, taking_over.url)
        say("where the time goes")
        code = f"from benchmarks import profiling; profiling.print_stages({plan.repetitions // 2})"
        results: dict[str, Any] = {"stages": json.loads(run_python(web.environment, code).splitlines()[-1])}
        say("a whole cluster")
        changes = max(1, plan.guests // 200)
        code = f"from benchmarks import syncs; syncs.print_figures({plan.guests}, {plan.subnets}, {changes})"
        results["sync"] = json.loads(run_python(web.environment, code).splitlines()[-1])
        say("filling prefixes")
        filler = Filler(server, connection)
        warm = [filler.dense("warm-up", 16, 1), filler.pve("warm-up-pve", 16, 1)]
        fills = measures.fill_cases(filler, plan)
        shapes = measures.shape_cases(filler, plan)
        pve = measures.pve_case(filler, plan)
        bulk = filler.dense("bulk", 16, 1_000)
        few, many = (filler.pve(f"{name}-calls", 16, 0) for name in ("few", "many"))
        filler.crowd(many, plan.subnets, plan.allocations)
        contests = [
            measures.contest(filler, "8", 8),
            measures.contest(filler, "32", 32),
            measures.contest(filler, "32_ranges", 32, ranges=32),
        ]
        both = measures.contest(filler, "two_servers", 32)
        filler.settle()
        say("warming up")
        measures.warm_up(pool, [server], warm, plan)

        say("temporary pools")
        pools = {case.name: methods.temporary_pools(server, case.subnet, fill.used) for fill, case in fills}
        say("one request at a time")
        alone = measures.one_after_the_other(server, [*(case for _, case in fills), *shapes, pve])
        say("hooks and facade")
        results["pve_calls"] = pve_calls.measure(server, few, many, plan.repetitions // 3)
        say("lists")
        results["bulk_256"] = measures.bulk(server, bulk, plan)
        say("preview")
        fill, most_used = fills[-1]
        shown, cheapest_ms, cheapest = measures.preview(server, most_used.subnet, plan.repetitions)
        results |= {f"preview_{fill.used}_ms": shown, "preview_ms": shown}
        results |= {"cheapest_api_ms": cheapest_ms, "cheapest_api": cheapest}
        results["parallel"] = {}
        for contest in contests:
            say(f"in parallel: {contest.name}")
            results["parallel"][contest.name] = measures.many_at_once(pool, [server], contest, plan)
        with nautobot_web(database_url, WORKERS) as second:
            servers = [server, Server(second.url, token, taking_over.url)]
            measures.warm_up(pool, servers, warm, plan)
            say("in parallel: two web servers")
            results["two_servers"] = measures.many_at_once(pool, servers, both, plan)

    results["fills"] = {name: figures(alone[name]) | pools_figures(used) for name, used in pools.items()}
    results["pve_guest"] = {"ours_ms": alone["pve"]["ours_mac"], "plain_create_ms": alone["pve"]["plain"]}
    results["shapes"] = {case.name: figures(alone[case.name]) for case in shapes}
    return results


def figures(by_method: dict[str, float]) -> dict[str, float]:
    """Medians under the names of results.json."""
    return {("plain_create_ms" if method == "plain" else f"{method}_ms"): ms for method, ms in by_method.items()}


def pools_figures(pools: methods.TemporaryPools) -> dict[str, Any]:
    return {
        "temp_pool_ms": round(pools.ms, 1),
        "temp_pool_calls": pools.calls,
        "temp_pool_extrapolated": pools.extrapolated,
    }


def say(what: str) -> None:
    """Progress, for whoever waits half an hour."""
    print(f"{time.monotonic() - _started:6.0f} s  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
