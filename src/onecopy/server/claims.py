"""Claims jobs for a job worker, as many as it has free places."""

import asyncio
import contextlib
import logging
import time
from typing import Any, Final

from onecopy.execution.queues import Queues
from onecopy.execution.runtime import Runtime
from onecopy.execution.sweeper import LEASE
from onecopy.jobs import Job
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
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim no more."""
        self._stopping.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopping.is_set():
            free = self._places.free()
            if free == 0:
                await self._wait(self._free)
                continue
            jobs = await self._claim(free)
            for job in jobs:
                self._attempts.start(job)
            if not jobs:
                await self._wait_for_work()

    async def _claim(self, limit: int) -> list[Job]:
        now = time.time()
        try:
            jobs = await self._runtime.store.claim(
                self._worker, self._queues.order(), now=now, until=now + LEASE, limit=limit
            )
        except Unavailable as error:
            _logger.error("cannot claim: %s", error)
            await asyncio.sleep(_LOOK_EVERY)
            return []
        self._queues.took(job.queue for job in jobs)
        return jobs

    async def _wait_for_work(self) -> None:
        """Wait for a ring, for the next job that becomes due, or for one to sweep."""
        seconds = _LOOK_EVERY
        with contextlib.suppress(Unavailable):
            due = await self._runtime.store.next_due(self._queues.names)
            if due is not None:
                # One that is due already and was not claimed has expired, or another has it.
                wait = due - time.time()
                seconds = min(seconds, wait if wait > 0 else _NOT_FOR_US)
        ring = asyncio.ensure_future(
            self._runtime.engine.wait_for_ring(self._queues.names, seconds)
        )
        await self._wait(self._free, ring)

    async def _wait(self, event: asyncio.Event, other: asyncio.Future[bool] | None = None) -> None:
        """Wait for an event, for something else, or for the order to stop."""
        event.clear()
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(event.wait()),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        if other is not None:
            waits.append(other)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
