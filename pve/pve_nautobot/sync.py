"""The verb sync: has Nautobot compare what this PVE cluster says, or do what is to do, and shows the answer."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import errors, snapshot
from .answers import Change, Job, JobReport, SyncReport, one_line
from .client import Client
from .errors import ConfigurationError
from .repair import repair
from .terminal import Output, Progress, bar, say


def run(client: Client, args: argparse.Namespace) -> Output:
    warn_of_full_files()
    document = read()
    cluster, options = cluster_of(args, document), {"adopt": args.adopt, "prune": args.prune}
    done = compare(client, document, cluster, apply=args.apply, zones=args.zone, **options)
    raw, repaired = done.raw, set[str]()
    if args.repair_cache:
        repaired, raw["repaired"] = _repair_cache(done.report.differences)
    left = tuple(one for one in done.report.differences if not (one.cached and one.cached[0].mac in repaired))
    return Output(show(done, left), raw, 1 if done.failed else 8 if done.to_do or left else 0)


@dataclass(frozen=True)
class Compared:
    """What a sync has answered. `to_do`: what is still to do. `failed`: what could not be done. `raw`: for --json."""

    report: SyncReport
    job: JobReport | None
    to_do: tuple[Change, ...]
    failed: tuple[tuple[Change, str], ...]
    raw: dict[str, Any]


def warn_of_full_files() -> None:
    for warning in snapshot.almost_full(snapshot.PVE):
        say(f"warning: {warning}")


def read() -> snapshot.Element:
    """What this cluster says."""
    with Progress() as progress:
        return snapshot.read(
            snapshot.PVE,
            snapshot.run_pvesh,
            progress=lambda done, total: progress.show(f"reading guests {bar(done, total)}", done == total),
        )


def cluster_of(args: argparse.Namespace, document: snapshot.Element) -> str | None:
    """Whose word it is: as named, else the cluster's name in PVE; None if it has none."""
    named: str | None = getattr(args, "cluster", os.environ.get("PVE_NAUTOBOT_CLUSTER"))
    if named is None and "cluster" not in document:
        why = next(entry["why"] for entry in document["unread"] if entry["what"] == "cluster")
        raise ConfigurationError(f"the cluster's name could not be read ({why}): set --cluster, '' if it has none")
    return (snapshot.cluster_name(document) if named is None else named) or None


def compare(
    client: Client,
    document: snapshot.Element,
    cluster: str | None,
    *,
    apply: bool,
    zones: Iterable[str] = (),
    adopt: bool = False,
    prune: bool = False,
) -> Compared:
    """Have Nautobot compare the document or, to `apply`, do what is to do; waits for a Job, and says what is wrong."""
    zones, job = list(zones), None
    answer = client.sync(document, cluster=cluster, dry_run=not apply, zones=zones, adopt=adopt, prune=prune)
    if isinstance(answer, Job):
        say(f"{answer.detail}: {answer.url}")
        job = _wait(client, answer)
        answer = client.sync(document, cluster=cluster, zones=zones, adopt=adopt, prune=prune)  # what is left
        if isinstance(answer, Job):
            raise errors.ProtocolError("Nautobot answered a dry run with a Job: check the App's version")
    for problem in answer.problems:
        say(one_line(problem))
    failed = job.failed if job else answer.failed
    for change, why in failed:
        say(one_line(f"not done: {change.kind} {change.subject}: {why}"))
    raw = {**answer.raw, **_job_raw(job)}
    return Compared(answer, job, () if apply and not job else answer.to_do, failed, raw)


def show(done: Compared, differences: Sequence[Change]) -> str:
    """Tables of what was done, is to do and is left."""
    applied = f"done: {done.job.applied} changes, by a Job" if done.job else table("done", done.report.applied)
    parts = (applied, table("to do", done.to_do), table("differences", differences))
    return "\n\n".join(part for part in parts if part) or "nothing to do"


def _wait(client: Client, job: Job) -> JobReport:
    with Progress() as progress:
        return client.wait(job, progress=lambda waited: progress.show(f"waiting for the Job, {waited:.0f} s", True))


def _job_raw(job: JobReport | None) -> dict[str, Any]:
    return {"dry_run": False, "applied": job.applied, "failed": job.raw["failed"]} if job else {}


def _repair_cache(differences: Sequence[Change]) -> tuple[set[str], list[dict[str, str]]]:
    """The MACs whose entries of PVE's cache are as they should be now, and what was said of each entry."""
    entries = [change.cached for change in differences if change.cached]
    done = repair(entries) if entries else ()
    for one in done:
        say(one_line(f"PVE's MAC cache, {one.mac}: {one.why or 'repaired'}"))
    return {one.mac for one in done if not one.why}, [asdict(one) for one in done]


def table(title: str, changes: Sequence[Change]) -> str:
    """One line for each change, under the title; "" if there is none."""
    if not changes:
        return ""
    rows = [(one_line(one.kind), one_line(one.subject), _settled_by(one)) for one in changes]
    kinds, subjects = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"  {kind:<{kinds}}  {subject:<{subjects}}  {why}" for kind, subject, why in rows]
    return "\n".join([f"{title}: {len(rows)}", *lines])


def _settled_by(change: Change) -> str:
    evidence = one_line(change.evidence)
    return f"{evidence} [{one_line(', '.join(change.settlements))}]" if change.settlements else evidence
