"""Store and engine of one process and event loop: accept jobs, look them up, wait for them."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from onecopy.engines import Engine
from onecopy.execution import calls
from onecopy.execution.ports import Call
from onecopy.execution.queue_times import QueueTimes
from onecopy.jobs import Cancel, Change, Job
from onecopy.stores import Store, Unavailable, change_one

_LOOK_AGAIN: Final = 1.0
"""Seconds after which waiters ask the store, in case that a word of the engine was lost."""


class Runtime:
    """Brings jobs into the store and answers about them.

    All waiters of a process share one subscription and, at most once a second, one query.
    """

    def __init__(self, store: Store, engine: Engine, folder: str) -> None:
        """Take a store, an engine, and the state folder that this host's workers share."""
        self.store = store
        self.engine = engine
        self.on_deliveries: Callable[[], None] | None = None
        """Called when a change has recorded deliveries of webhooks."""
        self._folder = folder
        self._queue_times = QueueTimes(store)
        self._waiting: dict[str, set[asyncio.Future[Job]]] = defaultdict(set)
        self._follower: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._news: set[str] = set()

    async def open(self) -> None:
        """Open store and engine. Raises Unavailable."""
        await self.store.open()
        await self.engine.open()

    async def close(self) -> None:
        """Let go of both; who still waits is told by CancelledError."""
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
            self._follower = None
        await self._queue_times.close()
        await self.engine.close()
        await self.store.close()

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, durable once this returns, and wake workers for them.

        Raises QueueFull, IdempotencyConflict, Unavailable, as `Store.accept` does.
        """
        accepted = await self.store.accept(jobs, max_queued=max_queued)
        now = time.time()
        rings: dict[str, int] = defaultdict(int)
        for asked, job in zip(jobs, accepted, strict=True):
            if job.id == asked.id and job.due_at <= now:
                rings[job.queue] += 1
        for queue, count in rings.items():
            await self.engine.ring(queue, count)
        return accepted

    async def job(self, job: str) -> Job | None:
        """Return a job as it is now; None if there is none."""
        found = await self.store.get([job])
        return found[0] if found else None

    async def change(self, job: str, change: Change, *, now: float | None = None) -> Job:
        """Change a job and tell whoever follows it. Raises as `Store.change` does."""
        changed = await change_one(self.store, job, change, now=time.time() if now is None else now)
        await self.engine.tell(job)
        if changed.callbacks and changed.final and self.on_deliveries is not None:
            self.on_deliveries()
        return changed

    async def cancel(self, job: str) -> Job:
        """Cancel a job, or ask its attempt to end. Raises KeyError for an unknown one."""
        return await self.change(job, Cancel())

    async def wait(self, job: str, seconds: float | None) -> Job:
        """Return a job once it is final, or as it is after so many seconds.

        Raises KeyError for an unknown job.
        """
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        # Before the first look, so that no change in between is missed.
        self._waiting[job].add(future)
        self._follow()
        try:
            found = await self.job(job)
            if found is None:
                raise KeyError(job)
            if found.final:
                return found
            try:
                async with asyncio.timeout(seconds):
                    return await future
            except TimeoutError:
                return await self.job(job) or found
        finally:
            self._waiting[job].discard(future)
            if not self._waiting[job]:
                del self._waiting[job]

    async def call(self, call: Call) -> str:
        """Run a task in a job worker of this host now; as `ports.Runtime.call`."""
        return await calls.send(self._folder, call)

    async def queue_seconds(self, queue: str) -> float | None:
        """Return how long jobs of a queue wait for a worker on average, as of a moment ago."""
        return self._queue_times.of(queue)

    def _follow(self) -> None:
        if self._follower is None or self._follower.done():
            self._follower = asyncio.create_task(self._tell_waiters(), name="onecopy: waiters")

    async def _tell_waiters(self) -> None:
        listener = asyncio.create_task(self._listen(), name="onecopy: changes")
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await self._changed.wait()
                self._changed.clear()
                news, self._news = self._news, set()
                ids = [job for job in (news or self._waiting) if job in self._waiting]
                if ids:
                    await self._look(ids)
        finally:
            listener.cancel()

    async def _listen(self) -> None:
        async for job in self.engine.changes():
            if job in self._waiting:
                self._news.add(job)
                self._changed.set()

    async def _look(self, ids: list[str]) -> None:
        try:
            found = await self.store.get(ids)
        except Unavailable:
            return  # The next look may succeed; each waiter has its own limit.
        for job in found:
            if job.final:
                for future in self._unanswered(job.id):
                    future.set_result(job)
        for gone in set(ids).difference(job.id for job in found):
            for future in self._unanswered(gone):
                future.set_exception(KeyError(gone))

    def _unanswered(self, job: str) -> list[asyncio.Future[Job]]:
        return [future for future in self._waiting.get(job, ()) if not future.done()]
