"""Tasks of a service whose job workers are Celery's."""

import asyncio
import os
import time
from pathlib import Path

from onecopy import Failed, JobContext, OneCopy, Progress

shared = OneCopy()


@shared.dataset
def numbers() -> dict[str, list[str]]:
    count = int(os.environ.get("NUMBERS", "1000"))
    return {f"key {n}": [f"value {n}"] for n in range(count)}


@shared.task
def add(x: int, y: int) -> int:
    return x + y


@shared.task
def read_all() -> tuple[int, int]:
    """Look at every object of the data; who did it, and how many there are."""
    return os.getpid(), sum(len(value[0]) > 0 for value in numbers().values())


@shared.task
def where() -> tuple[int, str]:
    time.sleep(0.05)
    return os.getpid(), Path("/proc/self/comm").read_text().strip()


@shared.task(retries=2, backoff=0.05)
def unsteady(job: JobContext) -> int:
    if job.attempt < 3:
        raise ValueError(f"attempt {job.attempt}")
    return job.attempt


@shared.task(retries=5)
def hopeless() -> None:
    raise Failed("there is no such place")


@shared.task
def leave() -> None:
    raise SystemExit("a task cannot end its worker")


@shared.task(retries=1, backoff=0.05)
def nap(seconds: float, progress: Progress) -> str:
    progress.update(1, 2, "asleep")
    time.sleep(seconds)
    return "slept"


@shared.task
async def nap_async(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@shared.task(timeout=0.3)
def too_long() -> None:
    time.sleep(30)


@shared.task(timeout=0.3)
def in_c() -> None:
    sum(iter(int, 1))  # It comes back to Python never, and lets no other thread run.


@shared.task
def size(text: str) -> int:
    return len(text)


@shared.task(queue="slow")
def slowly() -> str:
    return "done"


@shared.task
def count(path: str) -> None:
    """Leave a trace for each time that it runs."""
    with open(path, "a") as file:
        file.write("x")
