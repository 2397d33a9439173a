"""Jobs and events as rows of the SQLite store."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from onecopy.jobs import Change, Event, Job, accepted, describe
from onecopy.stores.packing import (
    LONG,
    SEARCHED,
    Packed,
    pack_data,
    pack_job,
    searched,
    unpack_data,
    unpack_job,
    without_long_texts,
)

type Row = tuple[int, Packed]

_FIXED: Final = ("id", "task", "queue", "priority", "created_at", "idempotency_key")
_COLUMNS: Final = (*_FIXED, *SEARCHED, "job")

SELECT: Final = "SELECT seq, job FROM jobs "
"""Rows for `job_of`; what follows says which."""

_INSERT: Final = (
    f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_INSERT_TEXT: Final = "INSERT INTO texts (job, name, text) VALUES (?, ?, ?)"
_UPDATE: Final = (
    f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in SEARCHED)}, job = ? WHERE seq = ?"
)
_UPDATE_JOB: Final = "UPDATE jobs SET job = ? WHERE seq = ?"
_INSERT_EVENT: Final = "INSERT INTO events (job, number, at, kind, data) VALUES (?, ?, ?, ?, ?)"


def job_of(cursor: sqlite3.Cursor, row: Row) -> Job:
    """Return the job in a row of `SELECT`, with its long texts."""
    job = unpack_job(row[1])
    if job.arguments and job.result != "":
        return job
    texts = dict(cursor.execute("SELECT name, text FROM texts WHERE job = ?", (row[0],)))
    return replace(job, **texts)


def _packed(job: Job) -> Packed:
    return pack_job(without_long_texts(job))


def insert(cursor: sqlite3.Cursor, job: Job) -> None:
    """Record a new job, with its first event."""
    fixed = (job.id, job.task, job.queue, job.priority, job.created_at, job.idempotency_key)
    seq = cursor.execute(_INSERT, (*fixed, *searched(job), _packed(job))).lastrowid
    for name, text in (("arguments", job.arguments), ("result", job.result)):
        if text is not None and len(text) > LONG:
            cursor.execute(_INSERT_TEXT, (seq, name, text))
    cursor.execute(_INSERT_EVENT, _event_row(seq, accepted(job)))


def update(
    cursor: sqlite3.Cursor, seq: int, before: Job, change: Change, after: Job, now: float
) -> None:
    """Record a change of a job, and its event."""
    rewrite(cursor, seq, before, after)
    if after.result is not None and len(after.result) > LONG and before.result is None:
        cursor.execute(_INSERT_TEXT, (seq, "result", after.result))
    cursor.execute(_INSERT_EVENT, _event_row(seq, describe(before, change, after, now)))


def rewrite(cursor: sqlite3.Cursor, seq: int, before: Job, after: Job) -> None:
    """Write a job anew, as it is after a change that needs no event."""
    values = searched(after)
    if values == searched(before):
        cursor.execute(_UPDATE_JOB, (_packed(after), seq))
    else:
        cursor.execute(_UPDATE, (*values, _packed(after), seq))


def _event_row(seq: int | None, event: Event) -> tuple[Any, ...]:
    return seq, event.number, event.at, event.kind, pack_data(event.data)


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
