"""What the SQLite store asks of its tables, inside a transaction that the caller holds."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from onecopy.jobs import Change, Job, apply
from onecopy.stores.base import Filter, IdempotencyConflict, QueueFull
from onecopy.stores.sqlite_deliveries import record
from onecopy.stores.sqlite_figures import Figures
from onecopy.stores.sqlite_rows import SELECT, Row, insert, job_of, rewrite, update

AMONG: Final = "IN (SELECT value FROM json_each(?))"
"""A condition on a column; its value is a JSON array."""


def select(cursor: sqlite3.Cursor, which: str, *values: object) -> list[Job]:
    """Return the jobs for which a condition holds."""
    return [job_of(cursor, row) for row in cursor.execute(SELECT + which, values).fetchall()]


def write(cursor: sqlite3.Cursor, figures: Figures, row: Row, change: Change, now: float) -> Job:
    """Apply a change to the job in a row, and record it."""
    before = job_of(cursor, row)
    after = apply(before, change, now)
    if after is not before:
        update(cursor, row[0], before, change, after, now)
        figures.replace(before, after)
        if after.callbacks and after.final:
            record(cursor, after, now)
    return after


def accept(
    cursor: sqlite3.Cursor, figures: Figures, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
    """Record jobs, or refuse all before anything is written."""
    answer: list[Job] = []
    new: dict[str, Job] = {}
    keys: dict[tuple[str, str], Job] = {}
    for job in jobs:
        first = new.get(job.id) or _on_record(cursor, job)
        if job.idempotency_key is not None:
            first = first or keys.get((job.task, job.idempotency_key))
            keys[job.task, job.idempotency_key] = first or job
        if first is None:
            new[job.id] = job
        elif first.fingerprint != job.fingerprint:
            raise IdempotencyConflict(f"the key {job.idempotency_key!r} is of job {first.id}")
        answer.append(first or job)
    if max_queued is not None:
        _must_have_room(cursor, figures, new.values(), max_queued)
    for job in new.values():
        insert(cursor, job)
        figures.add(job)
    return answer


def _on_record(cursor: sqlite3.Cursor, job: Job) -> Job | None:
    """The job of the same id, or of the same task and idempotency key."""
    condition = "id = ?"
    values = [job.id]
    if job.idempotency_key is not None:
        condition += " OR (task = ? AND idempotency_key = ?)"
        values += [job.task, job.idempotency_key]
    found = cursor.execute(f"SELECT id FROM jobs WHERE {condition}", values).fetchone()
    return None if found is None else select(cursor, "WHERE id = ?", *found)[0]


def _must_have_room(
    cursor: sqlite3.Cursor, figures: Figures, jobs: Iterable[Job], max_queued: int
) -> None:
    for queue, count in Counter(job.queue for job in jobs).items():
        if figures.all_queued(cursor, queue) + count > max_queued:
            raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")


def extend(cursor: sqlite3.Cursor, workers: Sequence[str], until: float) -> None:
    """Lengthen the leases of all running attempts of some workers."""
    which = f"WHERE status = 'running' AND worker {AMONG} AND lease_until < ?"
    found = cursor.execute(SELECT + which, (json.dumps([*workers]), until)).fetchall()
    for row in found:
        job = job_of(cursor, row)
        if job.lease is not None:
            longer = replace(job, lease=replace(job.lease, until=until))
            rewrite(cursor, row[0], job, longer)


def find(cursor: sqlite3.Cursor, which: Filter) -> list[Job]:
    """Return jobs, the newest first."""
    conditions: list[str] = []
    values: list[object] = []

    def hold(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            values.append(value)

    hold(f"status {AMONG}", json.dumps([*which.statuses]) if which.statuses else None)
    hold("task = ?", which.task)
    hold("queue = ?", which.queue)
    hold("created_at > ?", which.created_after)
    hold("created_at < ?", which.created_before)
    hold("seq < ?", _seq(cursor, which.older_than))
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return select(cursor, f"{where}ORDER BY seq DESC LIMIT ?", *values, which.limit)


def _seq(cursor: sqlite3.Cursor, job: str | None) -> int | None:
    if job is None:
        return None
    row = cursor.execute("SELECT seq FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise KeyError(job)
    return row[0]
