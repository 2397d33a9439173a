"""Which jobs are to be claimed next, from the index of queued jobs.

Each look goes to the first of a priority: a million jobs that are not due yet cost as one does.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from onecopy.stores.sqlite_rows import SELECT, Row

_DUE: Final = "due_at <= ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY due_at, seq LIMIT ?"
_FIRST: Final = f"{SELECT} WHERE status = 'queued' AND queue = ? AND priority = ? AND {_DUE}"
_FIRST_OF_TASK: Final = (
    "SELECT -priority, due_at, seq FROM jobs "
    f"WHERE status = 'queued' AND queue = ? AND task = ? AND priority = ? AND {_DUE}"
)


def due(
    cursor: sqlite3.Cursor,
    queues: Sequence[str],
    now: float,
    limit: int,
    without: Sequence[str],
) -> list[Row]:
    """Return rows of the first due jobs, of all tasks or `without` some."""
    found: list[Row] = []
    for queue in queues:
        room = limit - len(found)
        if room > 0 and without:
            found += _due_of_others(cursor, queue, now, room, without)
        elif room > 0:
            found += _due(cursor, queue, now, room)
    return found


def _due(cursor: sqlite3.Cursor, queue: str, now: float, limit: int) -> list[Row]:
    found: list[Row] = []
    for priority in priorities(cursor, queue):
        values = (queue, priority, now, now, limit - len(found))
        found += cursor.execute(_FIRST, values).fetchall()
        if len(found) == limit:
            break
    return found


def _due_of_others(
    cursor: sqlite3.Cursor, queue: str, now: float, limit: int, without: Sequence[str]
) -> list[Row]:
    firsts: list[tuple[int, float, int]] = []
    for task in _others(cursor, queue, without):
        room = limit
        for priority in priorities(cursor, queue, task):
            values = (queue, task, priority, now, now, room)
            some = cursor.execute(_FIRST_OF_TASK, values).fetchall()
            firsts += some
            room -= len(some)
            if room == 0:
                break
    return [
        cursor.execute(f"{SELECT} WHERE seq = ?", (seq,)).fetchone()
        for _, _, seq in sorted(firsts)[:limit]
    ]


def next_due(cursor: sqlite3.Cursor, queues: Sequence[str], without: Sequence[str]) -> float | None:
    """Return when the first queued job of some queues is due, `without` some tasks'."""
    firsts: list[float] = []
    for queue in queues:
        if without:
            others = _others(cursor, queue, without)
            firsts += [at for task in others for at in _firsts(cursor, queue, task)]
        else:
            firsts += _firsts(cursor, queue)
    return min(firsts, default=None)


def oldest(cursor: sqlite3.Cursor, queue: str, task: str) -> float | None:
    """Return when the first queued job of a queue and task is due."""
    return min(_firsts(cursor, queue, task), default=None)


def _firsts(cursor: sqlite3.Cursor, queue: str, task: str | None = None) -> Iterator[float]:
    """When the first job of each priority is due."""
    which, values = _queued(queue, task)
    first = f"SELECT min(due_at) FROM jobs WHERE {which} AND priority = ?"
    for priority in priorities(cursor, queue, task):
        yield cursor.execute(first, (*values, priority)).fetchone()[0]


def priorities(cursor: sqlite3.Cursor, queue: str, task: str | None = None) -> Iterator[int]:
    """Return the priorities that queued jobs of a queue have, or those of a task, highest first."""
    which, values = _queued(queue, task)
    first = f"SELECT max(priority) FROM jobs WHERE {which}"
    (priority,) = cursor.execute(first, values).fetchone()
    while priority is not None:
        yield priority
        below = f"{first} AND priority < ?"
        (priority,) = cursor.execute(below, (*values, priority)).fetchone()


def _others(cursor: sqlite3.Cursor, queue: str, without: Sequence[str]) -> Iterator[str]:
    """Return the tasks that queued jobs of a queue are of, `without` some."""
    first = "SELECT min(task) FROM jobs WHERE status = 'queued' AND queue = ?"
    (task,) = cursor.execute(first, (queue,)).fetchone()
    while task is not None:
        if task not in without:
            yield task
        (task,) = cursor.execute(f"{first} AND task > ?", (queue, task)).fetchone()


def _queued(queue: str, task: str | None) -> tuple[str, tuple[str, ...]]:
    if task is None:
        return "status = 'queued' AND queue = ?", (queue,)
    return "status = 'queued' AND queue = ? AND task = ?", (queue, task)
