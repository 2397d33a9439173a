"""Counts and times by queue and task: what changes add to them, and `Stats` from their sums.

Sums of whole numbers: what is added is taken away again to the last bit.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from onecopy.jobs import Job, Status
from onecopy.stores.base import Stats, spans

STATUSES: Final[tuple[Status, ...]] = ("queued", "running", "succeeded", "failed", "cancelled")
SUMS: Final = (*STATUSES, "ended", "waited", "ran")
"""Jobs by status; final jobs whose last attempt was begun, and their times, in microseconds."""

_MICROSECONDS: Final = 1_000_000


class Sums:
    """What the jobs written in one transaction add to the figures, by queue and task."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(SUMS))

    def add(self, job: Job, sign: int = 1) -> None:
        """Count a job as it is now; with a sign of -1, as it is no longer."""
        sums = self._sums[job.queue, job.task]
        sums[STATUSES.index(job.status)] += sign
        times = spans(job)
        if times is not None:
            sums[5] += sign
            sums[6] += sign * round(times[0] * _MICROSECONDS)
            sums[7] += sign * round(times[1] * _MICROSECONDS)

    def replace(self, before: Job, after: Job) -> None:
        """Count a job as it is after a change."""
        if before.status != after.status:
            self.add(before, -1)
            self.add(after)

    def queued(self, queue: str) -> int:
        """Return how many more jobs are queued in a queue."""
        return sum(sums[0] for key, sums in self._sums.items() if key[0] == queue)

    def rows(self) -> list[tuple[str | int, ...]]:
        """Return queue, task and `SUMS` of each that changes, by queue and task."""
        return [(*key, *sums) for key, sums in sorted(self._sums.items()) if any(sums)]


def stats_of(queue: str, task: str, sums: Sequence[int], oldest: float | None) -> Stats | None:
    """Return the figures of a queue and task by their `SUMS`; None if it has no jobs."""
    counts: dict[Status, int] = {status: sums[i] for i, status in enumerate(STATUSES) if sums[i]}
    if not counts:
        return None
    ended = sums[5]
    return Stats(
        queue=queue,
        task=task,
        counts=counts,
        wait=sums[6] / ended / _MICROSECONDS if ended else None,
        run=sums[7] / ended / _MICROSECONDS if ended else None,
        oldest=oldest,
    )
