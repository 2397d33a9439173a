"""Claims jobs for a job worker, as many as it has free places."""

import asyncio
import contextlib
import logging
import time
from typing import Final

from onecopy.execution.queues import Queues
from onecopy.execution.runtime import Runtime
from onecopy.execution.sweeper import LEASE
from onecopy.server.attempts import Attempts
from onecopy.server.places import Places
from onecopy.stores import Unavailable

_LOOK_EVERY: Final = 1.0
"""Seconds after which a worker that nobody rang looks by itself."""
_NOT_FOR_US: Final = 0.05
_logger = logging.getLogger("onecopy.jobs")


class Claims:
    """The loop that claims and starts attempts until it is told to stop."""

    def __init__(
        self,
        runtime: Runtime,
        worker: str,
        queues: Queues,
        attempts: Attempts,
        places: Places,
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._queues = queues
        self._attempts = attempts
        self._places = places
        self._free = asyncio.Event()
        attempts.on_free.append(self._free.set)
        self._wake = asyncio.Event()
        attempts.on_room.append(self._wake.set)
        self._stopping = False

    def stop(self) -> None:
        """Claim no more."""
        self._stopping = True
        self._free.set()
        self._wake.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopping:
            self._free.clear()
            limit = self._places.for_jobs()
            if limit == 0:
                await self._free.wait()
                continue
            limit = self._attempts.passing_over.most(limit)
            self._wake.clear()
            if await self._claim(limit) < limit:
                await self._wait_for_work()

    async def _claim(self, limit: int) -> int:
        """Claim so many jobs, at most, and start them; return their number."""
        now = time.time()
        try:
            jobs = await self._runtime.store.claim(
                self._worker,
                self._queues.order(),
                now=now,
                until=now + LEASE,
                limit=limit,
                without=self._attempts.passing_over.tasks,
            )
        except Unavailable as error:
            _logger.error("cannot claim: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._wake.wait()
            return limit
        self._queues.took(job.queue for job in jobs)
        for job in jobs:
            self._attempts.start(job)
        return len(jobs)

    async def _wait_for_work(self) -> None:
        """Wait for a ring, for the next job that becomes due, or for one to sweep."""
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        ring = loop.create_task(self._ring())
        due = loop.create_task(self._due())
        try:
            await self._wake.wait()
        finally:
            ring.cancel()
            due.cancel()

    async def _ring(self) -> None:
        await self._runtime.engine.wait_for_ring(self._queues.names, _LOOK_EVERY)
        self._wake.set()

    async def _due(self) -> None:
        """Wake up when the next job becomes due."""
        with contextlib.suppress(Unavailable):
            due = await self._runtime.store.next_due(
                self._queues.names, without=self._attempts.passing_over.tasks
            )
            if due is not None:
                # One that is due already and was not claimed has expired, or another has it.
                wait = due - time.time()
                await asyncio.sleep(wait if wait > 0 else _NOT_FOR_US)
                self._wake.set()
