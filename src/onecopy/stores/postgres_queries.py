"""What the PostgreSQL store asks of its tables."""

from collections.abc import Mapping, Sequence
from typing import Final

from onecopy.jobs import (
    Change,
    Claim,
    Event,
    Job,
    Lease,
    NotAllowed,
    Order,
    apply,
    describe,
    new_token,
)
from onecopy.stores import postgres_figures as figures
from onecopy.stores.base import Filter, is_of_own_attempt
from onecopy.stores.figures import Sums
from onecopy.stores.packing import statuses_in_rows
from onecopy.stores.postgres_claims import due, look
from onecopy.stores.postgres_database import Again, Link
from onecopy.stores.postgres_deliveries import forget, note
from onecopy.stores.postgres_orders import lock, settle, try_lock
from onecopy.stores.postgres_rows import SELECT, job_of, record, update
from onecopy.stores.postgres_schema import Newer, known

type Answer = Job | KeyError | NotAllowed

# Everybody locks in this order: so nobody waits for somebody who waits for him.
_LOCK: Final = f"{SELECT} WHERE id = ANY(%b::text[]) ORDER BY id FOR UPDATE"
_EXTEND: Final = (
    "UPDATE jobs SET lease_until = %b::float8 WHERE seq IN (SELECT seq FROM jobs "
    "WHERE status = 'running' AND worker = ANY(%b::text[]) AND lease_until < %b::float8 "
    "ORDER BY id FOR UPDATE)"
)
_DELETE: Final = (
    "WITH gone AS (DELETE FROM jobs WHERE seq = ANY(%b::bigint[])) "
    "DELETE FROM events WHERE job = ANY(%b::bigint[])"
)


class Changes:
    """Changes of jobs that are written together.

    jobs: as they are, by their `seq`.
    """

    def __init__(self, jobs: Mapping[int, Job]) -> None:
        self._jobs = dict(jobs)
        self._seqs = {job.id: seq for seq, job in jobs.items()}
        self._changed: dict[int, Job] = {}
        self._events: list[tuple[int, Event]] = []
        self._ended: list[Job] = []
        self._sums = Sums()
        self.orders: set[Order] = set()
        """Those in which it may be another one's turn now."""

    def change(self, job: str, change: Change, now: float) -> Answer:
        """Apply a change to a job; what is refused is answered."""
        seq = self._seqs.get(job)
        if seq is None:
            return KeyError(job)
        try:
            return self._apply(seq, change, now)
        except NotAllowed as error:
            return error.with_traceback(None)

    def _apply(self, seq: int, change: Change, now: float) -> Job:
        before = self._jobs[seq]
        after = apply(before, change, now)
        if after is not before:
            self._jobs[seq] = self._changed[seq] = after
            self._events.append((seq, describe(before, change, after, now)))
            self._sums.replace(before, after)
            if after.order is not None and before.status != after.status != "running":
                self.orders.add(after.order)
            if after.callbacks and after.final:
                self._ended.append(after)
        return after

    async def write(self, link: Link) -> None:
        """Write all of them."""
        if not self._changed:
            return
        await update(link, self._changed)
        await record(link, self._events)
        await settle(link, self.orders)
        if self._ended:
            await note(link, self._ended)
        await figures.add(link, self._sums)


async def change(
    link: Link,
    groups: Sequence[tuple[Sequence[tuple[str, Change]], float]],
    orders: set[Order],
) -> list[list[Answer] | Newer]:
    """Apply changes, each group at its time. Newer: one that this process may not apply any more.

    orders: those to lock first. Raises Again, with more in them, if one was not among them that
    somebody else is about to settle.
    """
    await lock(link, orders)
    ids = {job for changes, _ in groups for job, _ in changes}
    rows = await link.lock(_LOCK, [*ids])
    written = Changes({row[0]: job_of(row) for row in rows})
    answers = [
        [written.change(*each, now) for each in changes]
        if link.version <= known() or all(is_of_own_attempt(change) for _, change in changes)
        else Newer(link.version)
        for changes, now in groups
    ]
    others = written.orders - orders
    if not await try_lock(link, others):
        orders |= others
        raise Again("somebody else changes jobs of the same ordering key")
    await written.write(link)
    return answers


async def claim(
    link: Link,
    worker: str,
    queues: Sequence[str],
    *,
    now: float,
    until: float,
    limit: int,
    without: Sequence[str],
) -> list[Job]:
    """Begin attempts of due jobs."""
    rows = await due(link, queues, now, limit, without)
    link.must_be_known()
    jobs = {row[0]: job_of(row) for row in rows}
    written = Changes(jobs)
    answers = [
        written.change(job.id, Claim(Lease(new_token(), worker, until)), now)
        for job in jobs.values()
    ]
    await written.write(link)
    return [each for each in answers if isinstance(each, Job)]


async def extend(link: Link, workers: Sequence[str], until: float) -> None:
    """Lengthen the leases of all running attempts of some workers."""
    await link.do(_EXTEND, until, [*workers], until)


async def select(link: Link, which: str, *values: object) -> list[Job]:
    """Return the jobs for which a condition holds."""
    return [job_of(row) for row in await link.rows(SELECT + which, *values)]


async def overdue(link: Link, now: float, limit: int) -> list[Job]:
    """Return running jobs whose lease is over, and queued jobs that have expired."""
    lost = (
        "WHERE status = 'running' AND lease_until <= %b::float8 ORDER BY lease_until "
        "LIMIT %b::bigint"
    )
    found = await select(link, lost, now, limit)
    for status in ("queued", "held"):
        late = (
            f"WHERE status = '{status}' AND expires_at <= %b::float8 "
            "ORDER BY expires_at LIMIT %b::bigint"
        )
        found += await select(link, late, now, limit - len(found))
    return found


async def would_claim(
    link: Link, queues: Sequence[str], *, now: float, limit: int, without: Sequence[str]
) -> list[Job]:
    """Return the jobs that `claim` would begin."""
    return [job_of(row) for row in await look(link, queues, now, limit, without)]


async def announce(link: Link, address: str, until: float) -> None:
    """Record where workers of a host take calls."""
    record = (
        "INSERT INTO announced (address, until) VALUES (%b::text, %b::float8) "
        "ON CONFLICT (address) DO UPDATE SET until = excluded.until"
    )
    await link.do(record, address, until)


async def announced(link: Link, now: float) -> list[str]:
    """Return the addresses whose time is not over."""
    found = await link.rows("SELECT address FROM announced WHERE until > %b::float8", now)
    return [address for (address,) in found]


async def find(link: Link, which: Filter) -> list[Job]:
    """Return jobs, the newest first."""
    conditions: list[str] = []
    values: list[object] = []

    def hold(condition: str, value: object) -> None:
        if value is not None:
            conditions.append(condition)
            values.append(value)

    hold("status = ANY(%b::text[])", statuses_in_rows(which.statuses) or None)
    hold("task = %b::text", which.task)
    hold("queue = %b::text", which.queue)
    hold("created_at > %b::float8", which.created_after)
    hold("created_at < %b::float8", which.created_before)
    hold("seq < %b::bigint", await _seq(link, which.older_than))
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return await select(link, f"{where}ORDER BY seq DESC LIMIT %b::bigint", *values, which.limit)


async def _seq(link: Link, job: str | None) -> int | None:
    if job is None:
        return None
    rows = await link.rows("SELECT seq FROM jobs WHERE id = %b::text", job)
    if not rows:
        raise KeyError(job)
    return rows[0][0]


async def delete(link: Link, which: str, *values: object) -> int:
    """Delete final jobs for which a condition holds, with all that belongs to them."""
    rows = await link.lock(f"{SELECT} {which} FOR UPDATE SKIP LOCKED", *values)
    sums = Sums()
    for row in rows:
        sums.add(job_of(row), -1)
    if rows:
        seqs = [row[0] for row in rows]
        await link.do(_DELETE, seqs, seqs)
        await forget(link, [job.id for job in map(job_of, rows) if job.callbacks])
        await figures.add(link, sums)
    return len(rows)
