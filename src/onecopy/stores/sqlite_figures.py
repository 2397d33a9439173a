"""Counts and times by queue and task, kept with each change so that nobody has to count.

The changes of one group are summed in memory and written once, in the group's transaction.
"""

import sqlite3
from typing import Final

from onecopy.stores.base import Stats
from onecopy.stores.figures import SUMS, Sums, stats_of
from onecopy.stores.sqlite_claims import oldest

_ADD: Final = (
    f"INSERT INTO figures (queue, task, {', '.join(SUMS)}) "
    f"VALUES (?, ?{', ?' * len(SUMS)}) ON CONFLICT (queue, task) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
)
_QUEUED: Final = "SELECT coalesce(sum(queued), 0) FROM figures WHERE queue = ?"


class Figures(Sums):
    """What the jobs written in one transaction add to the figures."""

    def __init__(self) -> None:
        super().__init__()
        self._queued: dict[str, int] = {}
        """As written before this transaction."""

    def all_queued(self, cursor: sqlite3.Cursor, queue: str) -> int:
        """Return how many jobs are queued in a queue, those not yet written included."""
        if queue not in self._queued:
            (self._queued[queue],) = cursor.execute(_QUEUED, (queue,)).fetchone()
        return self._queued[queue] + self.queued(queue)

    def write(self, cursor: sqlite3.Cursor) -> None:
        """Write the sums."""
        cursor.executemany(_ADD, self.rows())


def stats(cursor: sqlite3.Cursor) -> list[Stats]:
    """Return the figures of each queue and task that has jobs; reads few jobs."""
    rows = cursor.execute(
        f"SELECT queue, task, {', '.join(SUMS)} FROM figures ORDER BY queue, task"
    ).fetchall()
    found = [
        stats_of(queue, task, sums, oldest(cursor, queue, task) if sums[0] else None)
        for queue, task, *sums in rows
    ]
    return [stats for stats in found if stats is not None]
