"""Kills and stops processes of every kind while jobs are accepted, and counts what that has cost.

`python -m benchmarks.chaos`: 10,000 jobs over HTTP, 200 kills. With `--store postgres`, `--engine
kafka` their servers are started, and killed as well: 1,000 jobs and 50 kills will do there. With
`--engine celery` Celery's pool runs the jobs: its main process, children and keeper are killed.

Every job that was answered 202 has to reach a final status, once; no two attempts of a job may
overlap; the history of each job has to be complete. Aim: 0 lost, 0 overlaps, 0 faults.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks import _facts
from benchmarks.chaos.judge import Report
from benchmarks.chaos.run import Chaos, Plan
from servers.choice import ENGINES, STORES, Choice, chosen

_SERVERS: Final = "chaos_servers"


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description="Kill processes while jobs are accepted.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between kills")
    parser.add_argument("--work", type=float, default=0.01, help="seconds of an attempt")
    parser.add_argument("--stops", type=float, default=0.2, help="processes stopped for each kill")
    parser.add_argument("--store", choices=STORES)
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    random.seed(asked.seed)
    plan = Plan(asked.jobs, asked.kills, asked.pause, asked.work, asked.stops)
    with chosen(asked.engine, asked.store) as choice:
        report = _run(plan, choice)
    _show(report)
    if asked.store is None and asked.engine is None:
        _facts.save("chaos", report.figures())
    else:
        of_all = _facts.saved(_SERVERS)
        store, engine = asked.store or "sqlite", asked.engine or "its own"
        of_all[f"{store}, {'its own' if engine == store else engine}"] = report.figures()
        _facts.save(_SERVERS, of_all)
    sys.exit(not report.good)


def _run(plan: Plan, choice: Choice) -> Report:
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        jobs = progress.add_task("jobs answered 202", total=plan.jobs)
        kills = progress.add_task("kills", total=plan.kills)

        def tell(accepted: int, killed: int) -> None:
            progress.update(jobs, completed=accepted)
            progress.update(kills, completed=killed)

        return Chaos(Path(folder), plan, choice).run(tell)


def _show(report: Report) -> None:
    print(
        f"{report.accepted:,} jobs answered 202 in {report.seconds:.0f} s, {report.attempts:,} "
        f"attempts; killed: {_listed(report.kills)}; stopped: {_listed(report.stops)}"
    )
    print(f"{_listed(report.statuses)}; {report.unanswered} more whose answer was lost")
    print(f"lost {len(report.lost)}, overlaps {len(report.overlaps)}, faults {len(report.faults)}")
    for line in (*report.lost, *report.overlaps, *report.faults):
        print(" ", line)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    main()
