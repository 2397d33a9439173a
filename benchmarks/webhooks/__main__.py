"""Webhooks delivered to receivers on this machine, and whether one that hangs delays the others.

`python -m benchmarks.webhooks`: a job worker runs jobs that do nothing and tells receivers of each
end, signed by HMAC and Ed25519. First as many jobs at once as there are; then a steady load on 20
receivers, in turns with all of them answering and with two that take webhooks and answer nothing.
Aim: the others' p99, from the end of a job to its webhook, is unchanged (at most 1.25 of it).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts, loops
from benchmarks.processes import BIN, program
from benchmarks.webhooks.app import nothing
from benchmarks.webhooks.receivers import Receivers, timestamp
from onecopy.execution.connect import close_here
from onecopy.execution.state import STATE_DIR
from onecopy.webhooks.config import ALLOW, SECRET

RECEIVERS: Final = 20
HANGING: Final = RECEIVERS // 10
AIM: Final = 1.25
_WORKER: Final = (str(BIN / "onecopy"), "worker", "benchmarks.webhooks.app:app", "--workers", "1")
_EVERY: Final = 0.05
"""Seconds between two groups of jobs of the steady load."""


async def throughput(jobs: int, receivers: int) -> float:
    """Return how many webhooks a second arrive, of so many jobs that are submitted at once."""
    async with Receivers(receivers) as told:
        told.expect(jobs)
        each = jobs // receivers
        for url in told.urls:
            await nothing.options(callback_url=url).submit_many([(n,) for n in range(each)])
        await told.all_arrived()
        times = sorted(at for at, _ in told.arrived)
        return (len(times) - 1) / (times[-1] - times[0])


async def delays(seconds: float, rate: int, hanging: int) -> list[float]:
    """Return, in ms, what lies between the end of a job and its webhook, where one answers."""
    async with Receivers(RECEIVERS) as told:
        told.hanging = hanging
        groups, size = int(seconds / _EVERY), int(rate * _EVERY)
        jobs = [told.urls[number % RECEIVERS] for number in range(groups * size)]
        told.expect(sum(jobs.count(url) for url in told.urls[hanging:]))
        begin = time.monotonic()
        for group in range(groups):
            for url in jobs[group * size : (group + 1) * size]:
                await nothing.options(callback_url=url).submit(group)
            await asyncio.sleep(max(0.0, begin + (group + 1) * _EVERY - time.monotonic()))
        await told.all_arrived()
        return sorted(
            (at - datetime.fromisoformat(timestamp(body)).timestamp()) * 1000
            for at, body in told.arrived
        )


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both, in one service."""
    try:
        await throughput(RECEIVERS * 10, RECEIVERS)  # to warm it
        rates = {
            count: [
                await throughput(options.jobs, count)
                for _ in track(range(options.rounds), f"{count} receivers")
            ]
            for count in (1, RECEIVERS)
        }
        turns: dict[int, list[list[float]]] = {0: [], HANGING: []}
        for _ in track(range(options.rounds), "receivers that hang"):
            for hanging, found in turns.items():
                found.append(await delays(options.seconds, options.rate, hanging))
    finally:
        await close_here()
    return {
        "rates": [
            {"receivers": count, "per_second": median(found), "per_second_runs": found}
            for count, found in rates.items()
        ],
        "delays": [_delays(hanging, found) for hanging, found in turns.items()],
    }


def _delays(hanging: int, turns: list[list[float]]) -> dict[str, Any]:
    p99 = [times[int(len(times) * 0.99)] for times in turns]
    return {
        "hanging": hanging,
        "p50_ms": median(median(times) for times in turns),
        "p99_ms": median(p99),
        "p99_ms_runs": p99,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Webhooks to receivers on this machine.")
    parser.add_argument("--jobs", type=int, default=3000, help="that are told of at once")
    parser.add_argument("--rounds", type=int, default=5, help="turns")
    parser.add_argument("--seconds", type=float, default=5.0, help="of steady load in each turn")
    parser.add_argument("--rate", type=int, default=100, help="jobs a second of the steady load")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        os.environ[STATE_DIR] = str(folder / "state")
        os.environ[SECRET] = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        os.environ[ALLOW] = "127.0.0.0/8"
        running.enter_context(program(_WORKER, folder / "worker", lambda log: "works on" in log))
        figures = loops.run(measure(options))
    for row in figures["rates"]:
        print(f"{row['receivers']:>3} receivers: {row['per_second']:,.0f} webhooks/s")
    for row in figures["delays"]:
        print(
            f"{row['hanging']:>3} of {RECEIVERS} hang: p50 {row['p50_ms']:.1f} ms, "
            f"p99 {row['p99_ms']:.1f} ms"
        )
    more = {"aim": AIM, "receivers": RECEIVERS, "rate": options.rate, "loop": loops.name()}
    _facts.save("webhooks", more | figures)


if __name__ == "__main__":
    main()
