"""Deliveries in the PostgreSQL store."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import json, msgpack
from msgspec.structs import replace

from onecopy.deliveries import Change, Delivery, Replay, Take, Tried, Try, apply, disabled, of
from onecopy.jobs import Job
from onecopy.stores.deliveries import DeliveryFilter
from onecopy.stores.postgres_database import Database, Link, Row
from onecopy.stores.postgres_rows import columns_of

_FIXED: Final = ("id", "job", "url", "receiver", "created_at", "payload")
_CHANGING: Final = ("status", "due_at", "remove_at", "delivery")
_SELECT: Final = "SELECT seq, delivery, payload FROM deliveries "
_INSERT: Final = (
    f"INSERT INTO deliveries ({', '.join((*_FIXED, *_CHANGING))}) SELECT * FROM unnest("
    "%b::text[], %b::text[], %b::text[], %b::text[], %b::float8[], %b::bytea[], "
    "%b::text[], %b::float8[], %b::float8[], %b::bytea[])"
)
_UPDATE: Final = (
    f"UPDATE deliveries SET {', '.join(f'{name} = new.{name}' for name in _CHANGING)} "
    "FROM unnest(%b::bigint[], %b::text[], %b::float8[], %b::float8[], %b::bytea[]) "
    f"AS new (seq, {', '.join(_CHANGING)}) WHERE deliveries.seq = new.seq"
)
_DUE: Final = """
WITH RECURSIVE each_of (receiver) AS (
  SELECT min(receiver) FROM deliveries WHERE status = 'pending'
  UNION ALL
  SELECT (
    SELECT min(receiver) FROM deliveries
    WHERE status = 'pending' AND deliveries.receiver > each_of.receiver
  ) FROM each_of WHERE receiver IS NOT NULL
), firsts AS (
  SELECT receiver, (
    SELECT min(due_at) FROM deliveries
    WHERE status = 'pending' AND deliveries.receiver = each_of.receiver
  ) AS due_at FROM each_of WHERE receiver IS NOT NULL
)
SELECT receiver FROM firsts WHERE due_at <= %b::float8 ORDER BY due_at LIMIT %b::bigint
"""
"""One look into the index for each receiver, however many deliveries it has."""
_TAKE: Final = """
SELECT taken.* FROM unnest(%b::text[], %b::bigint[]) AS asked (receiver, count)
CROSS JOIN LATERAL (
  SELECT seq, delivery, payload FROM deliveries
  WHERE status = 'pending' AND deliveries.receiver = asked.receiver AND due_at <= %b::float8
  ORDER BY due_at LIMIT asked.count FOR UPDATE SKIP LOCKED
) AS taken
"""
# Whoever records deliveries to a URL, and whoever disables it, go one after the other.
_SHARE: Final = (
    "SELECT pg_advisory_xact_lock_shared(hashtext('onecopy url'), hash) FROM "
    "(SELECT DISTINCT hashtext(url) AS hash FROM unnest(%b::text[]) AS given (url) ORDER BY 1) "
    "AS urls"
)
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtext('onecopy url'), hashtext(%b::text))"
_DELETE: Final = (
    "WITH gone AS (DELETE FROM deliveries WHERE seq = ANY(%b::bigint[])) "
    "DELETE FROM tries WHERE delivery = ANY(%b::bigint[])"
)


class PostgresDeliveries:
    """Deliveries of a PostgreSQL store; the Deliveries protocol says what each method does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, *, now: float, limit: int = 1000) -> list[str]:
        """Return the receivers that something is due for."""

        async def run(link: Link) -> list[str]:
            return [receiver for (receiver,) in await link.rows(_DUE, now, limit)]

        return await self._database.read(run)

    async def take(self, counts: Mapping[str, int], *, now: float, until: float) -> list[Delivery]:
        """Take due deliveries."""

        async def run(link: Link) -> list[Delivery]:
            rows = await link.lock(_TAKE, [*counts], [*counts.values()], now)
            link.must_be_known()
            taken = {
                row[0]: apply(_of_row(row), Take(secrets.token_urlsafe(12), until), now)
                for row in rows
            }
            await _update(link, taken)
            return [*taken.values()]

        return await self._database.write(run) if counts else []

    async def change(self, delivery: str, change: Change, *, now: float) -> Delivery:
        """Apply a change; with `Tried`, record the try."""

        async def run(link: Link) -> Delivery:
            if isinstance(change, Replay | Tried):
                rows = await link.rows("SELECT url FROM deliveries WHERE id = %b::text", delivery)
                for (url,) in rows:
                    await link.rows(_ALONE, url)
            return await _change(link, delivery, change, now)

        return await self._database.write(run)

    async def get(self, delivery: str) -> tuple[Delivery, list[Try]]:
        """Return a delivery and its tries."""

        async def run(link: Link) -> tuple[Delivery, list[Try]]:
            row = await _row(link, delivery)
            which = "SELECT try FROM tries WHERE delivery = %b::bigint ORDER BY number"
            tries = await link.rows(which, row[0])
            return _of_row(row), [_unpack(packed, Try) for (packed,) in tries]

        return await self._database.read(run)

    async def find(self, which: DeliveryFilter) -> list[Delivery]:
        """Return deliveries, the newest first."""
        return await self._database.read(lambda link: _find(link, which))

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final deliveries that were kept for their time."""
        which = "WHERE remove_at <= %b::float8 ORDER BY remove_at LIMIT %b::bigint"
        return await self._database.write(lambda link: delete(link, which, now, limit))


async def note(link: Link, jobs: Sequence[Job]) -> None:
    """Record the deliveries of jobs that have become final."""
    new = [each for job in jobs for each in of(job, job.finished_at or job.created_at)]
    urls = [each.url for each in new]
    await link.do(_SHARE, urls)
    which = "SELECT url FROM disabled_urls WHERE url = ANY(%b::text[])"
    unwanted = {url for (url,) in await link.rows(which, urls)}
    await insert(
        link, [disabled(each, each.created_at) if each.url in unwanted else each for each in new]
    )


async def insert(link: Link, deliveries: Sequence[Delivery]) -> None:
    """Record new deliveries."""
    rows = [
        (each.id, each.job, each.url, each.receiver, each.created_at, each.payload.encode())
        for each in deliveries
    ]
    changing = [_changing(each) for each in deliveries]
    await link.do(_INSERT, *columns_of(rows), *columns_of(changing))


async def forget(link: Link, jobs: Sequence[str]) -> None:
    """Forget the final deliveries of jobs."""
    if jobs:
        await delete(link, "WHERE job = ANY(%b::text[]) AND status <> 'pending'", [*jobs])


async def _change(link: Link, delivery: str, change: Change, now: float) -> Delivery:
    row = await _row(link, delivery, "FOR UPDATE")
    after = apply(_of_row(row), change, now)
    await _update(link, {row[0]: after})
    if isinstance(change, Tried):
        await record_try(link, delivery, after.tries, change.outcome)
        if after.status == "disabled":
            await _disable(link, after.url, now)
    if isinstance(change, Replay):
        await link.do("DELETE FROM disabled_urls WHERE url = %b::text", after.url)
    return after


async def record_try(link: Link, delivery: str, number: int, outcome: Try) -> None:
    """Record a try of a delivery."""
    record = (
        "INSERT INTO tries SELECT seq, %b::integer, %b::bytea FROM deliveries WHERE id = %b::text"
    )
    await link.do(record, number, _pack(outcome), delivery)


async def lock(link: Link, delivery: str) -> Delivery | None:
    """Return a delivery, and have nobody else change it; None if there is none."""
    rows = await link.lock(f"{_SELECT} WHERE id = %b::text FOR UPDATE", delivery)
    return _of_row(rows[0]) if rows else None


async def _disable(link: Link, url: str, now: float) -> None:
    await link.do("INSERT INTO disabled_urls VALUES (%b::text) ON CONFLICT DO NOTHING", url)
    which = f"{_SELECT} WHERE url = %b::text AND status = 'pending' ORDER BY seq FOR UPDATE"
    rows = await link.rows(which, url)
    await _update(link, {row[0]: disabled(_of_row(row), now) for row in rows})


async def _row(link: Link, delivery: str, how: str = "") -> Row:
    rows = await link.lock(f"{_SELECT} WHERE id = %b::text {how}", delivery)
    if not rows:
        raise KeyError(delivery)
    return rows[0]


def _pack(value: object) -> bytes:
    try:
        return msgpack.encode(value)
    except UnicodeEncodeError:
        return json.encode(value)


def _unpack[T](packed: bytes, kind: type[T]) -> T:
    return msgpack.decode(packed, type=kind)


def _of_row(row: Row) -> Delivery:
    return replace(_unpack(row[1], Delivery), payload=row[2].decode())


def _changing(delivery: Delivery) -> Row:
    finished_at = delivery.finished_at
    remove_at = None if finished_at is None else finished_at + delivery.keep
    return delivery.status, delivery.due_at, remove_at, _pack(replace(delivery, payload=""))


async def _update(link: Link, deliveries: Mapping[int, Delivery]) -> None:
    if deliveries:
        rows = [(seq, *_changing(each)) for seq, each in deliveries.items()]
        await link.do(_UPDATE, *columns_of(rows))


async def _find(link: Link, which: DeliveryFilter) -> list[Delivery]:
    conditions: list[str] = []
    values: list[Any] = []

    def hold(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            values.append(value)

    hold("status = ANY(%b::text[])", [*which.statuses] or None)
    hold("job = %b::text", which.job)
    hold("url = %b::text", which.url)
    hold("created_at > %b::float8", which.created_after)
    hold("created_at < %b::float8", which.created_before)
    if which.older_than is not None:
        hold("seq < %b::bigint", (await _row(link, which.older_than))[0])
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    query = f"{_SELECT}{where}ORDER BY seq DESC LIMIT %b::bigint"
    return [_of_row(row) for row in await link.rows(query, *values, which.limit)]


async def delete(link: Link, which: str, *values: object) -> int:
    """Delete deliveries for which a condition holds, with their tries."""
    lock = f"SELECT seq FROM deliveries {which} FOR UPDATE SKIP LOCKED"
    seqs = [seq for (seq,) in await link.rows(lock, *values)]
    if seqs:
        await link.do(_DELETE, seqs, seqs)
    return len(seqs)
