"""What any process may do for all: keep leases of the living, and pick up what was left behind.

Any number may sweep at once: each change is a compare-and-set in the store.

Why a worker has ended is known to its supervisor alone, and whoever changes the job first has the
last word. So a sweeper that sees that a worker of this host is gone leaves its attempts alone for
as long as the supervisor runs: that one keeps a loss until a job worker has recorded it
(`server.losses`). Only when a whole lease has passed since, it is not waited for any more: it may
have no job worker left, and somebody else's could run the job.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from onecopy.execution.identity import WorkerName
from onecopy.execution.lease import LEASE
from onecopy.execution.policy import RetryPolicy
from onecopy.execution.runtime import Runtime
from onecopy.jobs import (
    ELSEWHERE,
    Change,
    Expire,
    Fail,
    Failure,
    Job,
    Lease,
    Lose,
    NotAllowed,
    Release,
    Requeue,
    waits_for_clock,
)
from onecopy.stores import Filter

_MOST: Final = 10_000
_CLOCKS_DIFFER: Final = 1.0
"""Seconds by which a job may be from the future with all clocks right."""
_logger = logging.getLogger("onecopy.jobs")

type PolicyOf = Callable[[str], RetryPolicy]


class Sweeper:
    """Sweeps for one process."""

    def __init__(self, runtime: Runtime, policy_of: PolicyOf) -> None:
        self._runtime = runtime
        self._policy_of = policy_of
        self._gone: dict[str, float] = {}
        """When workers were first seen to be gone whose supervisor runs."""
        self._swept_at: float | None = None

    async def sweep(self, now: float | None = None) -> None:
        """Look once at what is overdue; wake workers for what is due."""
        at = time.time() if now is None else now
        store = self._runtime.store
        if await self._clock_was_set_back(at):
            await self._follow_clock(at)
        overdue = await store.overdue(now=at)
        kept: set[str] = set()
        for job in overdue:
            if job.status == "queued":
                await self._apply(job, Expire(), at)
            elif job.lease is not None and self._is_in_hands(job.lease.worker, at):
                kept.add(job.lease.worker)
            elif job.lease is not None:
                await self._lose_overdue(job, job.lease, at)
        if kept:
            await store.extend(sorted(kept), until=at + LEASE)
        await store.prune(now=at)

    async def _clock_was_set_back(self, now: float) -> bool:
        """Whether it was since the last sweep; at the first, whether jobs are from the future."""
        before, self._swept_at = self._swept_at, now
        if before is not None:
            return now < before
        newest = await self._runtime.store.find(Filter(limit=1))
        return bool(newest) and newest[0].created_at > now + _CLOCKS_DIFFER

    async def _follow_clock(self, now: float) -> None:
        """Have jobs run that would wait for the clock to be where it was.

        Their delays count from now: those of new jobs, and those until the next attempt.
        """
        count = 0
        last: str | None = None
        while True:
            which = Filter(statuses=["queued"], limit=_MOST, older_than=last)
            try:
                queued = await self._runtime.store.find(which)
            except KeyError:  # the last one is deleted: whoever sweeps next goes on
                break
            for job in queued:
                if waits_for_clock(job, now):
                    await self._apply(job, Requeue(), now)
                    count += 1
            if len(queued) < _MOST:
                break
            last = queued[-1].id
        if count:
            _logger.warning("the clock was set back: %s jobs wait no longer for it", count)

    async def bury(self, now: float | None = None) -> None:
        """End the attempts of workers of this host that are gone, before their lease is over."""
        at = time.time() if now is None else now
        for job in await self._runtime.store.find(Filter(statuses=["running"], limit=_MOST)):
            name = None if job.lease is None else WorkerName.parse(job.lease.worker)
            if name is None or name.alive() is not False or self._will_be_told(name, at):
                continue
            await self.lose(job, Failure("WorkerLost", "its worker is gone"), at)

    def _is_in_hands(self, worker: str, now: float) -> bool:
        """Whether a worker lives, or its end is its supervisor's to tell.

        One that lives may be in C code that lets nobody else run: whoever sees that it lives
        lengthens its lease for it.
        """
        name = WorkerName.parse(worker)
        if name is None:
            return False
        alive = name.alive()
        return alive is True or (alive is False and self._will_be_told(name, now))

    def _will_be_told(self, name: WorkerName, now: float) -> bool:
        if not name.supervised():
            return False
        self._gone = {each: at for each, at in self._gone.items() if now - at < 3 * LEASE}
        return now - self._gone.setdefault(str(name), now) < LEASE

    async def _lose_overdue(self, job: Job, lease: Lease, now: float) -> None:
        if lease.worker == ELSEWHERE:
            failure = Failure("OutcomeOverdue", "its outcome was to come from elsewhere: none came")
            await self._end(job, Lose(lease.token, failure), now)
        else:
            failure = Failure("WorkerLost", "its worker is gone")
            await self._end(job, Lose(lease.token, failure, self._retry_at(job, now)), now)

    async def lose(self, job: Job, failure: Failure, now: float) -> None:
        """End an attempt whose worker is gone for certain, whatever its lease; it counts."""
        if job.lease is not None:
            await self._end(job, Fail(job.lease.token, failure, self._retry_at(job, now)), now)

    def _retry_at(self, job: Job, now: float) -> float:
        return now + self._policy_of(job.task).delay(job.attempt)

    async def _end(self, job: Job, change: Fail | Lose | Release, now: float) -> None:
        changed = await self._apply(job, change, now)
        if changed is None:
            return
        what = "given back" if isinstance(change, Release) else f"lost: {change.failure.message}"
        _logger.warning("job %s: attempt %s %s", job.id, job.attempt, what)

    async def lose_worker(
        self, worker: str, failure: Failure, begun: Collection[int] | None = None
    ) -> None:
        """End all attempts of a worker that is gone.

        begun: marks of those that it had begun (`mark_of`); the others are given back and do not
            count. None: it may have begun all.
        """
        for job in await self._runtime.store.running(worker):
            if job.lease is None or begun is None or mark_of(job.lease.token) in begun:
                await self.lose(job, failure, time.time())
            else:
                await self._end(job, Release(job.lease.token), time.time())

    async def _apply(self, job: Job, change: Change, now: float) -> Job | None:
        # Somebody else has swept it, or it has ended after all.
        with contextlib.suppress(NotAllowed, KeyError):
            return await self._runtime.change(job.id, change, now=now)
        return None


def mark_of(token: str) -> int:
    """Return the 64 bits, not 0, by which a supervisor knows an attempt: it passes them on."""
    digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1
