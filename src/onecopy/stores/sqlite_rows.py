"""Jobs and events as rows of the SQLite store: many with each statement."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import batched
from typing import Any, Final

from msgspec.structs import replace

from onecopy.jobs import Event, Job
from onecopy.stores.packing import (
    LONG,
    SEARCHED,
    Packed,
    pack_data,
    pack_job,
    searched,
    unpack_data,
    unpack_job,
    with_held,
    without_long_texts,
)

type Row = tuple[int, Packed, str]
type EventRow = tuple[Any, ...]

_FIXED: Final = (
    "id",
    "task",
    "queue",
    "priority",
    "created_at",
    "idempotency_key",
    "ordering_key",
)
_COLUMNS: Final = (*_FIXED, *SEARCHED, "job")

SELECT: Final = "SELECT seq, job, status FROM jobs "
"""Rows for `job_of`; what follows says which."""

AMONG: Final = "IN (SELECT value FROM json_each(?))"
"""A condition on a column; its value is a JSON array."""

_INSERT: Final = f"INSERT INTO jobs (seq, {', '.join(_COLUMNS)}) VALUES "
_INSERT_TEXT: Final = "INSERT INTO texts (job, name, text) VALUES (?, ?, ?)"
_CHANGED: Final = (*SEARCHED, "job")
_UPDATE: Final = (
    f"UPDATE jobs SET {', '.join(f'{name} = new.column{i}' for i, name in enumerate(_CHANGED, 2))} "
    "FROM (VALUES "
)
_UPDATED: Final = ") AS new WHERE jobs.seq = new.column1"
_INSERT_EVENT: Final = "INSERT INTO events (job, number, at, kind, data) VALUES "
_ROWS_AT_ONCE: Final = 32
"""Rows of one statement: a statement is kept for each number up to this."""


def job_of(cursor: sqlite3.Cursor, row: Row) -> Job:
    """Return the job in a row of `SELECT`, with its long texts."""
    job = with_held(unpack_job(row[1]), row[2])
    if job.arguments and job.result != "":
        return job
    texts = dict(cursor.execute("SELECT name, text FROM texts WHERE job = ?", (row[0],)))
    return replace(job, **texts)


def _fixed(job: Job) -> tuple[Any, ...]:
    keys = job.idempotency_key, job.ordering_key
    return job.id, job.task, job.queue, job.priority, job.created_at, *keys


def _packed(job: Job) -> Packed:
    return pack_job(without_long_texts(job))


def is_long(text: str) -> bool:
    """Whether a text lies apart from its job."""
    return len(text) > LONG


def insert_jobs(cursor: sqlite3.Cursor, jobs: Mapping[int, Job]) -> None:
    """Record new jobs, by the numbers of their rows."""
    rows = ((seq, *_fixed(job), *searched(job), _packed(job)) for seq, job in jobs.items())
    _execute(cursor, _INSERT, rows)


def update_jobs(cursor: sqlite3.Cursor, jobs: Mapping[int, Job]) -> None:
    """Write jobs anew, by the numbers of their rows."""
    rows = ((seq, *searched(job), _packed(job)) for seq, job in jobs.items())
    _execute(cursor, _UPDATE, rows, _UPDATED)


def insert_texts(cursor: sqlite3.Cursor, texts: Sequence[tuple[int, str, str]]) -> None:
    """Record long texts: the number of a job's row, which text of it, and the text."""
    cursor.executemany(_INSERT_TEXT, texts)


def insert_events(cursor: sqlite3.Cursor, events: Iterable[EventRow]) -> None:
    """Record events, as `event_row` has them."""
    _execute(cursor, _INSERT_EVENT, events)


def event_row(seq: int, event: Event) -> EventRow:
    """Return the row of an event of the job in a row."""
    return seq, event.number, event.at, event.kind, pack_data(event.data)


def _execute(
    cursor: sqlite3.Cursor, start: str, rows: Iterable[Sequence[object]], end: str = ""
) -> None:
    """Execute a statement for rows: many with each execution."""
    for some in batched(rows, _ROWS_AT_ONCE):
        values = _places(len(some[0]), len(some))
        cursor.execute(start + values + end, [value for row in some for value in row])


@lru_cache
def _places(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def events(cursor: sqlite3.Cursor, after: Mapping[str, int], limit: int | None) -> list[Event]:
    """Return the events of jobs with numbers over those given, each job's in order."""
    rows = cursor.execute(
        "SELECT jobs.id, events.number, at, kind, data FROM json_each(?) AS asked "
        "CROSS JOIN jobs ON jobs.id = asked.key "
        "CROSS JOIN events ON events.job = jobs.seq AND events.number > asked.value LIMIT ?",
        (json.dumps(after), -1 if limit is None else limit),
    )
    return [Event(job, number, at, kind, unpack_data(data)) for job, number, at, kind, data in rows]


def delete(cursor: sqlite3.Cursor, seqs: Sequence[int]) -> None:
    """Forget jobs, with all that belongs to them."""
    each = [(seq,) for seq in seqs]
    cursor.executemany("DELETE FROM jobs WHERE seq = ?", each)
    cursor.executemany("DELETE FROM texts WHERE job = ?", each)
    cursor.executemany("DELETE FROM events WHERE job = ?", each)
