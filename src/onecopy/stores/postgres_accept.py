"""Accepting jobs in the PostgreSQL store: one statement, if nothing is to be asked before."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from onecopy.jobs import Job
from onecopy.stores.base import IdempotencyConflict, QueueFull
from onecopy.stores.postgres_database import Again, Asking
from onecopy.stores.postgres_figures import queued
from onecopy.stores.postgres_rows import COLUMNS, columns_of, job_of, new_row
from onecopy.stores.postgres_schema import Newer, known

_INSERT: Final = """
WITH given AS (
  SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::bigint[], %b::float8[], %b::text[], %b::text[],
    %b::text[], %b::float8[], %b::float8[], %b::bytea[], %b::bytea[], %b::integer[], %b::bytea[]
  ) WITH ORDINALITY AS given (
    id, task, queue, priority, created_at, idempotency_key, ordering_key, status, due_at,
    expires_at, job, arguments, number, data, place
  )
), new AS (
  INSERT INTO jobs (
    id, task, queue, priority, created_at, idempotency_key, ordering_key, status, due_at,
    expires_at, job, arguments
  ) SELECT
    id, task, queue, priority, created_at, idempotency_key, ordering_key, status, due_at,
    expires_at, job, arguments
  FROM given WHERE (SELECT max(version) FROM version) <= %b::integer
  ORDER BY place ON CONFLICT DO NOTHING RETURNING seq, id, queue, task
), told AS (
  INSERT INTO events (job, number, at, kind, data)
  SELECT new.seq, number, created_at, 'accepted', data FROM new JOIN given ON given.id = new.id
), counted AS (
  INSERT INTO figures (queue, task, slot, queued)
  SELECT queue, task, mod(pg_backend_pid(), 64), count(*) FROM new
  GROUP BY queue, task ORDER BY queue, task
  ON CONFLICT (queue, task, slot) DO UPDATE SET queued = figures.queued + excluded.queued
)
SELECT version, id FROM (SELECT max(version) AS version FROM version) AS found
LEFT JOIN new ON true
"""
"""Records those jobs that are not on record, each with its first event; nothing in a schema that
is newer. Answers the version of it with each id, or with none."""
_KNOWN: Final = f"""
SELECT {COLUMNS} FROM jobs WHERE id = ANY(%b::text[])
UNION ALL
SELECT {COLUMNS} FROM unnest(%b::text[], %b::text[]) AS given (task, key)
JOIN jobs ON jobs.task = given.task AND jobs.idempotency_key = given.key
"""
_BOUND: Final = (
    "SELECT pg_advisory_xact_lock(hashtext('onecopy queue'), hashtext(queue)) "
    "FROM unnest(%b::text[]) AS bound (queue)"
)
_FAR: Final = 10_000
"""Jobs under its bound, at which nobody has to ask others before a queue gets more."""


class Wish(NamedTuple):
    """Jobs that are to be accepted, all or none."""

    jobs: Sequence[Job]
    max_queued: int | None


class Known:
    """Jobs on record, by id and by idempotency key."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._by_id: dict[str, Job] = {}
        self._by_key: dict[tuple[str, str], Job] = {}
        for job in jobs:
            self.add(job)

    def add(self, job: Job) -> None:
        """Take a job for on record."""
        self._by_id[job.id] = job
        if job.idempotency_key is not None:
            self._by_key.setdefault((job.task, job.idempotency_key), job)

    def first(self, job: Job) -> Job | None:
        """Return the job that a request is answered by. Raises IdempotencyConflict."""
        first = self._by_id.get(job.id)
        if first is None and job.idempotency_key is not None:
            first = self._by_key.get((job.task, job.idempotency_key))
        if first is not None and first.fingerprint != job.fingerprint:
            raise IdempotencyConflict(f"the key {job.idempotency_key!r} is of job {first.id}")
        return first


def is_simple(wish: Wish) -> bool:
    """Whether a wish cannot be granted in part, nor be too much: it goes with others in one."""
    keyed = any(job.idempotency_key is not None for job in wish.jobs)
    return wish.max_queued is None and (len(wish.jobs) == 1 or not keyed)


async def accept_simple(
    link: Asking, wishes: Sequence[Wish]
) -> list[list[Job] | IdempotencyConflict]:
    """Grant simple wishes, in one statement; it may be repeated."""
    jobs = {job.id: job for wish in wishes for job in wish.jobs}
    new = await insert(link, jobs.values())
    others = [job for job in jobs.values() if job.id not in new]
    known = await on_record(link, others)
    for job in jobs.values():
        if job.id in new:
            known.add(job)
    return [_answer(wish, known) for wish in wishes]


def _answer(wish: Wish, known: Known) -> list[Job] | IdempotencyConflict:
    try:
        firsts = [known.first(job) for job in wish.jobs]
    except IdempotencyConflict as error:
        return error.with_traceback(None)
    if None in firsts:
        raise Again("a job that had the key was deleted at this moment")
    return [first for first in firsts if first is not None]


async def accept(link: Asking, wish: Wish) -> list[Job]:
    """Grant a wish, in a transaction. Raises QueueFull, IdempotencyConflict, Again."""
    if wish.max_queued is not None:
        await _wait_for_bound(link, wish.jobs, wish.max_queued)
    known = await on_record(link, wish.jobs)
    new: dict[str, Job] = {}
    answer: list[Job] = []
    for job in wish.jobs:
        first = known.first(job)
        if first is None:
            known.add(job)
            new[job.id] = first = job
        answer.append(first)
    if wish.max_queued is not None:
        await _must_have_room(link, new.values(), wish.max_queued)
    if len(await insert(link, new.values())) != len(new):
        raise Again("another process has just used one of the keys")
    return answer


async def insert(link: Asking, jobs: Iterable[Job]) -> set[str]:
    """Record those jobs that are not on record, and return their ids. Raises Newer."""
    rows = [new_row(job) for job in jobs]
    if not rows:
        return set()
    answer = await link.rows(_INSERT, *columns_of(rows), known())
    if answer[0][0] > known():
        raise Newer(answer[0][0])
    return {job for _, job in answer if job is not None}


async def on_record(link: Asking, jobs: Sequence[Job]) -> Known:
    """Return what is on record of the ids and idempotency keys of jobs."""
    if not jobs:
        return Known([])
    keyed = [job for job in jobs if job.idempotency_key is not None]
    values = ([job.id for job in jobs], [job.task for job in keyed])
    rows = await link.rows(_KNOWN, *values, [job.idempotency_key for job in keyed])
    return Known(job_of(row) for row in rows)


async def _wait_for_bound(link: Asking, jobs: Sequence[Job], max_queued: int) -> None:
    """Go one after the other, where a queue is near its bound."""
    counts = await queued(link, [*{job.queue for job in jobs}])
    near = [queue for queue in _wanted(jobs) if counts.get(queue, 0) + _FAR > max_queued]
    if near:
        await link.rows(_BOUND, sorted(near))


async def _must_have_room(link: Asking, jobs: Iterable[Job], max_queued: int) -> None:
    wanted = _wanted(jobs)
    counts = await queued(link, [*wanted])
    for queue, count in wanted.items():
        if counts.get(queue, 0) + count > max_queued:
            raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")


def _wanted(jobs: Iterable[Job]) -> Mapping[str, int]:
    return Counter(job.queue for job in jobs)
