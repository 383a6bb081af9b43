"""The results as one table, each figure beside what it is compared with and the target of the design."""

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
FLAT_MAX = 1.2
CORE_AT_100000_MIN = 50
BULK_MAX = 0.25
THROUGHPUT_MIN = 1.4
P99_MAX = 3
PREVIEW_MAX = 2

PACKAGES = ("nautobot", "nautobot-pve-ipam", "Django", "djangorestframework", "pyuwsgi")
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


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """The comparisons, in the order of the table."""
    empty = results["fills"]["0"]["ours_ms"]
    for used, figures in results["fills"].items():
        yield from _single(f"{int(used):,} used", figures, empty)
        if used == "100000" and figures.get("core_ms"):
            speed = figures["core_ms"] / figures["ours_ms"]
            yield Row(f"{int(used):,} used, times faster", "core available-ips, ms", figures["core_ms"],
                      figures["ours_ms"], speed, at_least=CORE_AT_100000_MIN)  # fmt: skip
    for shape, figures in results["shapes"].items():
        yield from _single(shape, figures, empty)
    bulk = results["bulk_256"]
    plain, ours = bulk["plain_create_ms"], bulk["ours_ms"]
    yield _less("256 addresses in one call", "256 plain creates, ms", plain, ours, BULK_MAX)
    for clients, figures in results["parallel"].items():
        name = f"{clients} clients" if clients.isdigit() else "32 clients on 32 ranges"
        yield from _parallel(name, figures)
    yield from _parallel("32 clients, two web servers", results["two_servers"])
    yield _less("preview, most used", f"{results['cheapest_api']}, ms", results["cheapest_api_ms"],
                results["preview_ms"], PREVIEW_MAX)  # fmt: skip


def _single(what: str, figures: dict[str, Any], empty: float) -> Iterator[Row]:
    plain, ours = figures["plain_create_ms"], figures["ours_ms"]
    yield _less(what, "plain create, ms", plain, ours, PLAIN_MAX)
    yield _less(f"{what}, for a guest", "plain create, ms", plain, figures["ours_mac_ms"], PLAIN_MAX)
    if figures.get("core_ms"):
        yield _less(what, "core available-ips, ms", figures["core_ms"], ours)
    if figures.get("temp_pool_ms"):
        how = "*" if figures["temp_pool_extrapolated"] else ""
        yield _less(what, f"temporary pools{how}, ms", figures["temp_pool_ms"], ours)
        yield _less(what, f"temporary pools{how}, calls", figures["temp_pool_calls"], 1)
    yield _less(what, "ours at 0 used, ms", empty, ours, FLAT_MAX)
    yield _less(f"{what}, first request", "ours at 0 used, ms", empty, figures["ours_first_ms"])


def _parallel(what: str, figures: dict[str, dict[str, Any]]) -> Iterator[Row]:
    ours, plain, core = figures["ours"], figures["plain"], figures["core"]
    rate, guests = plain["per_second"], figures["ours_mac"]
    yield _more(what, "plain creates per second", rate, ours["per_second"], THROUGHPUT_MIN)
    yield _more(f"{what}, for guests", "plain creates per second", rate, guests["per_second"], THROUGHPUT_MIN)
    yield _more(what, "core available-ips per second", core["per_second"], ours["per_second"])
    failed = _percent_failed(ours)
    yield Row(what, "core available-ips, % failed", _percent_failed(core), failed, failed, at_most=0)
    yield _less(f"{what}, p99", "p50 of the same, ms", ours["p50_ms"], ours["p99_ms"], P99_MAX)


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
    ours = [figures[method] for figures in parallel for method in ("ours", "ours_mac")]
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
        redis_version = client.info("server")["redis_version"]
    return {
        "python": platform.python_version(),
        "postgresql": postgresql,
        "redis": redis_version,
        **{package.lower(): importlib.metadata.version(package) for package in PACKAGES},
    }
