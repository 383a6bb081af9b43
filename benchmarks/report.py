"""The results as tables: each figure beside what it is compared with and the target of the design, for people to read.

`publish` puts them into the two READMEs, so that no figure there is older than results.json.
"""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import redis

PLAIN_MAX = 0.65
GUEST_MAX = 0.5
FIRST_MAX = 2
FLAT_MAX = 1.2
CORE_AT_100000_MIN = 50
BULK_MAX = 0.25
THROUGHPUT_MIN = 1.4
P99_MAX = 3
PREVIEW_MAX = 2
SERVED_MAX = 0.9
SERVED_THROUGHPUT_MIN = 1.2
#: A guest in netbox-proxbox, by its issue 582.
PROXBOX_MS = 8000
SYNC_MS = 20
SYNC_AGAIN_S = 60
SYNC_CHANGES_S = 90
SYNC_MB = 400

PACKAGES = ("nautobot", "nautobot-pve-ipam", "Django", "djangorestframework", "pyuwsgi")
REPOSITORY = Path(__file__).resolve().parent.parent
COLUMNS = "{:<40} {:<30} {:>9} {:>8} {:>8}  {:<8} {}"


@dataclass(frozen=True)
class Row:
    """`ours` against `other`, the ratio of the two, and what it should be at most or at least."""

    what: str
    against: str
    other: float
    ours: float
    ratio: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def verdict(self) -> str:
        if not self.target:
            return ""
        low = self.at_least if self.at_least is not None else float("-inf")
        high = self.at_most if self.at_most is not None else float("inf")
        return "yes" if low <= self.ratio <= high else "NO"

    def __str__(self) -> str:
        figures = (_shown(self.other), _shown(self.ours), f"{self.ratio:.3g}", self.target, self.verdict)
        return COLUMNS.format(self.what, self.against, *figures).rstrip()


def table(results: dict[str, Any]) -> str:
    """All figures of the results, one comparison a line; `*` marks a time extrapolated from some of the pools."""
    lines = [COLUMNS.format("what", "compared with", "other", "ours", "ratio", "target", "reached")]
    lines.append("-" * len(lines[0]))
    lines += map(str, rows(results))
    failures, duplicates = failures_and_duplicates(results)
    lines.append(f"\nOurs under parallel clients: {failures} failed, {duplicates} duplicates (target: 0 and 0).")
    return "\n".join(lines)


def stages_table(stages: dict[str, dict[str, float]]) -> str:
    """Where the time goes, as Markdown: a column for each kind of request, a line for each stage, in ms."""
    lines = [f"| ms | {' | '.join(stages)} |", "| --- |" + " ---: |" * len(stages)]
    for stage in next(iter(stages.values())):
        figures = (f"{medians[stage]:.1f}" if medians[stage] else "" for medians in stages.values())
        lines.append(f"| {stage} | {' | '.join(figures)} |")
    sums = (f"**{sum(medians.values()):.1f}**" for medians in stages.values())
    lines.append(f"| **all** | {' | '.join(sums)} |")
    return "\n".join(lines)


def summary(results: dict[str, Any]) -> str:
    """The table of the README, as Markdown."""
    columns = (
        "",
        "core `available-ips`",
        "temporary pools (old PVE patch)",
        "core creating a known address",
        "this App",
    )
    lines = [f"| {' | '.join(columns)} |".replace("|  |", "| |"), "| " + " | ".join(["---"] * len(columns)) + " |"]

    def line(what: str, *cells: str) -> None:
        *others, ours = cells
        lines.append(f"| {' | '.join((what, *others, f'**{ours}**'))} |".replace("|  ", "| "))

    for used, figures in results["fills"].items():
        core = _time(figures["core_ms"]) if figures.get("core_ms") else ""
        pools = "about " if figures["temp_pool_extrapolated"] else ""
        pools += f"{_time(figures['temp_pool_ms'])}, {figures['temp_pool_calls']:,} calls"
        plain, ours = _time(figures["plain_create_ms"]), _time(figures["ours_ms"])
        line(f"one address, {int(used):,} used before it", core, pools, plain, ours)
    guest = results["pve_guest"]
    line("one address for a PVE guest", "", "", _time(guest["plain_create_ms"]), _time(guest["ours_ms"]))
    bulk = results["bulk_256"]
    line("256 addresses in one call", "", "", _time(bulk["plain_create_ms"]), _time(bulk["ours_ms"]))
    for clients, figures in _parallel_figures(results):
        rates = (f"{figures[name]['per_second']:.0f}/s, {_percent_failed(figures[name]):.0f} % failed"
                 for name in ("core", "plain", "ours"))  # fmt: skip
        core, plain, ours = rates
        line(clients, core, "", plain, ours)
    failures, duplicates = failures_and_duplicates(results)
    versions = results["versions"]
    lines.append(
        f"\nMedians of one run on {results['machine']['cores']} shared cores; Nautobot {versions['nautobot']}, "
        f"PostgreSQL {versions['postgresql']}. In parallel, {failures} requests of the App failed and {duplicates} "
        "addresses were allocated twice."
    )
    return "\n".join(lines)


def publish(results: dict[str, Any]) -> None:
    """Write the tables into README.md and benchmarks/README.md, between their marks."""
    _replace(REPOSITORY / "README.md", "figures", summary(results))
    readme = REPOSITORY / "benchmarks" / "README.md"
    _replace(readme, "figures", f"```text\n{table(results)}\n```")
    _replace(readme, "stages", stages_table(results["stages"]))


def _replace(path: Path, name: str, text: str) -> None:
    before, begin, rest = path.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    path.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """The comparisons, in the order of the table."""
    empty = results["fills"]["0"]
    for used, figures in results["fills"].items():
        yield from _single(f"{int(used):,} used", figures, empty)
        if used == "100000" and figures.get("core_ms"):
            speed = figures["core_ms"] / figures["ours_ms"]
            yield Row(f"{int(used):,} used, times faster", "core available-ips, ms", figures["core_ms"],
                      figures["ours_ms"], speed, at_least=CORE_AT_100000_MIN)  # fmt: skip
    for shape, figures in results["shapes"].items():
        yield from _single(shape, figures, empty)
    guest = results["pve_guest"]
    yield _less("a guest in a PVE subnet", "plain create, ms", guest["plain_create_ms"], guest["ours_ms"], GUEST_MAX)
    for name, figures in results.get("pve_calls", {}).items():
        yield _less(name, "plain create, ms", figures["plain_create_ms"], figures["few_ms"])
        yield _less(f"{name}, crowded", "in a small namespace, ms", figures["few_ms"], figures["many_ms"], FLAT_MAX)
    if sync := results.get("sync"):
        what, limit = f"sync of {sync['guests']:,} guests", "the limit"
        yield _less(f"{what}, each", "netbox-proxbox as published, ms", PROXBOX_MS, sync["ms_a_guest"])
        yield _less(f"{what}, each", f"{limit}, ms", SYNC_MS, sync["ms_a_guest"], 1)
        yield _less(f"{what}, nothing to do", f"{limit}, s", SYNC_AGAIN_S, sync["again_s"], 1)
        yield _less(f"{what}, {sync['changes']} changes", f"{limit}, s", SYNC_CHANGES_S, sync["changes_s"], 1)
        yield _less(f"{what}, memory", f"{limit}, MB", SYNC_MB, sync["mb"], 1)
    bulk = results["bulk_256"]
    plain, ours = bulk["plain_create_ms"], bulk["ours_ms"]
    yield _less("256 addresses in one call", "256 plain creates, ms", plain, ours, BULK_MAX)
    for clients, figures in _parallel_figures(results):
        yield from _parallel(clients, figures)
    yield _less("preview, most used", f"{results['cheapest_api']}, ms", results["cheapest_api_ms"],
                results["preview_ms"], PREVIEW_MAX)  # fmt: skip


def _single(what: str, figures: dict[str, Any], empty: dict[str, Any]) -> Iterator[Row]:
    plain, ours = figures["plain_create_ms"], figures["ours_ms"]
    yield _less(what, "plain create, ms", plain, ours, PLAIN_MAX)
    yield _less(f"{what}, for a guest", "plain create, ms", plain, figures["ours_mac_ms"], GUEST_MAX)
    if figures.get("core_ms"):
        yield _less(what, "core available-ips, ms", figures["core_ms"], ours)
    if figures.get("temp_pool_ms"):
        how = "*" if figures["temp_pool_extrapolated"] else ""
        yield _less(what, f"temporary pools{how}, ms", figures["temp_pool_ms"], ours)
        yield _less(what, f"temporary pools{how}, calls", figures["temp_pool_calls"], 1)
    yield _less(what, "ours at 0 used, ms", empty["ours_ms"], ours, FLAT_MAX)
    yield _less(f"{what}, first request", "ours, ms", ours, figures["ours_first_ms"], FIRST_MAX)
    if served := figures.get("served_ms"):
        yield _less(f"{what}, core's URL", "plain create, ms", plain, served, SERVED_MAX)
        yield _less(f"{what}, core's URL", "the same at 0 used, ms", empty["served_ms"], served, FLAT_MAX)
        if figures.get("core_ms"):
            yield _less(f"{what}, core's URL", "the setting off, ms", figures["core_ms"], served)


def _parallel_figures(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that ran in parallel, each with the name it has in the tables."""
    for clients, figures in results["parallel"].items():
        yield f"{clients} clients" if clients.isdigit() else "32 clients on 32 ranges", figures
    yield "32 clients, two web servers", results["two_servers"]


def _parallel(what: str, figures: dict[str, dict[str, Any]]) -> Iterator[Row]:
    ours, plain, core = figures["ours"], figures["plain"], figures["core"]
    rate, guests = plain["per_second"], figures["ours_mac"]
    yield _more(what, "plain creates per second", rate, ours["per_second"], THROUGHPUT_MIN)
    yield _more(f"{what}, for guests", "plain creates per second", rate, guests["per_second"], THROUGHPUT_MIN)
    yield _more(what, "core available-ips per second", core["per_second"], ours["per_second"])
    failed = _percent_failed(ours)
    yield Row(what, "core available-ips, % failed", _percent_failed(core), failed, failed, at_most=0)
    if served := figures.get("served"):
        name, failed = f"{what}, core's URL", _percent_failed(served)
        yield _more(name, "plain creates per second", rate, served["per_second"], SERVED_THROUGHPUT_MIN)
        yield Row(name, "the setting off, % failed", _percent_failed(core), failed, failed, at_most=0)
    yield _less(f"{what}, p99", "p50 of the same, ms", ours["p50_ms"], ours["p99_ms"], P99_MAX)


def _time(ms: float) -> str:
    return f"{ms / 1000:,.0f} s" if ms >= 10_000 else f"{ms:,.0f} ms"


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 or figure == int(figure) else f"{figure:.1f}"


def _less(what: str, against: str, other: float, ours: float, at_most: float | None = None) -> Row:
    return Row(what, against, other, ours, ours / other, at_most=at_most)


def _more(what: str, against: str, other: float, ours: float, at_least: float | None = None) -> Row:
    return Row(what, against, other, ours, ours / other if other else float("inf"), at_least=at_least)


def _percent_failed(figures: dict[str, Any]) -> float:
    return 100 * figures["failed"] / (figures["failed"] + figures["created"])


def failures_and_duplicates(results: dict[str, Any]) -> tuple[int, int]:
    """Of the App's own, over all that ran in parallel."""
    parallel = [*results["parallel"].values(), results["two_servers"]]
    methods = ("ours", "ours_mac", "served")
    ours = [figures[method] for figures in parallel for method in methods if method in figures]
    return sum(figures["failed"] for figures in ours), sum(figures["duplicates"] for figures in ours)


def machine() -> dict[str, Any]:
    """What it ran on, and how busy that was before."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def versions(connection: "psycopg2.extensions.connection", redis_url: str) -> dict[str, str]:
    """Of all that took part."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgresql = cursor.fetchone()[0]
    with redis.Redis.from_url(redis_url) as client:
        server = client.info("server")
    name = server.get(
        "server_name", "redis"
    )  # Valkey reports its own name, and the version of the Redis that it stands for
    return {
        "python": platform.python_version(),
        "postgresql": postgresql,
        name: server[f"{name}_version"],
        **{package.lower(): importlib.metadata.version(package) for package in PACKAGES},
    }
