"""A store in one SQLite file, for all processes of a host; nothing to install.

sqlite_schema.py    the database: made, migrated, opened; what can go wrong with it
sqlite_tables.py    its tables, and how each version came out of the one before
sqlite_file.py      one writer at a time among all processes, readers beside it; forks
sqlite_group.py     what one transaction writes of jobs, in few statements
sqlite_queries.py   what is asked of the tables
sqlite_claims.py    which jobs are to be claimed next
sqlite_rows.py      jobs and events as rows
sqlite_orders.py    whose turn it is, of the jobs of an ordering key
sqlite_figures.py   counts and times, kept with each change
sqlite_deliveries.py   webhooks on their way
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import Change, Event, Job, NotAllowed, Order
from onecopy.stores import sqlite_claims as claims
from onecopy.stores import sqlite_queries as queries
from onecopy.stores import sqlite_rows as rows
from onecopy.stores.base import Filter, Record, Stats
from onecopy.stores.sqlite_deliveries import SQLiteDeliveries
from onecopy.stores.sqlite_figures import stats
from onecopy.stores.sqlite_file import File
from onecopy.stores.sqlite_group import Group
from onecopy.stores.sqlite_orders import in_turn
from onecopy.stores.sqlite_schema import SYNCHRONOUS

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
        if synchronous not in SYNCHRONOUS:  # SQLite itself would take any word, and be fast
            raise ValueError(f"synchronous is full or normal, not {synchronous!r}")
        self._file = File(os.path.abspath(path), synchronous)
        self._deliveries = SQLiteDeliveries(self._file)

    @property
    def deliveries(self) -> SQLiteDeliveries:
        """The webhooks of its jobs."""
        return self._deliveries

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises Unavailable."""
        await self._file.open()

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        await asyncio.to_thread(self._file.close)

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none."""

        def run(cursor: sqlite3.Cursor, group: Group) -> list[Job]:
            return queries.accept(cursor, group, jobs, max_queued)

        return await self._file.write(run)

    async def put_jobs(self, records: Sequence[Record]) -> int:
        """Record jobs as another store has them."""
        return await self._file.write(lambda cursor, group: queries.put(cursor, group, records))

    async def put_deliveries(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries as another store has them."""
        return await self._deliveries.put(records)

    async def claim(
        self,
        worker: str,
        queues: Sequence[str],
        *,
        now: float,
        until: float,
        limit: int = 1,
        without: Sequence[str] = (),
    ) -> list[Job]:
        """Begin attempts of due jobs."""

        def run(cursor: sqlite3.Cursor, group: Group) -> list[Job]:
            group.must_be_known()
            group.flush()
            found = claims.due(cursor, queues, now, limit, without)
            return queries.claim(cursor, group, found, worker, now, until)

        return await self._file.write(run)

    async def change(
        self, changes: Sequence[tuple[str, Change]], *, now: float
    ) -> list[Job | KeyError | NotAllowed]:
        """Apply changes, in this order."""
        return await self._file.write(lambda _cursor, group: queries.change(group, changes, now))

    async def in_turn(self, orders: Sequence[Order]) -> list[Job]:
        """Return the queued jobs whose turn it is in these orders."""
        return await self._file.read(lambda cursor: in_turn(cursor, orders))

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return the jobs that exist, in no order."""
        which = f"WHERE id {rows.AMONG}"
        return await self._file.read(
            lambda cursor: queries.select(cursor, which, json.dumps([*jobs]))
        )

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        """Return the events of jobs with numbers over those given, each job's in order."""
        return await self._file.read(lambda cursor: rows.events(cursor, after, limit))

    async def extend(self, workers: Sequence[str], *, until: float) -> None:
        """Lengthen the leases of all running attempts of these workers."""
        await self._file.write(lambda cursor, group: queries.extend(cursor, group, workers, until))

    async def overdue(self, *, now: float, limit: int = 100) -> list[Job]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""

        def run(cursor: sqlite3.Cursor) -> list[Job]:
            lost = "WHERE status = 'running' AND lease_until <= ? ORDER BY lease_until LIMIT ?"
            found = queries.select(cursor, lost, now, limit)
            for status in ("queued", "held"):
                late = f"WHERE status = '{status}' AND expires_at <= ? ORDER BY expires_at LIMIT ?"
                found += queries.select(cursor, late, now, limit - len(found))
            return found

        return await self._file.read(run)

    async def running(self, worker: str) -> list[Job]:
        """Return the jobs that a worker has attempts of."""
        return await self._file.read(
            lambda cursor: queries.select(cursor, "WHERE status = 'running' AND worker = ?", worker)
        )

    async def next_due(self, queues: Sequence[str], *, without: Sequence[str] = ()) -> float | None:
        """Return when the next queued job is due, or was; None if none."""
        return await self._file.read(lambda cursor: claims.next_due(cursor, queues, without))

    async def due(
        self, queues: Sequence[str], *, now: float, limit: int = 1, without: Sequence[str] = ()
    ) -> list[Job]:
        """Return the jobs that `claim` would begin."""

        def look(cursor: sqlite3.Cursor) -> list[Job]:
            found = claims.due(cursor, queues, now, limit, without)
            return [rows.job_of(cursor, row) for row in found]

        return await self._file.read(look)

    async def find(self, which: Filter) -> list[Job]:
        """Return jobs, the newest first."""
        return await self._file.scan(lambda cursor: queries.find(cursor, which))

    async def stats(self) -> list[Stats]:
        """Return figures by queue and task."""
        return await self._file.scan(stats)

    async def announce(self, address: str, *, until: float) -> None:
        """Record where workers of a host take calls."""
        replace = "INSERT OR REPLACE INTO announced (address, until) VALUES (?, ?)"

        def run(cursor: sqlite3.Cursor, _group: Group) -> None:
            cursor.execute(replace, (address, until))

        await self._file.write(run)

    async def announced(self, *, now: float) -> list[str]:
        """Return the addresses whose time is not over."""

        def run(cursor: sqlite3.Cursor) -> list[str]:
            found = cursor.execute("SELECT address FROM announced WHERE until > ?", (now,))
            return [address for (address,) in found]

        return await self._file.read(run)

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final jobs that have been kept long enough: a few at a time, others in between."""
        pruned = 0
        while pruned < limit:
            step = min(_PRUNED_AT_ONCE, limit - pruned)
            which = "WHERE remove_at <= ? ORDER BY remove_at LIMIT ?"
            count = await self._delete(which, now, step)
            pruned += count
            if count < step:
                break
        return pruned

    async def forget(self, jobs: Sequence[str]) -> int:
        """Delete those of these jobs that are final: a few at a time, others in between."""
        which = f"WHERE id {rows.AMONG} AND remove_at IS NOT NULL"
        forgotten = 0
        for first in range(0, len(jobs), _PRUNED_AT_ONCE):
            some = json.dumps([*jobs[first : first + _PRUNED_AT_ONCE]])
            forgotten += await self._delete(which, some)
        return forgotten

    async def _delete(self, which: str, *values: object) -> int:
        return await self._file.write(
            lambda cursor, group: queries.delete(cursor, group, which, values)
        )
