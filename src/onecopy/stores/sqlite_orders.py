"""Jobs of one queue and ordering key in the SQLite store: whose turn it is.

A held job has the status `held` in its row, so that no index of queued jobs has it: a claim costs
the same however many there are.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from onecopy.jobs import Job, Order
from onecopy.stores.sqlite_rows import SELECT, job_of

_ITS: Final = "queue = ? AND ordering_key = ? AND status = "
_RUNNING: Final = f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {_ITS}'running')"
_FIRST: Final = (
    f"SELECT min(seq) FROM (SELECT min(seq) AS seq FROM jobs WHERE {_ITS}'queued' "
    f"UNION ALL SELECT min(seq) FROM jobs WHERE {_ITS}'held')"
)
_HOLD: Final = f"UPDATE jobs SET status = 'held' WHERE {_ITS}'queued' AND seq IS NOT ?"
_LET_GO: Final = "UPDATE jobs SET status = 'queued' WHERE seq = ? AND status = 'held'"


def settle(cursor: sqlite3.Cursor, order: Order) -> None:
    """Hold all queued jobs of an order but the one whose turn it is; as `jobs.in_turn` says."""
    first: int | None = None
    (running,) = cursor.execute(_RUNNING, order).fetchone()
    if not running:
        (first,) = cursor.execute(_FIRST, (*order, *order)).fetchone()
    cursor.execute(_HOLD, (*order, first))
    cursor.execute(_LET_GO, (first,))


def in_turn(cursor: sqlite3.Cursor, orders: Sequence[Order]) -> list[Job]:
    """Return the queued jobs whose turn it is."""
    found = [cursor.execute(f"{SELECT} WHERE {_ITS}'queued'", order).fetchone() for order in orders]
    return [job_of(cursor, row) for row in found if row is not None]
