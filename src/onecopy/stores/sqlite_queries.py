"""What the SQLite store asks of its tables, inside a transaction that the caller holds."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from onecopy.jobs import Change, Claim, Job, Lease, NotAllowed, new_token
from onecopy.stores.base import Filter, IdempotencyConflict, QueueFull, Record, is_of_own_attempt
from onecopy.stores.packing import statuses_in_rows, unpack_job
from onecopy.stores.sqlite_deliveries import forget
from onecopy.stores.sqlite_figures import Figures
from onecopy.stores.sqlite_group import Group
from onecopy.stores.sqlite_rows import AMONG, SELECT, Row, job_of
from onecopy.stores.sqlite_rows import delete as delete_rows


def select(cursor: sqlite3.Cursor, which: str, *values: object) -> list[Job]:
    """Return the jobs for which a condition holds."""
    return [job_of(cursor, row) for row in cursor.execute(SELECT + which, values).fetchall()]


def claim(
    cursor: sqlite3.Cursor,
    group: Group,
    found: Sequence[Row],
    worker: str,
    now: float,
    until: float,
) -> list[Job]:
    """Begin attempts of the jobs in rows."""
    return [
        group.change(row[0], job_of(cursor, row), Claim(Lease(new_token(), worker, until)), now)
        for row in found
    ]


def change(
    group: Group, changes: Sequence[tuple[str, Change]], now: float
) -> list[Job | KeyError | NotAllowed]:
    """Apply changes in their order; the answer of one that is refused is its error."""
    if not all(is_of_own_attempt(change) for _, change in changes):
        group.must_be_known()
    found = group.find([job for job, _ in changes])
    answers: list[Job | KeyError | NotAllowed] = []
    for id_, each in changes:
        if id_ not in found:
            answers.append(KeyError(id_))
            continue
        seq, job = found[id_]
        try:
            after = group.change(seq, job, each, now)
        except NotAllowed as error:
            answers.append(error.with_traceback(None))
        else:
            found[id_] = seq, after
            answers.append(after)
    return answers


def accept(
    cursor: sqlite3.Cursor, group: Group, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
    """Record jobs, or refuse all before anything is written."""
    group.must_be_known()
    answer: list[Job] = []
    new: dict[str, Job] = {}
    keys: dict[tuple[str, str], Job] = {}
    for job in jobs:
        first = new.get(job.id) or group.added(job.id) or _on_record(cursor, group, job)
        if job.idempotency_key is not None:
            first = first or keys.get((job.task, job.idempotency_key))
            keys[job.task, job.idempotency_key] = first or job
        if first is None:
            new[job.id] = job
        elif first.fingerprint != job.fingerprint:
            raise IdempotencyConflict(f"the key {job.idempotency_key!r} is of job {first.id}")
        answer.append(first or job)
    if max_queued is not None:
        _must_have_room(cursor, group.figures, new.values(), max_queued)
    for job in new.values():
        group.add(job)
    return answer


def put(cursor: sqlite3.Cursor, group: Group, records: Sequence[Record]) -> int:
    """Record jobs as another store has them."""
    which = "WHERE task = ? AND idempotency_key = ? AND id <> ?"
    for job, _ in records:
        if job.idempotency_key is not None:
            other = select(cursor, which, job.task, job.idempotency_key, job.id)
            if other:
                raise IdempotencyConflict(
                    f"the key {job.idempotency_key!r} is of job {other[0].id}"
                )
    return sum([group.put(*record) for record in records])


def _on_record(cursor: sqlite3.Cursor, group: Group, job: Job) -> Job | None:
    """The job of the same id, or of the same task and idempotency key."""
    if job.idempotency_key is None:
        # Ids are random: only of one that is sent again can there be another.
        which = "WHERE id = ?" if group.careful else None
        values = (job.id,)
    else:
        group.flush()
        which = "WHERE id = ? OR (task = ? AND idempotency_key = ?)"
        values = (job.id, job.task, job.idempotency_key)
    return next(iter(select(cursor, which, *values)), None) if which else None


def _must_have_room(
    cursor: sqlite3.Cursor, figures: Figures, jobs: Iterable[Job], max_queued: int
) -> None:
    for queue, count in Counter(job.queue for job in jobs).items():
        if figures.all_queued(cursor, queue) + count > max_queued:
            raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")


def extend(cursor: sqlite3.Cursor, group: Group, workers: Sequence[str], until: float) -> None:
    """Lengthen the leases of all running attempts of some workers."""
    group.flush()
    which = f"WHERE status = 'running' AND worker {AMONG} AND lease_until < ?"
    for row in cursor.execute(SELECT + which, (json.dumps([*workers]), until)).fetchall():
        job = job_of(cursor, row)
        if job.lease is not None:
            group.rewrite(row[0], replace(job, lease=replace(job.lease, until=until)))


def delete(cursor: sqlite3.Cursor, group: Group, which: str, values: Sequence[object]) -> int:
    """Delete the jobs for which a condition holds; return how many."""
    group.flush()
    found = cursor.execute(SELECT + which, values).fetchall()
    delete_rows(cursor, [row[0] for row in found])
    for row in found:
        job = unpack_job(row[1])
        group.figures.add(job, -1)
        if job.callbacks:
            forget(cursor, job.id)
    return len(found)


def find(cursor: sqlite3.Cursor, which: Filter) -> list[Job]:
    """Return jobs, the newest first."""
    conditions: list[str] = []
    values: list[object] = []

    def hold(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            values.append(value)

    statuses = statuses_in_rows(which.statuses)
    hold(f"status {AMONG}", json.dumps(statuses) if statuses else None)
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
