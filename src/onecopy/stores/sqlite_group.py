"""What one transaction writes of jobs: gathered first, then written by few statements.

SQLite runs each statement without the interpreter's lock, and to have the lock back may take as
long as the event loop is busy. So a statement for each job would cost more than its work.
"""

import json
import sqlite3
from collections.abc import Sequence
from itertools import count

from msgspec.structs import replace

from onecopy.jobs import Change, Event, Job, Order, accepted, apply, describe
from onecopy.stores import sqlite_schema as schema
from onecopy.stores.sqlite_deliveries import record
from onecopy.stores.sqlite_figures import Figures
from onecopy.stores.sqlite_orders import settle
from onecopy.stores.sqlite_rows import (
    AMONG,
    SELECT,
    EventRow,
    event_row,
    insert_events,
    insert_jobs,
    insert_texts,
    is_long,
    job_of,
    update_jobs,
)

type Rows = dict[int, Job]
"""Jobs by the number of their row."""


class Group:
    """Jobs and events that the operations of one transaction write.

    Whoever reads jobs by anything but their ids, or events, calls `flush` before.
    """

    def __init__(self, cursor: sqlite3.Cursor, path: str, *, careful: bool = False) -> None:
        """Take the cursor of a transaction, and where the file is.

        careful: that a new job's id is not on record is asked before; else it is an error then.
        """
        self._cursor = cursor
        self._path = path
        self._is_known = False
        self.careful = careful
        self.figures = Figures()
        self._new: Rows = {}
        self._changed: Rows = {}
        self._known: dict[str, int] = {}
        """Rows of the jobs in these two, by their ids."""
        self._events: list[EventRow] = []
        self._texts: list[tuple[int, str, str]] = []
        self._orders: set[Order] = set()
        """Those in which it may be another one's turn now."""
        self._seqs: count[int] | None = None
        self._size = 0
        self._flushed = 0

    @property
    def size(self) -> int:
        """Grows with whatever an operation writes, here or by itself."""
        return self._cursor.connection.total_changes - self._flushed + self._size

    def must_be_known(self) -> None:
        """Raise Outdated if a newer onecopy has written the schema: nothing new is begun here."""
        if not self._is_known:
            schema.must_be_known(schema.version(self._cursor.connection), self._path)
            self._is_known = True

    def added(self, job: str) -> Job | None:
        """Return a job that was added and is not written yet."""
        seq = self._known.get(job)
        return None if seq is None else self._new.get(seq)

    def add(self, job: Job) -> None:
        """Add a new job, with its first event."""
        seq = self._next_seq()
        event = event_row(seq, accepted(job))
        if (order := job.order) is not None:
            job = replace(job, held=order in self._orders)
            self._orders.add(order)
        self._new[seq] = job
        self._known[job.id] = seq
        self._note_texts(seq, None, job)
        self._events.append(event)
        self.figures.add(job)
        self._size += 1

    def put(self, job: Job, events: Sequence[Event]) -> bool:
        """Write a job as another store has it, unless what is on record is as new."""
        found = self.find([job.id]).get(job.id)
        if found is None:
            seq, before = self._next_seq(), None
            self._new[seq] = job
            self._known[job.id] = seq
        else:
            seq, before = found
            if before.version >= job.version:
                return False
            self.rewrite(seq, job)
            self.figures.add(before, -1)
        known = -1 if before is None else before.version
        self._note_texts(seq, before, job)
        self._events += [event_row(seq, event) for event in events if event.number > known]
        if job.order is not None:
            self._orders.add(job.order)
        self.figures.add(job)
        self._size += 1
        return True

    def _next_seq(self) -> int:
        if self._seqs is None:
            (last,) = self._cursor.execute("SELECT max(seq) FROM jobs").fetchone()
            self._seqs = count((last or 0) + 1)
        return next(self._seqs)

    def find(self, jobs: Sequence[str]) -> dict[str, tuple[int, Job]]:
        """Return jobs by their ids, each with the number of its row: those that exist."""
        unknown = [job for job in jobs if job not in self._known]
        found: dict[str, tuple[int, Job]] = {}
        if unknown:
            which = f"WHERE id {AMONG}"
            for row in self._cursor.execute(SELECT + which, (json.dumps(unknown),)).fetchall():
                job = job_of(self._cursor, row)
                found[job.id] = row[0], job
        for job in jobs:
            seq = self._known.get(job)
            if seq is not None:
                found[job] = seq, self._new.get(seq) or self._changed[seq]
        return found

    def change(self, seq: int, before: Job, change: Change, now: float) -> Job:
        """Apply a change to a job, and record it. Raises NotAllowed."""
        after = apply(before, change, now)
        if after is before:
            return after
        self.rewrite(seq, after)
        self._note_texts(seq, before, after)
        self._events.append(event_row(seq, describe(before, change, after, now)))
        self.figures.replace(before, after)
        if after.order is not None and before.status != after.status != "running":
            self._orders.add(after.order)
        if after.callbacks and after.final:
            record(self._cursor, after, now)
        return after

    def rewrite(self, seq: int, after: Job) -> None:
        """Write a job anew, as it is after a change that needs no event."""
        rows = self._new if seq in self._new else self._changed
        rows[seq] = after
        self._known[after.id] = seq
        self._size += 1

    def _note_texts(self, seq: int, before: Job | None, after: Job) -> None:
        if before is None and is_long(after.arguments):
            self._texts.append((seq, "arguments", after.arguments))
        result = after.result
        if result is not None and is_long(result) and (before is None or before.result is None):
            self._texts.append((seq, "result", result))

    def flush(self) -> None:
        """Write jobs and events, so that they can be read."""
        before = self._cursor.connection.total_changes
        insert_jobs(self._cursor, self._new)
        update_jobs(self._cursor, self._changed)
        insert_texts(self._cursor, self._texts)
        insert_events(self._cursor, self._events)
        for order in self._orders:
            settle(self._cursor, order)
        self._orders.clear()
        self._new, self._changed, self._known, self._texts, self._events = {}, {}, {}, [], []
        self._flushed += self._cursor.connection.total_changes - before

    def write(self) -> None:
        """Write all, at the end."""
        self.flush()
        self.figures.write(self._cursor)
