"""What a claim and an acceptance cost as the queue grows; and how many jobs a store records.

`python -m benchmarks.growth`: queues of 10 thousand, 1 million and 10 million jobs, the longest
with 5 GB of disk. Their first jobs are accepted, the others are copies of these, written by SQL. In
each, a round is: accept a job, claim one, finish it,
one at a time. The rounds of all lengths are measured in turns, in one run, because the machine's
own pace changes while it lasts.
Aim: the longest queue takes at most 1.5 times as long as the shortest.

Then the throughput of accept, claim and finish by the number of callers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

from rich.progress import track

from benchmarks import _facts
from onecopy.jobs import Job, Succeed, new_id
from onecopy.stores import Store, change_one
from onecopy.stores.sqlite import SQLiteStore

AIM: Final = 1.5
LENGTHS: Final = (10_000, 1_000_000, 10_000_000)
BYTES_OF_A_JOB: Final = 500  # of disk, roughly
ROUNDS: Final = 20  # turns of all sizes
IN_A_ROUND: Final = 50  # jobs
MODELS: Final = 30  # jobs that are accepted, and then copied
AT_ONCE: Final = 100_000  # jobs in a transaction that fills a queue
CALLERS: Final = (1, 8, 32, 128)

type Synchronous = Literal["full", "normal"]


def new_job(number: int = 0) -> Job:
    """A job of one of three priorities."""
    now = time.time()
    return Job(
        id=new_id(),
        task="resize",
        arguments='{"path": "/images/0001.jpg", "width": 640}',
        priority=number % 3,
        created_at=now,
        due_at=now,
    )


@asynccontextmanager
async def _opened(folder: Path, synchronous: Synchronous) -> AsyncGenerator[SQLiteStore]:
    store = SQLiteStore(folder / "jobs.db", synchronous=synchronous)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@dataclass
class Queue:
    """A queue of some length, and the milliseconds that each call on it took."""

    length: int
    store: Store
    accept: list[float] = field(default_factory=list[float])
    claim: list[float] = field(default_factory=list[float])
    finish: list[float] = field(default_factory=list[float])

    async def turn(self) -> None:
        """Accept, claim and finish some jobs, one at a time."""
        for number in range(IN_A_ROUND):
            began = time.perf_counter()
            await self.store.accept([new_job(number)], max_queued=10**9)
            accepted = time.perf_counter()
            job = await _claim(self.store)
            claimed = time.perf_counter()
            await _finish(self.store, job)
            finished = time.perf_counter()
            self.accept.append((accepted - began) * 1e3)
            self.claim.append((claimed - accepted) * 1e3)
            self.finish.append((finished - claimed) * 1e3)

    def figures(self) -> dict[str, Any]:
        """The median of each call."""
        return {
            "queued": self.length,
            "accept_ms": median(self.accept),
            "claim_ms": median(self.claim),
            "finish_ms": median(self.finish),
        }


async def fill(queue: Queue, file: Path) -> None:
    """Let the queue in a file have its length; a tenth of the jobs are not due yet."""
    await queue.store.accept([delayed(number) for number in range(MODELS)])
    await asyncio.to_thread(_copy_models, file, queue.length)


async def measure(queues: Sequence[Queue]) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return the figures of queues, measured in turns, and those of the last by the first's."""
    for _ in track(range(ROUNDS), "in turns"):
        for queue in queues:
            await queue.turn()
    rows = [queue.figures() for queue in queues]
    for row in rows:
        print(
            f"{row['queued']:>11,} queued: accept {row['accept_ms']:.3f} ms, "
            f"claim {row['claim_ms']:.3f} ms, finish {row['finish_ms']:.3f} ms"
        )
    calls = ("accept", "claim", "finish")
    ratios = {call: rows[-1][f"{call}_ms"] / rows[0][f"{call}_ms"] for call in calls}
    print(f"{'':>11} longest / shortest:", {call: round(each, 2) for call, each in ratios.items()})
    return rows, ratios


def _copy_models(file: Path, length: int) -> None:
    """Write copies of a queue's first jobs, until it has its length."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        models = connection.execute("SELECT * FROM jobs ORDER BY seq").fetchall()
        for start in track(range(MODELS, length, AT_ONCE), f"{length:,} jobs"):
            connection.execute("BEGIN IMMEDIATE")
            numbers = range(start, min(start + AT_ONCE, length))
            places = ", ".join("?" * len(models[0]))
            connection.executemany(
                f"INSERT INTO jobs VALUES ({places})", (_copy(models, number) for number in numbers)
            )
            connection.execute(_COPY_EVENTS, (numbers[0],))
            connection.execute("COMMIT")
        connection.execute(_COUNT)


_COPY_EVENTS: Final = f"""
INSERT INTO events SELECT jobs.seq, number, at, kind, data
FROM jobs CROSS JOIN events ON events.job = 1 + (jobs.seq - 1) % {MODELS} WHERE jobs.seq > ?
"""
_COUNT: Final = """
UPDATE figures SET queued = (SELECT count(*) FROM jobs WHERE jobs.task = figures.task)
"""


def _copy(models: Sequence[tuple[Any, ...]], number: int) -> tuple[Any, ...]:
    """Return the row of a job that is like one of these but for its id, which is in it twice."""
    _, known, *columns, packed = models[number % MODELS]
    id_ = f"{number:024x}"
    return number + 1, id_, *columns, packed.replace(known.encode(), id_.encode(), 1)


def delayed(number: int) -> Job:
    """Every tenth job is not due yet."""
    job = new_job(number)
    if number % 10:
        return job
    return Job(id=job.id, task="later", arguments="{}", created_at=job.created_at, due_at=4e9)


async def _claim(store: Store) -> Job:
    now = time.time()
    (job,) = await store.claim("worker", ["default"], now=now, until=now + 30)
    return job


async def _finish(store: Store, job: Job) -> None:
    if job.lease is None:
        raise RuntimeError("a claimed job has a lease")
    await change_one(store, job.id, Succeed(job.lease.token, "null"), now=time.time())


async def growth(folder: Path, lengths: Sequence[int], synchronous: Synchronous) -> dict[str, Any]:
    """Measure queues of these lengths in turns."""
    async with AsyncExitStack() as stack:
        queues: list[Queue] = []
        files = [folder / str(length) / "jobs.db" for length in lengths]
        for length, file in zip(lengths, files, strict=True):
            store = await stack.enter_async_context(_opened(file.parent, synchronous))
            queues.append(Queue(length, store))
            await fill(queues[-1], file)
        rows, ratios = await measure(queues)
        for row, file in zip(rows, files, strict=True):
            row["bytes"] = file.stat().st_size
    return {"synchronous": synchronous, "queues": rows, "ratios": ratios}


async def throughput(
    folder: Path, synchronous: Synchronous, seconds: float
) -> list[dict[str, Any]]:
    """Measure whole jobs a second (accept, claim, finish), by callers at once."""
    rows: list[dict[str, Any]] = []
    async with _opened(folder, synchronous) as store:
        for callers in CALLERS:
            times: list[float] = []
            end = time.perf_counter() + seconds
            await asyncio.gather(*(_call_until(end, store, times) for _ in range(callers)))
            times.sort()
            row: dict[str, Any] = {
                "synchronous": synchronous,
                "callers": callers,
                "jobs_per_second": len(times) / seconds,
                "p50_ms": median(times),
                "p99_ms": times[int(len(times) * 0.99)],
            }
            rows.append(row)
            print(
                f"{synchronous:>6}, {callers:>3} callers: {row['jobs_per_second']:>6,.0f} jobs/s, "
                f"p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms",
                flush=True,
            )
    return rows


async def _call_until(end: float, store: SQLiteStore, times: list[float]) -> None:
    while time.perf_counter() < end:
        began = time.perf_counter()
        await store.accept([new_job()])
        await _finish(store, await _claim(store))
        times.append((time.perf_counter() - began) * 1e3)


def _check_room(folder: Path, needed: int) -> None:
    """Exit with one line if the disk has too little room."""
    free = shutil.disk_usage(folder).free
    if free < 2 * needed:
        raise SystemExit(
            f"these queues take {needed / 1e9:.0f} GB, and {folder} has {free / 1e9:.0f} GB free: "
            "give another --folder, or shorter --lengths"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="of queues")
    parser.add_argument("--short", action="store_true", help="10 and 100 thousand jobs only")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each number of callers")
    parser.add_argument("--folder", type=Path, help="where the stores are made, for a short time")
    options = parser.parse_args()
    lengths = (10_000, 100_000) if options.short else options.lengths
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        _check_room(folder, sum(lengths) * BYTES_OF_A_JOB)
        grown = asyncio.run(growth(folder / "growth", lengths, "full"))
        rows = [
            row
            for synchronous in ("full", "normal")
            for row in asyncio.run(throughput(folder / synchronous, synchronous, options.seconds))
        ]
    _facts.save("growth", {"aim": AIM, "growth": grown, "throughput": rows})


if __name__ == "__main__":
    main()
