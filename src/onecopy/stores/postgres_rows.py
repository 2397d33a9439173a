"""Jobs and events as rows of the PostgreSQL store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from onecopy.jobs import Event, Job, accepted
from onecopy.stores.packing import (
    LONG,
    SEARCHED,
    Packed,
    pack_data,
    pack_job,
    searched,
    unpack_data,
    unpack_job,
    with_held,
    without_long_texts,
)
from onecopy.stores.postgres_database import Link, Row

COLUMNS: Final = "jobs.seq, jobs.job, jobs.lease_until, jobs.arguments, jobs.result, jobs.status"
"""Of a row for `job_of`."""
SELECT: Final = f"SELECT {COLUMNS} FROM jobs "
"""Rows for `job_of`; what follows says which."""

_TYPES: Final = {"status": "text", "worker": "text"}
_NAMES: Final = (*SEARCHED, "job", "result")
_UNNEST: Final = ", ".join(f"%b::{_TYPES.get(name, 'float8')}[]" for name in SEARCHED)
_UPDATE: Final = (
    f"UPDATE jobs SET {', '.join(f'{name} = new.{name}' for name in (*SEARCHED, 'job'))}, "
    "result = coalesce(new.result, jobs.result) "
    f"FROM unnest(%b::bigint[], {_UNNEST}, %b::bytea[], %b::bytea[]) "
    f"AS new (seq, {', '.join(_NAMES)}) WHERE jobs.seq = new.seq"
)
_INSERT_EVENTS: Final = (
    "INSERT INTO events (job, number, at, kind, data) SELECT * FROM "
    "unnest(%b::bigint[], %b::integer[], %b::float8[], %b::text[], %b::bytea[])"
)
_OR_UPDATE: Final = (
    " ON CONFLICT (job, number) DO UPDATE "
    "SET at = excluded.at, kind = excluded.kind, data = excluded.data"
)
_EVENTS: Final = (
    "SELECT jobs.id, events.number, at, kind, data "
    "FROM unnest(%b::text[], %b::integer[]) WITH ORDINALITY AS asked (id, after, place) "
    "JOIN jobs ON jobs.id = asked.id "
    "CROSS JOIN LATERAL (SELECT * FROM events WHERE events.job = jobs.seq "
    "AND events.number > asked.after ORDER BY number) AS events "
    "ORDER BY place, number LIMIT %b::bigint"
)


def as_bytes(packed: Packed) -> bytes:
    """Return a value for a column of bytes."""
    return packed if isinstance(packed, bytes) else packed.encode()


def as_packed(value: bytes) -> Packed:
    """Return what `as_bytes` was given: an object of MessagePack does not begin with a brace."""
    return value.decode() if value[:1] == b"{" else value


def job_of(row: Row) -> Job:
    """Return the job in a row of `SELECT`."""
    _, packed, until, arguments, result, status = row
    job = with_held(unpack_job(as_packed(packed)), status)
    if arguments is not None:
        job = replace(job, arguments=_text(arguments))
    if result is not None and job.result == "":
        job = replace(job, result=_text(result))
    if job.lease is not None and until != job.lease.until:
        job = replace(job, lease=replace(job.lease, until=until))
    return job


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def _long(text: str | None) -> bytes | None:
    if text is None or len(text) <= LONG:
        return None
    return text.encode("utf-8", "surrogatepass")


def new_row(job: Job) -> Row:
    """Return what there is to record of a new job, with its first event.

    One of an order is held until that is settled.
    """
    keys = (job.idempotency_key, job.ordering_key)
    fixed = (job.id, job.task, job.queue, job.priority, job.created_at, *keys)
    status = job.status if job.order is None else "held"
    values = (status, job.due_at, job.expires_at, _packed(job), _long(job.arguments))
    return *fixed, *values, job.version, as_bytes(pack_data(accepted(job).data))


def _packed(job: Job) -> bytes:
    return as_bytes(pack_job(without_long_texts(job)))


def columns_of(rows: Iterable[Row]) -> list[list[Any]]:
    """Return the columns of rows, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]


async def update(link: Link, jobs: Mapping[int, Job]) -> None:
    """Write jobs as they are after changes, by their `seq`."""
    rows = [(seq, *searched(job), _packed(job), _long(job.result)) for seq, job in jobs.items()]
    await link.do(_UPDATE, *columns_of(rows))


async def record(link: Link, events: Sequence[tuple[int, Event]]) -> None:
    """Record events of jobs, each with the `seq` of its job."""
    await _insert_events(link, events, "")


async def _insert_events(link: Link, events: Sequence[tuple[int, Event]], what: str) -> None:
    rows = [
        (seq, each.number, each.at, each.kind, as_bytes(pack_data(each.data)))
        for seq, each in events
    ]
    await link.do(_INSERT_EVENTS + what, *columns_of(rows))


async def put_events(link: Link, events: Sequence[tuple[int, Event]]) -> None:
    """Record events of jobs; one that is on record is written anew."""
    await _insert_events(link, events, _OR_UPDATE)


async def events(link: Link, after: Mapping[str, int], limit: int | None) -> list[Event]:
    """Return the events of jobs with numbers over those given, each job's in order."""
    rows = await link.rows(_EVENTS, [*after], [*after.values()], limit)
    return [
        Event(job, number, at, kind, unpack_data(as_packed(data)))
        for job, number, at, kind, data in rows
    ]
