"""Jobs and events as rows of the SQLite store."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import asdict

from onecopy.jobs import (
    Change,
    Event,
    Failure,
    Job,
    Lease,
    Progress,
    Status,
    accepted,
    describe,
)

type Row = tuple[Any, ...]

STATUSES: Final[tuple[Status, ...]] = ("queued", "running", "succeeded", "failed", "cancelled")

_FIXED: Final = (
    "id", "task", "queue", "priority", "max_attempts", "created_at", "timeout", "keep",
    "traceparent", "idempotency_key", "fingerprint", "callbacks",
)  # fmt: skip
_CHANGING: Final = (
    "status", "attempt", "due_at", "expires_at", "started_at", "finished_at", "cancelling",
    "token", "worker", "lease_until", "progress", "failure", "version", "remove_at", "result",
)  # fmt: skip
_COLUMNS: Final = (*_FIXED, *_CHANGING)

SELECT: Final = (
    f"SELECT jobs.seq, arguments.arguments, {', '.join(f'jobs.{name}' for name in _COLUMNS)} "
    "FROM jobs CROSS JOIN arguments ON arguments.job = jobs.seq "
)
"""Rows for `job_of`; what follows says which. CROSS: the jobs first, then their arguments."""

_INSERT: Final = (
    f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_INSERT_ARGUMENTS: Final = "INSERT INTO arguments (job, arguments) VALUES (?, ?)"
_UPDATE: Final = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE seq = ?"
_INSERT_EVENT: Final = "INSERT INTO events (job, number, at, kind, data) VALUES (?, ?, ?, ?, ?)"


def job_of(row: Row) -> Job:
    """Return the job in a row of `SELECT`."""
    (
        _, arguments, id, task, queue, priority, max_attempts, created_at, timeout, keep,  # noqa: A001
        traceparent, idempotency_key, fingerprint, callbacks, status, attempt, due_at, expires_at,
        started_at, finished_at, cancelling, token, worker, lease_until, progress, failure,
        version, _, result,
    ) = row  # fmt: skip
    return Job(
        id=id,
        task=task,
        arguments=arguments,
        queue=queue,
        priority=priority,
        status=status,
        attempt=attempt,
        max_attempts=max_attempts,
        created_at=created_at,
        due_at=due_at,
        expires_at=expires_at,
        started_at=started_at,
        finished_at=finished_at,
        timeout=timeout,
        keep=keep,
        cancelling=bool(cancelling),
        lease=None if token is None else Lease(token, worker, lease_until),
        progress=None if progress is None else Progress(**json.loads(progress)),
        result=result,
        failure=None if failure is None else Failure(**json.loads(failure)),
        traceparent=traceparent,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        callbacks=() if callbacks is None else tuple(json.loads(callbacks)),
        version=version,
    )


def _fixed(job: Job) -> Row:
    return (
        job.id,
        job.task,
        job.queue,
        job.priority,
        job.max_attempts,
        job.created_at,
        job.timeout,
        job.keep,
        job.traceparent,
        job.idempotency_key,
        job.fingerprint,
        json.dumps(job.callbacks) if job.callbacks else None,
    )


def _changing(job: Job) -> Row:
    lease = job.lease
    return (
        job.status,
        job.attempt,
        job.due_at,
        job.expires_at,
        job.started_at,
        job.finished_at,
        job.cancelling,
        None if lease is None else lease.token,
        None if lease is None else lease.worker,
        None if lease is None else lease.until,
        # As JSON in ASCII: an exception's text may hold what UTF-8 cannot (lone surrogates).
        None if job.progress is None else json.dumps(asdict(job.progress)),
        None if job.failure is None else json.dumps(asdict(job.failure)),
        job.version,
        None if job.finished_at is None else job.finished_at + job.keep,
        job.result,
    )


def insert(connection: sqlite3.Connection, job: Job) -> None:
    """Record a new job, with its first event."""
    seq = connection.execute(_INSERT, (*_fixed(job), *_changing(job))).lastrowid
    connection.execute(_INSERT_ARGUMENTS, (seq, job.arguments))
    connection.execute(_INSERT_EVENT, _event_row(seq, accepted(job)))


def update(
    connection: sqlite3.Connection, seq: int, before: Job, change: Change, after: Job, now: float
) -> None:
    """Record a change of a job, and its event."""
    connection.execute(_UPDATE, (*_changing(after), seq))
    connection.execute(_INSERT_EVENT, _event_row(seq, describe(before, change, after, now)))


def _event_row(seq: int | None, event: Event) -> Row:
    return seq, event.number, event.at, event.kind, json.dumps(event.data)


def events(
    connection: sqlite3.Connection, after: Mapping[str, int], limit: int | None
) -> list[Event]:
    """Return the events of jobs with numbers over those given, each job's in order."""
    rows = connection.execute(
        "SELECT jobs.id, events.number, at, kind, data FROM json_each(?) AS asked "
        "CROSS JOIN jobs ON jobs.id = asked.key "
        "CROSS JOIN events ON events.job = jobs.seq AND events.number > asked.value LIMIT ?",
        (json.dumps(after), -1 if limit is None else limit),
    )
    return [Event(job, number, at, kind, json.loads(data)) for job, number, at, kind, data in rows]


def delete(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Forget jobs, with all that belongs to them."""
    each = [(seq,) for seq in seqs]
    connection.executemany("DELETE FROM jobs WHERE seq = ?", each)
    connection.executemany("DELETE FROM arguments WHERE job = ?", each)
    connection.executemany("DELETE FROM events WHERE job = ?", each)


def priorities(connection: sqlite3.Connection, queue: str) -> Iterator[int]:
    """Return the priorities that queued jobs of a queue have, the highest first.

    Each is one look into an index, however many jobs have it.
    """
    select = "SELECT priority FROM jobs WHERE status = 'queued' AND queue = ? "
    row = connection.execute(f"{select} ORDER BY priority DESC LIMIT 1", (queue,)).fetchone()
    while row is not None:
        yield row[0]
        further = f"{select} AND priority < ? ORDER BY priority DESC LIMIT 1"
        row = connection.execute(further, (queue, row[0])).fetchone()
