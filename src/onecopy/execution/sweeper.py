"""What any process may do for all: keep leases of the living, and pick up what was left behind.

Any number may sweep at once: each change is a compare-and-set in the store.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from onecopy.execution.identity import WorkerName
from onecopy.execution.policy import RetryPolicy
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Expire, Fail, Failure, Job, NotAllowed
from onecopy.stores import Filter

LEASE: Final = 30.0
"""Seconds that a worker's right to an attempt lasts without being lengthened."""
_MOST: Final = 10_000
_logger = logging.getLogger("onecopy.jobs")

type PolicyOf = Callable[[str], RetryPolicy]


class Sweeper:
    """Sweeps for one process."""

    def __init__(self, runtime: Runtime, policy_of: PolicyOf) -> None:
        self._runtime = runtime
        self._policy_of = policy_of
        self._suspects: set[str] = set()
        """Tokens of attempts whose worker was gone when it was last looked at."""

    async def sweep(self, now: float | None = None) -> None:
        """Look once at what is overdue; wake workers for what is due."""
        at = time.time() if now is None else now
        store = self._runtime.store
        overdue = await store.overdue(now=at)
        alive: set[str] = set()
        for job in overdue:
            if job.status == "queued":
                await self._apply(job, Expire())
            elif job.lease is not None and _is_alive(job.lease.worker):
                # It may be in C code that lets nobody else run: whoever sees that it lives
                # lengthens its lease for it.
                alive.add(job.lease.worker)
            else:
                await self.lose(job, Failure("WorkerLost", "its worker is gone"), at)
        if alive:
            await store.extend(sorted(alive), until=at + LEASE)
        await store.prune(now=at)

    async def bury(self) -> None:
        """End the attempts of all workers of this host that are gone, before their lease is over.

        Whoever started them tells at once, and knows why; but it may be gone too. So only workers
        that were gone the last time as well.
        """
        suspects, self._suspects = self._suspects, set()
        for job in await self._runtime.store.find(Filter(statuses=["running"], limit=_MOST)):
            name = None if job.lease is None else WorkerName.parse(job.lease.worker)
            if job.lease is None or name is None or name.alive() is not False:
                continue
            self._suspects.add(job.lease.token)
            if job.lease.token in suspects:
                await self.lose(job, Failure("WorkerLost", "its worker is gone"), time.time())

    async def lose(self, job: Job, failure: Failure, now: float) -> None:
        """End an attempt whose worker is gone; it counts."""
        if job.lease is None:
            return
        retry_at = now + self._policy_of(job.task).delay(job.attempt)
        _logger.warning("job %s: attempt %s lost: %s", job.id, job.attempt, failure.message)
        changed = await self._apply(job, Fail(job.lease.token, failure, retry_at))
        if changed is not None and changed.status == "queued":
            await self._runtime.engine.ring(changed.queue)

    async def lose_worker(self, worker: str, failure: Failure) -> None:
        """End all attempts of a worker that is gone."""
        for job in await self._runtime.store.running(worker):
            await self.lose(job, failure, time.time())

    async def _apply(self, job: Job, change: Expire | Fail) -> Job | None:
        # Somebody else has swept it, or it has ended after all.
        with contextlib.suppress(NotAllowed, KeyError):
            return await self._runtime.change(job.id, change)
        return None


def _is_alive(worker: str) -> bool:
    name = WorkerName.parse(worker)
    return name is not None and name.alive() is True
