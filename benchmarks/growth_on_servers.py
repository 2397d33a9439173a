"""What a claim and an acceptance cost as a queue on a server grows.

`python -m benchmarks.growth_on_servers postgres`: starts the servers that are named, and measures
queues of 10 thousand and 1 million jobs, a tenth of them not due yet, in turns: accept a job, claim
one, finish it, one at a time.
Aim: the longest queue takes at most 1.5 times as long as the shortest.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.progress import track

from benchmarks import _facts
from onecopy.jobs import Job, Succeed, new_id
from onecopy.stores import Store, change_one
from onecopy.stores.urls import open_store
from servers.kinds import KINDS

AIM: Final = 1.5
LENGTHS: Final = (10_000, 1_000_000)
ROUNDS: Final = 20
IN_A_ROUND: Final = 50
AT_ONCE: Final = 2_000
CALLS: Final = ("accept", "claim", "finish")
_APART: Final = {"postgres": "schema", "redis": "prefix"}
"""The option by which a server has several stores."""


def _job(number: int) -> Job:
    now = time.time()
    late = number % 10 == 0
    return Job(
        id=new_id(),
        task="later" if late else "resize",
        arguments='{"path": "/images/0001.jpg", "width": 640}',
        priority=number % 3,
        created_at=now,
        due_at=4e9 if late else now,
    )


@dataclass
class Queue:
    """A queue of some length, and the milliseconds that each call on it took."""

    length: int
    store: Store
    times: dict[str, list[float]] = field(default_factory=lambda: {call: [] for call in CALLS})

    async def fill(self) -> None:
        """Accept jobs until the queue has its length."""
        for start in track(range(0, self.length, AT_ONCE), f"{self.length:,} jobs"):
            numbers = range(start, min(start + AT_ONCE, self.length))
            await self.store.accept([_job(number) for number in numbers])

    async def turn(self) -> None:
        """Accept, claim and finish some jobs, one at a time."""
        for number in range(1, IN_A_ROUND + 1):
            stamps = [time.perf_counter()]
            await self.store.accept([_job(number * 10 + 1)], max_queued=10**9)
            stamps.append(time.perf_counter())
            now = time.time()
            [job] = await self.store.claim("worker", ["default"], now=now, until=now + 30)
            stamps.append(time.perf_counter())
            assert job.lease is not None
            await change_one(self.store, job.id, Succeed(job.lease.token, "null"), now=now)
            stamps.append(time.perf_counter())
            for call, begun, done in zip(CALLS, stamps, stamps[1:], strict=False):
                self.times[call].append((done - begun) * 1e3)

    def figures(self) -> dict[str, Any]:
        """The median of each call."""
        medians = {f"{call}_ms": median(times) for call, times in self.times.items()}
        return {"queued": self.length, **medians}


async def growth(name: str, url: str, lengths: Sequence[int]) -> dict[str, Any]:
    """Measure queues of these lengths in turns."""
    async with AsyncExitStack() as stack:
        queues: list[Queue] = []
        for length in lengths:
            store = open_store(f"{url}?{_APART[name]}=growth_{length}")
            await store.open()
            stack.push_async_callback(store.close)
            queues.append(Queue(length, store))
            await queues[-1].fill()
        for _ in track(range(ROUNDS), "in turns"):
            for queue in queues:
                await queue.turn()
        rows = [queue.figures() for queue in queues]
    ratios = {call: rows[-1][f"{call}_ms"] / rows[0][f"{call}_ms"] for call in CALLS}
    for row in rows:
        told = ", ".join(f"{call} {row[f'{call}_ms']:.3f} ms" for call in CALLS)
        print(f"{name:>10} {row['queued']:>11,} queued: {told}")
    print(
        f"{'':>10} longest / shortest: { {call: round(each, 2) for call, each in ratios.items()} }"
    )
    return {"store": name, "queues": rows, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(_APART), help="of servers")
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="of queues")
    options = parser.parse_args()
    grown: list[dict[str, Any]] = []
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder, KINDS[name](Path(folder) / name) as server:
            grown.append(asyncio.run(growth(name, server.url, options.lengths)))
    _facts.save("growth_on_servers", {"aim": AIM, "growth": grown})


if __name__ == "__main__":
    main()
