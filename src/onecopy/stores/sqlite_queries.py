"""What the SQLite store asks of its tables, inside a transaction that the caller holds."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from onecopy.jobs import Change, Job, apply
from onecopy.stores.base import Filter, IdempotencyConflict, QueueFull
from onecopy.stores.sqlite_deliveries import record
from onecopy.stores.sqlite_figures import Figures
from onecopy.stores.sqlite_rows import SELECT, Row, insert, job_of, priorities, update

AMONG: Final = "IN (SELECT value FROM json_each(?))"
"""A condition on a column; its value is a JSON array."""


def select(connection: sqlite3.Connection, which: str, *values: object) -> list[Job]:
    """Return the jobs for which a condition holds."""
    return [job_of(row) for row in connection.execute(SELECT + which, values)]


def write(
    connection: sqlite3.Connection, figures: Figures, row: Row, change: Change, now: float
) -> Job:
    """Apply a change to the job in a row, and record it."""
    before = job_of(row)
    after = apply(before, change, now)
    if after is not before:
        update(connection, row[0], before, change, after, now)
        figures.add(before, -1)
        figures.add(after)
        if after.callbacks and after.final:
            record(connection, after, now)
    return after


def accept(
    connection: sqlite3.Connection, figures: Figures, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
    """Record jobs, or refuse all before anything is written."""
    answer: list[Job] = []
    new: dict[str, Job] = {}
    keys: dict[tuple[str, str], Job] = {}
    for job in jobs:
        first = new.get(job.id) or _on_record(connection, job)
        if job.idempotency_key is not None:
            first = first or keys.get((job.task, job.idempotency_key))
            keys[job.task, job.idempotency_key] = first or job
        if first is None:
            new[job.id] = job
        elif first.fingerprint != job.fingerprint:
            raise IdempotencyConflict(f"the key {job.idempotency_key!r} is of job {first.id}")
        answer.append(first or job)
    if max_queued is not None:
        _must_have_room(connection, figures, new.values(), max_queued)
    for job in new.values():
        insert(connection, job)
        figures.add(job)
    return answer


def _on_record(connection: sqlite3.Connection, job: Job) -> Job | None:
    """The job of the same id, or of the same task and idempotency key."""
    condition = "jobs.id = ?"
    values = [job.id]
    if job.idempotency_key is not None:
        condition += " OR (task = ? AND idempotency_key = ?)"
        values += [job.task, job.idempotency_key]
    found = connection.execute(f"SELECT id FROM jobs WHERE {condition}", values).fetchone()
    return None if found is None else select(connection, "WHERE jobs.id = ?", *found)[0]


def _must_have_room(
    connection: sqlite3.Connection, figures: Figures, jobs: Iterable[Job], max_queued: int
) -> None:
    for queue, count in Counter(job.queue for job in jobs).items():
        if figures.queued(connection, queue) + count > max_queued:
            raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")


def due(
    connection: sqlite3.Connection,
    queues: Sequence[str],
    now: float,
    limit: int,
    without: Sequence[str],
) -> list[Row]:
    """Return rows of the first due jobs: one look into the index for each priority of a queue.

    So a million jobs that are not due yet cost what one does.
    """
    found: list[Row] = []
    for queue in queues:
        for priority in priorities(connection, queue):
            which = (
                "WHERE status = 'queued' AND queue = ? AND priority = ? AND due_at <= ? "
                f"AND (expires_at IS NULL OR expires_at > ?) AND NOT task {AMONG} "
                "ORDER BY due_at, seq LIMIT ?"
            )
            values = (queue, priority, now, now, json.dumps([*without]), limit - len(found))
            found += connection.execute(SELECT + which, values).fetchall()
            if len(found) >= limit:
                return found
    return found


def next_due(
    connection: sqlite3.Connection, queues: Sequence[str], without: Sequence[str]
) -> float | None:
    """Return when the first queued job of some queues is due."""
    which = f"status = 'queued' AND queue = ? AND priority = ? AND NOT task {AMONG}"
    firsts = [
        connection.execute(
            f"SELECT due_at FROM jobs WHERE {which} ORDER BY due_at LIMIT 1",
            (queue, priority, json.dumps([*without])),
        ).fetchone()
        for queue in queues
        for priority in priorities(connection, queue)
    ]
    return min((first[0] for first in firsts if first is not None), default=None)


def find(connection: sqlite3.Connection, which: Filter) -> list[Job]:
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
    hold("seq < ?", _seq(connection, which.older_than))
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return select(connection, f"{where}ORDER BY seq DESC LIMIT ?", *values, which.limit)


def _seq(connection: sqlite3.Connection, job: str | None) -> int | None:
    if job is None:
        return None
    row = connection.execute("SELECT seq FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise KeyError(job)
    return row[0]
