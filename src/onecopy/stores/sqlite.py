"""A store in one SQLite file, for all processes of a host; nothing to install.

sqlite_schema.py    the database: made, migrated, opened; what can go wrong with it
sqlite_file.py      one writer at a time among all processes, readers beside it; forks
sqlite_lanes.py     threads that serve event loops in groups
sqlite_rows.py      jobs and events as rows
sqlite_figures.py   counts and times, kept with each change
"""

import asyncio
import json
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from onecopy.jobs import Change, Claim, Event, Job, Lease, apply
from onecopy.stores import sqlite_rows as rows
from onecopy.stores.base import Filter, IdempotencyConflict, QueueFull, Stats
from onecopy.stores.sqlite_figures import Figures, stats
from onecopy.stores.sqlite_file import File

_AMONG: Final = "IN (SELECT value FROM json_each(?))"
_PRUNED_AT_ONCE: Final = 100


class SQLiteStore:
    """Jobs in a SQLite file, in WAL mode; the Store protocol says what each method does.

    path: of the file; it is made, and its folder, for this user alone, when the store is opened.
    synchronous: "full": what is answered survives a power cut; "normal": it survives the death of
        any process, and a power cut may take the last moments.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, synchronous: Literal["full", "normal"] = "full"
    ) -> None:
        self._file = File(os.path.abspath(path), synchronous)

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises Unavailable."""
        await self._file.open()

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        await asyncio.to_thread(self._file.close)

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none."""

        def run(connection: sqlite3.Connection, figures: Figures) -> list[Job]:
            return _accept(connection, figures, jobs, max_queued)

        return await self._file.write(run)

    async def claim(
        self, worker: str, queues: Sequence[str], *, now: float, until: float, limit: int = 1
    ) -> list[Job]:
        """Begin attempts of due jobs."""

        def run(connection: sqlite3.Connection, figures: Figures) -> list[Job]:
            claimed: list[Job] = []
            for row in _due(connection, queues, now, limit):
                lease = Lease(secrets.token_urlsafe(16), worker, until)
                claimed.append(_write(connection, figures, row, Claim(lease), now))
            return claimed

        return await self._file.write(run)

    async def change(self, job: str, change: Change, *, now: float) -> Job:
        """Apply a change."""

        def run(connection: sqlite3.Connection, figures: Figures) -> Job:
            row = connection.execute(rows.SELECT + "WHERE jobs.id = ?", (job,)).fetchone()
            if row is None:
                raise KeyError(job)
            return _write(connection, figures, row, change, now)

        return await self._file.write(run)

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return the jobs that exist, in no order."""
        return await self._file.read(
            lambda connection: _select(connection, f"WHERE jobs.id {_AMONG}", json.dumps([*jobs]))
        )

    async def history(self, job: str, *, after: int = -1) -> list[Event]:
        """Return the events of a job with numbers over `after`, in order."""
        return await self._file.read(lambda connection: rows.events(connection, job, after))

    async def extend(self, workers: Sequence[str], *, until: float) -> None:
        """Lengthen the leases of all running attempts of these workers."""
        statement = (
            "UPDATE jobs SET lease_until = max(lease_until, ?) "
            f"WHERE status = 'running' AND worker {_AMONG}"
        )

        def run(connection: sqlite3.Connection, _figures: Figures) -> None:
            connection.execute(statement, (until, json.dumps([*workers])))

        await self._file.write(run)

    async def overdue(self, *, now: float, limit: int = 100) -> list[Job]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""

        def run(connection: sqlite3.Connection) -> list[Job]:
            lost = "WHERE status = 'running' AND lease_until <= ? ORDER BY lease_until LIMIT ?"
            found = _select(connection, lost, now, limit)
            late = "WHERE status = 'queued' AND expires_at <= ? ORDER BY expires_at LIMIT ?"
            return found + _select(connection, late, now, limit - len(found))

        return await self._file.read(run)

    async def running(self, worker: str) -> list[Job]:
        """Return the jobs that a worker has attempts of."""
        return await self._file.read(
            lambda connection: _select(
                connection, "WHERE status = 'running' AND worker = ?", worker
            )
        )

    async def next_due(self, queues: Sequence[str]) -> float | None:
        """Return when the next queued job is due, or was; None without one."""
        return await self._file.read(lambda connection: _next_due(connection, queues))

    async def find(self, which: Filter) -> list[Job]:
        """Return jobs, the newest first."""
        return await self._file.scan(lambda connection: _find(connection, which))

    async def stats(self) -> list[Stats]:
        """Return figures by queue and task."""
        return await self._file.scan(stats)

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final jobs that have been kept long enough: a few at a time, others in between."""
        pruned = 0
        while pruned < limit:
            step = min(_PRUNED_AT_ONCE, limit - pruned)
            count = await self._prune(now, step)
            pruned += count
            if count < step:
                break
        return pruned

    async def _prune(self, now: float, limit: int) -> int:
        def run(connection: sqlite3.Connection, figures: Figures) -> int:
            which = "WHERE remove_at <= ? ORDER BY remove_at LIMIT ?"
            found = connection.execute(rows.SELECT + which, (now, limit)).fetchall()
            rows.delete(connection, [row[0] for row in found])
            for row in found:
                figures.add(rows.job_of(row), -1)
            return len(found)

        return await self._file.write(run)


def _select(connection: sqlite3.Connection, which: str, *values: object) -> list[Job]:
    return [rows.job_of(row) for row in connection.execute(rows.SELECT + which, values)]


def _write(
    connection: sqlite3.Connection, figures: Figures, row: rows.Row, change: Change, now: float
) -> Job:
    before = rows.job_of(row)
    after = apply(before, change, now)
    if after is not before:
        rows.update(connection, row[0], before, after, now)
        figures.add(before, -1)
        figures.add(after)
    return after


def _accept(
    connection: sqlite3.Connection, figures: Figures, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
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
        rows.insert(connection, job)
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
    return None if found is None else _select(connection, "WHERE jobs.id = ?", *found)[0]


def _must_have_room(
    connection: sqlite3.Connection, figures: Figures, jobs: Iterable[Job], max_queued: int
) -> None:
    for queue, count in Counter(job.queue for job in jobs).items():
        if figures.queued(connection, queue) + count > max_queued:
            raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")


def _due(
    connection: sqlite3.Connection, queues: Sequence[str], now: float, limit: int
) -> list[rows.Row]:
    """Rows of due jobs, the first ones; each priority of each queue is one look into the index.

    So a million jobs that are not due yet cost what one does.
    """
    found: list[rows.Row] = []
    for queue in queues:
        for priority in rows.priorities(connection, queue):
            which = (
                "WHERE status = 'queued' AND queue = ? AND priority = ? AND due_at <= ? "
                "AND (expires_at IS NULL OR expires_at > ?) ORDER BY due_at, seq LIMIT ?"
            )
            values = (queue, priority, now, now, limit - len(found))
            found += connection.execute(rows.SELECT + which, values).fetchall()
            if len(found) >= limit:
                return found
    return found


def _next_due(connection: sqlite3.Connection, queues: Sequence[str]) -> float | None:
    which = "status = 'queued' AND queue = ? AND priority = ?"
    firsts = [
        connection.execute(f"SELECT min(due_at) FROM jobs WHERE {which}", key).fetchone()[0]
        for queue in queues
        for key in ((queue, priority) for priority in rows.priorities(connection, queue))
    ]
    return min(firsts, default=None)


def _find(connection: sqlite3.Connection, which: Filter) -> list[Job]:
    conditions: list[str] = []
    values: list[object] = []

    def hold(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            values.append(value)

    hold(f"status {_AMONG}", json.dumps([*which.statuses]) if which.statuses else None)
    hold("task = ?", which.task)
    hold("queue = ?", which.queue)
    hold("created_at > ?", which.created_after)
    hold("created_at < ?", which.created_before)
    hold("seq < ?", _seq(connection, which.older_than))
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return _select(connection, f"{where}ORDER BY seq DESC LIMIT ?", *values, which.limit)


def _seq(connection: sqlite3.Connection, job: str | None) -> int | None:
    if job is None:
        return None
    row = connection.execute("SELECT seq FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise KeyError(job)
    return row[0]
