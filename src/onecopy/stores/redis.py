"""A store on a Redis server, for any number of hosts.

redis_link.py       the connection; redis_errors.py says what is wrong with it in words
redis_programs.py   a thread in which what callers ask for goes to the server together
redis_scripts/      Lua: what has to be one step
redis_keys.py       the keys, and the sets that jobs are searched in
redis_records.py    jobs and events as values
redis_commit.py     what is written in one step if nothing has changed since it was read
redis_changes.py    changes, by the state machine of `onecopy.jobs`
redis_jobs.py       all else that is asked of jobs
redis_deliveries.py, redis_delivery_records.py   webhooks on their way
redis_format.py     which form all this has
redis_import.py     what another store has
redis_durability.py whether what it answers is on its disk
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Final, Literal

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import Change, Event, Job, Lease, NotAllowed, Order, new_token
from onecopy.redis_address import RedisAddress
from onecopy.stores import redis_durability, redis_jobs
from onecopy.stores.base import Filter, Record, Stats, Unavailable
from onecopy.stores.redis_changes import COMMIT, Changes
from onecopy.stores.redis_deliveries import RedisDeliveries
from onecopy.stores.redis_format import KNOWN, must_be_known
from onecopy.stores.redis_import import Import
from onecopy.stores.redis_jobs import Jobs
from onecopy.stores.redis_keys import Keys
from onecopy.stores.redis_programs import Make, Program, Programs

_SCRIPTS: Final = (
    COMMIT,
    redis_jobs.ACCEPT,
    redis_jobs.CLAIM,
    redis_jobs.EXTEND,
    redis_jobs.EVENTS,
    redis_jobs.PAGE,
    redis_jobs.FIRST_DUE,
    KNOWN,
)
_PRUNED_AT_ONCE: Final = 100
_IN_DOUBT: Final = 60.0
"""Seconds for which a claim that was not answered may still turn up."""
_SAID_AGAIN: Final = 60
"""Seconds for which one warning is enough, from all processes together."""
_logger = logging.getLogger("onecopy.jobs")


class RedisStore:
    """Jobs on a Redis server; the Store protocol says what each method does."""

    def __init__(self, address: RedisAddress) -> None:
        keys = Keys(address.prefix)
        self._address = address
        self._tag = keys.tag
        self._jobs = Jobs(keys)
        self._changes = Changes(keys)
        self._import = Import(keys)
        self._programs = Programs("redis", address, _SCRIPTS)
        self._scans = Programs("redis-scan", address, _SCRIPTS)
        self._deliveries = RedisDeliveries(keys.tag, self._programs, self._scans)
        self._is_open = False
        self._doubts = _Doubts(self._jobs)

    @property
    def speaks(self) -> Literal[True]:
        """Its scripts ring and tell."""
        return True

    @property
    def deliveries(self) -> RedisDeliveries:
        """The webhooks of its jobs."""
        return self._deliveries

    async def open(self) -> None:
        """Connect, and look whether jobs are safe there. Raises Unavailable."""
        await self._programs.run(lambda: must_be_known(self._tag, self._address.name))
        concerns, first = await self._programs.run(self._concerns)
        self._is_open = True
        for concern in concerns if first else ():
            _logger.warning("the Redis server %s %s", self._address.name, concern)

    def _concerns(self) -> Program[tuple[list[str], bool]]:
        """What to be worried about; and whether this process is to say so, of all that start."""
        concerns = yield from redis_durability.ask()
        try:
            (first,) = yield [("SET", f"{self._tag}warned", "1", "NX", "EX", _SAID_AGAIN)]
        except Unavailable:  # It cannot write now, which the first job will be told.
            return concerns, True
        return concerns, first is not None

    async def concerns(self) -> list[str]:
        """Return what could lose jobs on this server."""
        return await self._run(redis_durability.ask)

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        self._is_open = False
        for programs in (self._programs, self._scans):
            await asyncio.to_thread(programs.end)

    async def _run[T](self, make: Make[T]) -> T:
        self._must_be_open()
        return await self._programs.run(make)

    async def _scan[T](self, make: Make[T]) -> T:
        self._must_be_open()
        return await self._scans.run(make)

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise Unavailable(f"the store {self._address.name} is not open")

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none."""
        return await self._run(lambda: self._jobs.accept(jobs, max_queued))

    async def put_jobs(self, records: Sequence[Record]) -> int:
        """Record jobs as another store has them."""
        return await self._run(lambda: self._import.jobs(records))

    async def put_deliveries(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries as another store has them."""
        return await self._run(lambda: self._import.deliveries(records))

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
        lease = Lease("", worker, until)

        def run() -> Program[list[Job]]:
            found = yield from self._doubts.found_again(worker, limit)
            given = [new_token() for _ in range(limit - len(found))]
            self._doubts.add(worker, given)
            records = yield from self._jobs.claim(lease, queues, now, given, without)
            self._doubts.clear(given)
            for record in records:
                self._changes.claimed(record)
            return found + [record.job for record in records]

        return await self._run(run)

    async def change(
        self, changes: Sequence[tuple[str, Change]], *, now: float
    ) -> list[Job | KeyError | NotAllowed]:
        """Apply changes, in this order."""
        return await self._run(lambda: self._changes.program(changes, now))

    async def in_turn(self, orders: Sequence[Order]) -> list[Job]:
        """Return the queued jobs whose turn it is in these orders."""
        return await self._run(lambda: self._jobs.in_turn(orders))

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return the jobs that exist, in no order."""

        def run() -> Program[list[Job]]:
            records = yield from self._jobs.get(jobs)
            return [record.job for record in records]

        return await self._run(run)

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        """Return the events of jobs with numbers over those given, each job's in order."""
        return await self._run(lambda: self._jobs.events(after, limit))

    async def extend(self, workers: Sequence[str], *, until: float) -> None:
        """Lengthen the leases of all running attempts of these workers."""
        await self._run(lambda: self._jobs.extend(workers, until))

    async def overdue(self, *, now: float, limit: int = 100) -> list[Job]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""
        return await self._run(lambda: self._jobs.overdue(now, limit))

    async def running(self, worker: str) -> list[Job]:
        """Return the jobs that a worker has attempts of."""
        return await self._run(lambda: self._jobs.running(worker))

    async def next_due(self, queues: Sequence[str], *, without: Sequence[str] = ()) -> float | None:
        """Return when the next queued job is due, or was; None if none."""
        return await self._run(lambda: self._jobs.next_due(queues, without))

    async def due(
        self, queues: Sequence[str], *, now: float, limit: int = 1, without: Sequence[str] = ()
    ) -> list[Job]:
        """Return the jobs that `claim` would begin, and begin none of them."""
        return await self._run(lambda: self._jobs.due(queues, now, limit, without))

    async def announce(self, address: str, *, until: float) -> None:
        """Record where workers of a host take calls of other hosts, for so long."""
        await self._run(lambda: self._jobs.announce(address, until))

    async def announced(self, *, now: float) -> list[str]:
        """Return the addresses that were announced, and whose time is not over."""
        return await self._run(lambda: self._jobs.announced(now))

    async def find(self, which: Filter) -> list[Job]:
        """Return jobs, the newest first."""
        return await self._scan(lambda: self._jobs.find(which))

    async def stats(self) -> list[Stats]:
        """Return figures by queue and task."""
        return await self._scan(self._jobs.stats)

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final jobs that have been kept long enough: a few at a time, others in between."""
        pruned = 0
        while pruned < limit:
            step = min(_PRUNED_AT_ONCE, limit - pruned)
            count = await self._scan(lambda step=step: self._jobs.prune(now, step))
            pruned += count
            if count < step:
                break
        return pruned

    async def forget(self, jobs: Sequence[str]) -> int:
        """Delete those of these jobs that are final: a few at a time, others in between."""
        forgotten = 0
        for some in batched(dict.fromkeys(jobs), _PRUNED_AT_ONCE):
            forgotten += await self._scan(lambda some=some: self._jobs.forget(some))
        return forgotten


class _Doubts:
    """Claims that were sent and not answered: they may have been made, now or a little later.

    Whoever claims for that worker next gets them: nobody else would run them as long as it lives.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._tokens: dict[str, tuple[str, float]] = {}
        """Worker, and until when it may turn up, by token."""

    def add(self, worker: str, given: Sequence[str]) -> None:
        """Doubt claims with these tokens."""
        ends = time.monotonic() + _IN_DOUBT
        self._tokens |= dict.fromkeys(given, (worker, ends))

    def clear(self, given: Sequence[str]) -> None:
        """Doubt no more."""
        for token in given:
            self._tokens.pop(token, None)

    def found_again(self, worker: str, limit: int) -> Program[list[Job]]:
        """Return jobs that were claimed for a worker in doubt."""
        now = time.monotonic()
        self.clear([token for token, (_, ends) in self._tokens.items() if ends < now])
        if all(whose != worker for whose, _ in self._tokens.values()):
            return []
        found: list[Job] = []
        for job in (yield from self._jobs.running(worker)):
            if job.lease is not None and job.lease.token in self._tokens and len(found) < limit:
                found.append(job)
                self.clear([job.lease.token])
        return found
