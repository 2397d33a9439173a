"""Deliveries in the file of the SQLite store."""

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from onecopy.deliveries import (
    Change,
    Delivery,
    Replay,
    Take,
    Tried,
    Try,
    apply,
    disabled,
    of,
)
from onecopy.jobs import Job
from onecopy.stores.base import is_behind
from onecopy.stores.deliveries import DeliveryFilter

if TYPE_CHECKING:
    from onecopy.stores.sqlite_file import File
    from onecopy.stores.sqlite_group import Group

type Row = tuple[Any, ...]

_FIXED: Final = ("id", "job", "url", "receiver", "payload", "created_at", "keep")
_CHANGING: Final = (
    "status", "tries", "remaining", "due_at", "token", "finished_at", "remove_at",
)  # fmt: skip
_COLUMNS: Final = (*_FIXED, *_CHANGING)
_SELECT: Final = f"SELECT seq, {', '.join(_COLUMNS)} FROM deliveries "
_INSERT: Final = (
    f"INSERT INTO deliveries ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_UPDATE: Final = (
    f"UPDATE deliveries SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE seq = ?"
)
_DUE: Final = """
WITH RECURSIVE each_of (receiver) AS (
  SELECT min(receiver) FROM deliveries WHERE status = 'pending'
  UNION ALL
  SELECT (
    SELECT min(receiver) FROM deliveries
    WHERE status = 'pending' AND receiver > each_of.receiver
  ) FROM each_of WHERE receiver IS NOT NULL
)
SELECT receiver, (
  SELECT min(due_at) FROM deliveries WHERE status = 'pending' AND receiver = each_of.receiver
) AS due_at FROM each_of WHERE receiver IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?
"""
"""One look into the index for each receiver, however many deliveries it has."""


class SQLiteDeliveries:
    """Deliveries of a SQLite store; the Deliveries protocol says what each method does."""

    def __init__(self, file: "File") -> None:
        self._file = file

    async def due(self, *, now: float, limit: int = 1000) -> list[str]:
        """Return the receivers that something is due for."""

        def run(cursor: sqlite3.Cursor) -> list[str]:
            return [receiver for receiver, _ in cursor.execute(_DUE, (now, limit))]

        return await self._file.read(run)

    async def take(self, counts: Mapping[str, int], *, now: float, until: float) -> list[Delivery]:
        """Take due deliveries."""
        which = "WHERE status = 'pending' AND receiver = ? AND due_at <= ? ORDER BY due_at LIMIT ?"

        def run(cursor: sqlite3.Cursor, group: "Group") -> list[Delivery]:
            group.must_be_known()
            taken: list[Delivery] = []
            for receiver, count in counts.items():
                rows = cursor.execute(_SELECT + which, (receiver, now, count)).fetchall()
                for row in rows:
                    after = apply(_of_row(row), Take(secrets.token_urlsafe(12), until), now)
                    _update(cursor, row[0], after)
                    taken.append(after)
            return taken

        return await self._file.write(run)

    async def change(self, delivery: str, change: Change, *, now: float) -> Delivery:
        """Apply a change; with `Tried`, record the try."""

        def run(cursor: sqlite3.Cursor, _group: object) -> Delivery:
            row = _row(cursor, delivery)
            after = apply(_of_row(row), change, now)
            _update(cursor, row[0], after)
            if isinstance(change, Tried):
                _record_try(cursor, row[0], after.tries, change.outcome)
                if after.status == "disabled":
                    _disable(cursor, after.url, now)
            if isinstance(change, Replay):
                cursor.execute("DELETE FROM disabled_urls WHERE url = ?", (after.url,))
            return after

        return await self._file.write(run)

    async def get(self, delivery: str) -> tuple[Delivery, list[Try]]:
        """Return a delivery and its tries."""

        def run(cursor: sqlite3.Cursor) -> tuple[Delivery, list[Try]]:
            row = _row(cursor, delivery)
            tries = cursor.execute(
                "SELECT at, status_code, error, seconds FROM tries WHERE delivery = ? "
                "ORDER BY number",
                (row[0],),
            )
            return _of_row(row), [Try(*values) for values in tries]

        return await self._file.read(run)

    async def find(self, which: DeliveryFilter) -> list[Delivery]:
        """Return deliveries, the newest first."""
        return await self._file.scan(lambda cursor: _find(cursor, which))

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final deliveries that were kept for their time."""

        def run(cursor: sqlite3.Cursor, _group: object) -> int:
            which = "WHERE remove_at <= ? ORDER BY remove_at LIMIT ?"
            return _delete(cursor, which, now, limit)

        return await self._file.write(run)

    async def put(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries as another store has them."""

        def run(cursor: sqlite3.Cursor, _group: object) -> int:
            return sum([_put(cursor, *record) for record in records])

        return await self._file.write(run)


def _put(cursor: sqlite3.Cursor, delivery: Delivery, tries: Sequence[Try]) -> bool:
    row = cursor.execute(_SELECT + "WHERE id = ?", (delivery.id,)).fetchone()
    if row is not None and not is_behind(_of_row(row), delivery):
        return False
    _delete(cursor, "WHERE id = ?", delivery.id)
    _insert(cursor, delivery)
    (seq, *_) = _row(cursor, delivery.id)
    for number, each in enumerate(tries, 1):
        _record_try(cursor, seq, number, each)
    return True


def record(cursor: sqlite3.Cursor, job: Job, now: float) -> None:
    """Record the deliveries of a job that has become final."""
    for each in of(job, now):
        known = cursor.execute("SELECT 1 FROM disabled_urls WHERE url = ?", (each.url,))
        new = disabled(each, now) if known.fetchone() else each
        _insert(cursor, new)


def _insert(cursor: sqlite3.Cursor, new: Delivery) -> None:
    fixed = (new.id, new.job, new.url, new.receiver, new.payload, new.created_at, new.keep)
    cursor.execute(_INSERT, (*fixed, *_changing(new)))


def forget(cursor: sqlite3.Cursor, job: str) -> None:
    """Forget the final deliveries of a job."""
    _delete(cursor, "WHERE job = ? AND status <> 'pending'", job)


def _row(cursor: sqlite3.Cursor, delivery: str) -> Row:
    row = cursor.execute(_SELECT + "WHERE id = ?", (delivery,)).fetchone()
    if row is None:
        raise KeyError(delivery)
    return row


def _of_row(row: Row) -> Delivery:
    (
        _, id, job, url, _, payload, created_at, keep, status, tries, remaining, due_at, token,  # noqa: A001
        finished_at, _,
    ) = row  # fmt: skip
    return Delivery(
        id=id,
        job=job,
        url=url,
        payload=payload,
        status=status,
        tries=tries,
        remaining=remaining,
        created_at=created_at,
        due_at=due_at,
        token=token,
        finished_at=finished_at,
        keep=keep,
    )


def _changing(delivery: Delivery) -> Row:
    finished_at = delivery.finished_at
    return (
        delivery.status,
        delivery.tries,
        delivery.remaining,
        delivery.due_at,
        delivery.token,
        finished_at,
        None if finished_at is None else finished_at + delivery.keep,
    )


def _update(cursor: sqlite3.Cursor, seq: int, delivery: Delivery) -> None:
    cursor.execute(_UPDATE, (*_changing(delivery), seq))


def _record_try(cursor: sqlite3.Cursor, seq: int, number: int, outcome: Try) -> None:
    cursor.execute(
        "INSERT INTO tries VALUES (?, ?, ?, ?, ?, ?)",
        (seq, number, outcome.at, outcome.status_code, outcome.error, outcome.seconds),
    )


def _disable(cursor: sqlite3.Cursor, url: str, now: float) -> None:
    cursor.execute("INSERT OR IGNORE INTO disabled_urls VALUES (?)", (url,))
    pending = cursor.execute(_SELECT + "WHERE url = ? AND status = 'pending'", (url,))
    for row in pending.fetchall():
        _update(cursor, row[0], disabled(_of_row(row), now))


def _find(cursor: sqlite3.Cursor, which: DeliveryFilter) -> list[Delivery]:
    conditions: list[str] = []
    values: list[object] = []

    def hold(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            values.append(value)

    statuses = json.dumps([*which.statuses]) if which.statuses else None
    hold("status IN (SELECT value FROM json_each(?))", statuses)
    hold("job = ?", which.job)
    hold("url = ?", which.url)
    hold("created_at > ?", which.created_after)
    hold("created_at < ?", which.created_before)
    if which.older_than is not None:
        hold("seq < ?", _row(cursor, which.older_than)[0])
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = cursor.execute(f"{_SELECT}{where}ORDER BY seq DESC LIMIT ?", (*values, which.limit))
    return [_of_row(row) for row in rows]


def _delete(cursor: sqlite3.Cursor, which: str, *values: object) -> int:
    found = cursor.execute(f"SELECT seq FROM deliveries {which}", values).fetchall()
    cursor.executemany("DELETE FROM deliveries WHERE seq = ?", found)
    cursor.executemany("DELETE FROM tries WHERE delivery = ?", found)
    return len(found)
