"""Claims jobs for a job worker, as many as it has free places.

Where the engine's rings name jobs, these are claimed, and the store is looked into once a second:
for retries, for what was delayed, and for what nobody was told of. Otherwise it is asked for
whatever is next.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final

from onecopy.engines import Rung
from onecopy.execution.lease import LEASE
from onecopy.execution.queues import Queues
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Claim, Job, Lease, new_token
from onecopy.server.attempts import Attempts
from onecopy.server.doubts import Doubts
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
        self._rung: Sequence[Rung] = ()
        self._heard = False
        """Whether a ring has named jobs since the store was last looked into."""
        self._look_at = 0.0
        """When the store is to be looked into, whoever rings (monotonic)."""
        self._doubts = Doubts(
            lambda: runtime.store.running(worker), attempts.knows, attempts.give_back
        )
        self._stopping = False
        self._said: str | None = None
        """Why nothing can be claimed, as it was said; None while the store answers."""

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping

    def stop(self) -> None:
        """Claim no more."""
        self._stopping = True
        self._free.set()
        self._wake.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopping:
            await self._doubts.look()
            self._free.clear()
            limit = self._places.for_jobs()
            if limit == 0:
                await self._wait_for_a_place()
                continue
            limit = self._attempts.passing_over.most(limit)
            self._wake.clear()
            if self._rung or time.monotonic() < self._look_at:
                claimed = await self._claim_rung()
            else:
                claimed = await self._claim(limit)
            if claimed < limit:
                await self._wait_for_work(limit - claimed)
        await self._doubts.settle()

    async def _wait_for_a_place(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._doubts.wait()):
                await self._free.wait()

    async def _claim_rung(self) -> int:
        """Claim the jobs that were named and start them; return their number."""
        rung, self._rung = self._rung, ()
        ours = [job for job, task in rung if self._attempts.takes(job, task)]
        claimed = await self._claim_these(ours) if ours else []
        # An answer of the store, or none at all: what was not claimed is found there.
        await self._runtime.engine.claimed()
        self._start(claimed)
        return len(claimed)

    async def _claim_these(self, jobs: Sequence[str]) -> list[Job]:
        """Claim jobs by their ids: those that are due, and nobody has."""
        until = time.time() + LEASE
        claims = [(job, Claim(Lease(new_token(), self._worker, until))) for job in jobs]
        try:
            answers = await self._runtime.store.change(claims, now=time.time())
        except Unavailable as error:
            await self._pause(error)
            return []
        self._said = None
        claimed = [answer for answer in answers if isinstance(answer, Job)]
        if len(claimed) < len(jobs):  # One that is not due yet is named once.
            await self._plan_look()
        return claimed

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
            await self._pause(error)
            return limit
        self._said = None
        self._start(jobs)
        if self._runtime.engine.names_jobs:
            heard, self._heard = self._heard, False
            if len(jobs) < limit or heard:
                await self._plan_look()
            else:  # There may be more, and the engine brings none.
                self._look_at = time.monotonic() + _NOT_FOR_US
        return len(jobs)

    async def _plan_look(self) -> None:
        """Look when the next job becomes due; what is due by then has been named, most likely."""
        wait = _LOOK_EVERY
        with contextlib.suppress(Unavailable):
            due = await self._next_due()
            wait = wait if due is None else min(wait, max(_NOT_FOR_US, due - time.time()))
        self._look_at = time.monotonic() + wait

    def _start(self, jobs: Sequence[Job]) -> None:
        self._queues.took(job.queue for job in jobs)
        for job in jobs:
            self._attempts.start(job)

    async def _pause(self, error: Unavailable) -> None:
        self._doubts.add()
        if str(error) != self._said:
            self._said = str(error)
            _logger.error("cannot claim: %s", error)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY):
                await self._wake.wait()

    async def _wait_for_work(self, limit: int) -> None:
        """Wait for a ring, for the next job that becomes due, or for one to sweep."""
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(self._ring(limit))]
        if not self._runtime.engine.names_jobs:
            waits.append(loop.create_task(self._due()))
        try:
            await self._wake.wait()
        finally:
            for wait in waits:
                wait.cancel()

    async def _ring(self, limit: int) -> None:
        engine = self._runtime.engine
        seconds = max(0.0, self._look_at - time.monotonic()) if engine.names_jobs else _LOOK_EVERY
        rung = await engine.wait_for_ring(self._queues.names, seconds, limit=limit)
        self._rung = rung or ()
        self._heard = self._heard or bool(rung)
        self._wake.set()

    async def _next_due(self) -> float | None:
        return await self._runtime.store.next_due(
            self._queues.names, without=self._attempts.passing_over.tasks
        )

    async def _due(self) -> None:
        """Wake up when the next job becomes due."""
        with contextlib.suppress(Unavailable):
            due = await self._next_due()
            if due is not None:
                # One that is due already and was not claimed has expired, or another has it.
                wait = due - time.time()
                await asyncio.sleep(wait if wait > 0 else _NOT_FOR_US)
                self._wake.set()
