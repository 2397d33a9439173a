"""Counts and times by queue and task, kept with each change so that nobody has to count.

The changes of one group are summed in memory and written once, in the group's transaction.
"""

import sqlite3
from collections import defaultdict
from typing import Final

from onecopy.jobs import Job, Status
from onecopy.stores.base import Stats, spans
from onecopy.stores.sqlite_claims import oldest
from onecopy.stores.sqlite_rows import STATUSES

_COLUMNS: Final = (*STATUSES, "ended", "waited", "ran")
_MICROSECONDS: Final = 1_000_000

_ADD: Final = (
    f"INSERT INTO figures (queue, task, {', '.join(_COLUMNS)}) "
    f"VALUES (?, ?{', ?' * len(_COLUMNS)}) ON CONFLICT (queue, task) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _COLUMNS)
)
_QUEUED: Final = "SELECT coalesce(sum(queued), 0) FROM figures WHERE queue = ?"


class Figures:
    """What the jobs written in one transaction add to the figures."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 8)
        self._queued: dict[str, int] = {}
        """As written before this transaction."""

    def add(self, job: Job, sign: int = 1) -> None:
        """Count a job as it is now; with a sign of -1, as it is no longer."""
        sums = self._sums[job.queue, job.task]
        sums[STATUSES.index(job.status)] += sign
        times = spans(job)
        if times is not None:
            sums[5] += sign
            # Whole numbers: what is added is taken away again to the last bit.
            sums[6] += sign * round(times[0] * _MICROSECONDS)
            sums[7] += sign * round(times[1] * _MICROSECONDS)

    def replace(self, before: Job, after: Job) -> None:
        """Count a job as it is after a change."""
        if before.status != after.status:
            self.add(before, -1)
            self.add(after)

    def queued(self, cursor: sqlite3.Cursor, queue: str) -> int:
        """Return how many jobs are queued in a queue, those not yet written included."""
        if queue not in self._queued:
            (self._queued[queue],) = cursor.execute(_QUEUED, (queue,)).fetchone()
        added = sum(sums[0] for key, sums in self._sums.items() if key[0] == queue)
        return self._queued[queue] + added

    def write(self, cursor: sqlite3.Cursor) -> None:
        """Write the sums."""
        for key, sums in self._sums.items():
            cursor.execute(_ADD, (*key, *sums))


def stats(cursor: sqlite3.Cursor) -> list[Stats]:
    """Return the figures of each queue and task that has jobs; reads few jobs."""
    rows = cursor.execute(
        f"SELECT queue, task, {', '.join(_COLUMNS)} FROM figures ORDER BY queue, task"
    ).fetchall()
    found: list[Stats] = []
    for queue, task, *sums in rows:
        counts: dict[Status, int] = {
            status: sums[i] for i, status in enumerate(STATUSES) if sums[i]
        }
        ended = sums[5]
        if counts:
            stats = Stats(
                queue=queue,
                task=task,
                counts=counts,
                wait=sums[6] / ended / _MICROSECONDS if ended else None,
                run=sums[7] / ended / _MICROSECONDS if ended else None,
                oldest=oldest(cursor, queue, task) if sums[0] else None,
            )
            found.append(stats)
    return found
