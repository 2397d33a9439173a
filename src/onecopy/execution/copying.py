"""Copies what one store has into another: jobs with their events and keys, and deliveries.

It may be broken off and done again: what the other store has as new is left as it is. While the
service still accepts jobs they are copied up to some moment; done again after that, the rest is.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import Final

from msgspec.structs import replace as with_fields

from onecopy.jobs import ELSEWHERE, Event, Job, Status
from onecopy.stores import DeliveryFilter, Filter, Importing, Record, Store

_PAGE: Final = 500
_AT_ONCE: Final = 100
"""Jobs, or deliveries, in one transaction."""

type Tell = Callable[[int], None]
"""Hears of so many more jobs or deliveries that were seen to."""


class Cannot(Exception):
    """A store cannot be copied as it is; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store has: versions of jobs, the oldest first, and ids of deliveries."""

    jobs: dict[str, int]
    deliveries: list[str]

    @property
    def count(self) -> int:
        """How many of both."""
        return len(self.jobs) + len(self.deliveries)


async def contents(store: Store) -> Contents:
    """Return what a store has."""
    jobs: dict[str, int] = {}
    async for page in _pages(store):
        jobs.update((job.id, job.version) for job in page)
    deliveries: list[str] = []
    older: str | None = None
    while found := await store.deliveries.find(DeliveryFilter(limit=_PAGE, older_than=older)):
        deliveries += [each.id for each in found]
        older = found[-1].id
    return Contents(dict(reversed(jobs.items())), deliveries[::-1])


async def _pages(store: Store, statuses: Sequence[Status] = ()) -> AsyncGenerator[list[Job]]:
    which = Filter(statuses=statuses, limit=_PAGE)
    while page := await store.find(which):
        yield page
        which = replace(which, older_than=page[-1].id)


async def leased(store: Store, now: float) -> int:
    """Return how many jobs workers hold at this moment."""
    count = 0
    async for page in _pages(store, ["running"]):
        leases = [job.lease for job in page if job.lease is not None]
        count += sum(each.until > now and each.worker != ELSEWHERE for each in leases)
    return count


async def copy(source: Store, target: Store, what: Contents, tell: Tell) -> int:
    """Copy what a store has into another one; return how many jobs were new or newer there.

    Raises Cannot, IdempotencyConflict, Unavailable.
    """
    if not isinstance(target, Importing):
        raise Cannot(
            "a store of this kind takes over nothing yet: copy into SQLite, Redis or PostgreSQL"
        )
    put = 0
    for ids in batched(what.jobs, _AT_ONCE):
        put += await target.put_jobs(await _records(source, ids))
        tell(len(ids))
    for ids in batched(what.deliveries, _AT_ONCE):
        await target.put_deliveries([await source.deliveries.get(each) for each in ids])
        tell(len(ids))
    return put


async def _records(source: Store, ids: Sequence[str]) -> list[Record]:
    """Return jobs with their whole history, in the order of their ids."""
    history: dict[str, list[Event]] = {}
    for event in await source.events(dict.fromkeys(ids, -1)):
        history.setdefault(event.job, []).append(event)
    jobs = {job.id: job for job in await source.get(ids)}
    return [_record(jobs[each], history.get(each, [])) for each in ids if each in jobs]


def _record(job: Job, events: list[Event]) -> Record:
    """What was read before a change, and what after it, do not belong together."""
    last = events[-1].number if events else job.version
    if last < job.version:
        job = with_fields(job, version=last)  # older there than it is: the next copy has the rest
    return Record(job, [event for event in events if event.number <= job.version])


async def missing(what: Contents, target: Store) -> int:
    """Return how many jobs and deliveries another store does not have, or not as new."""
    count = 0
    for ids in batched(what.jobs, _PAGE):
        known = {job.id: job.version for job in await target.get(ids)}
        count += sum(known.get(each, -1) < what.jobs[each] for each in ids)
    there = set((await contents(target)).deliveries)
    return count + sum(each not in there for each in what.deliveries)
