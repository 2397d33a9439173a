"""What another store has, put into the PostgreSQL store as it is."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import Job
from onecopy.stores import postgres_figures as figures
from onecopy.stores.base import IdempotencyConflict, Record, is_behind
from onecopy.stores.figures import Sums
from onecopy.stores.postgres_accept import insert as insert_jobs
from onecopy.stores.postgres_database import Link
from onecopy.stores.postgres_deliveries import delete, insert, lock, record_try
from onecopy.stores.postgres_orders import lock as lock_orders
from onecopy.stores.postgres_orders import orders_of, settle
from onecopy.stores.postgres_rows import SELECT, job_of, put_events, update

_LOCK: Final = f"{SELECT} WHERE id = ANY(%b::text[]) ORDER BY id FOR UPDATE"


async def put_jobs(link: Link, records: Sequence[Record]) -> int:
    """Record jobs, or bring those on record that have a lower version to where they are."""
    orders = orders_of(record.job for record in records)
    await lock_orders(link, orders)
    ids = [record.job.id for record in records]
    known = {job_of(row).id for row in await link.lock(_LOCK, ids)}
    await _insert_new([record.job for record in records if record.job.id not in known], link)
    before = {job.id: (row[0], job) for row in await link.lock(_LOCK, ids) for job in [job_of(row)]}
    newer = [
        record
        for record in records
        if record.job.id not in known or before[record.job.id][1].version < record.job.version
    ]
    sums = Sums()
    for job, _ in newer:
        sums.add(before[job.id][1], -1)
        sums.add(job)
    if newer:
        await update(link, {before[job.id][0]: job for job, _ in newer})
        await put_events(
            link, [(before[job.id][0], event) for job, events in newer for event in events]
        )
        await settle(link, orders)
        await figures.add(link, sums)
    return len(newer)


async def _insert_new(jobs: Sequence[Job], link: Link) -> None:
    """Record jobs as they were when they were accepted, and what came of them after that."""
    new = [_accepted(job) for job in jobs]
    if len(await insert_jobs(link, new)) != len(new):
        keys = ", ".join(repr(job.idempotency_key) for job in jobs if job.idempotency_key)
        raise IdempotencyConflict(f"one of the keys {keys} is of another job there")


def _accepted(job: Job) -> Job:
    return replace(
        job,
        version=0,
        status="queued",
        attempt=0,
        started_at=None,
        finished_at=None,
        lease=None,
        result=None,
        failure=None,
    )


async def put_deliveries(link: Link, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
    """Record deliveries with their tries, unless what is on record has seen more."""
    put = 0
    for delivery, tries in records:
        found = await lock(link, delivery.id)
        if found is not None and not is_behind(found, delivery):
            continue
        await delete(link, "WHERE id = %b::text", delivery.id)
        await insert(link, [delivery])
        for number, each in enumerate(tries, 1):
            await record_try(link, delivery.id, number, each)
        put += 1
    return put
