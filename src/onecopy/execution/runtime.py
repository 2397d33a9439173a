"""Store and engine of one process and event loop: accept jobs, look them up, follow them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence

from onecopy.engines import Engine
from onecopy.execution.calls import Caller
from onecopy.execution.distant_calls import DistantHosts
from onecopy.execution.events import End, Following, Listener, events_of
from onecopy.execution.hub import Hub
from onecopy.execution.ports import Call
from onecopy.execution.queue_times import QueueTimes
from onecopy.jobs import Cancel, Change, Event, Job, NotAllowed
from onecopy.stores import RING_SOON, Store, Unavailable, change_one, joinable


class Runtime:
    """Brings jobs into the store and answers about them; all who follow jobs share one hub."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        folder: str,
        *,
        distant: DistantHosts | None = None,
        store_is_here: bool = True,
        store_tells: bool = False,
        store_rings: bool = False,
    ) -> None:
        """Take a store, an engine, and the state folder that this host's workers share.

        distant: other hosts, where calls may go there. store_is_here: all that use the store are
            processes of this host. store_tells: it tells changes by itself. store_rings: it rings
            by itself for what it accepts.
        """
        self.store_is_here = store_is_here
        self.store = store
        self._store_tells = store_tells
        self._store_rings = store_rings
        self.engine = engine
        self.on_deliveries: Callable[[], None] | None = None
        """Called when a change has recorded deliveries of webhooks."""
        self._caller = Caller(folder, distant)
        self._queue_times = QueueTimes(store)
        self._hub = Hub(store, engine.changes)

    async def open(self) -> None:
        """Open store and engine. Raises Unavailable."""
        await self.store.open()
        await self.engine.open()

    async def close(self) -> None:
        """Let go of both; who still waits or follows is told by Unavailable."""
        await self._hub.close()
        await self._queue_times.close()
        await self.engine.close()
        await self.store.close()

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, durable once this returns, and wake workers for them.

        Raises QueueFull, IdempotencyConflict, Unavailable, as `Store.accept` does.
        """
        self._hub.expect(job.id for job in jobs)
        accepted = await self.store.accept(jobs, max_queued=max_queued)
        new = zip(jobs, accepted, strict=True)
        if not self._store_rings:
            await self._ring_for([job for asked, job in new if job.id == asked.id])
        return accepted

    async def accept_in(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Record jobs in a transaction of the caller's own; raises as the port says."""
        return await joinable(self.store).accept_in(connection, jobs, max_queued=max_queued)

    def accept_in_sync(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Record jobs by a connection that blocks; raises as the port says."""
        return joinable(self.store).accept_in_sync(connection, jobs, max_queued=max_queued)

    async def job(self, job: str) -> Job | None:
        """Return a job as it is now; None if there is none."""
        found = await self.store.get([job])
        return found[0] if found else None

    async def change(self, job: str, change: Change, *, now: float | None = None) -> Job:
        """Change a job and tell whoever follows it. Raises as `Store.change` does."""
        changed = await change_one(self.store, job, change, now=time.time() if now is None else now)
        await self.changed([changed])
        return changed

    async def change_all(
        self, changes: Sequence[tuple[str, Change]]
    ) -> list[Job | NotAllowed | KeyError]:
        """Apply changes of jobs, as `Store.change` does, and tell whoever follows them."""
        answers = await self.store.change(changes, now=time.time())
        await self.changed([answer for answer in answers if isinstance(answer, Job)])
        return answers

    async def changed(self, jobs: Sequence[Job]) -> None:
        """Tell whoever follows jobs that they have changed, and wake workers for those queued."""
        if jobs and not self._store_tells:
            await self.engine.tell([job.id for job in jobs])
        if self.on_deliveries is not None and any(job.callbacks and job.final for job in jobs):
            self.on_deliveries()
        ended = (job for job in jobs if job.final and job.order is not None)
        await self._ring_for((*(job for job in jobs if job.status == "queued"), *ended))

    async def _ring_for(self, jobs: Collection[Job]) -> None:
        """Wake workers for what is queued and due, or nearly: they see to the rest.

        Of an order it is for the one whose turn it is now.
        """
        orders = {job.order for job in jobs if job.order is not None}
        jobs = [job for job in jobs if job.order is None]
        if orders:
            with contextlib.suppress(Unavailable):
                jobs += await self.store.in_turn([*orders])
        soon = time.time() + RING_SOON
        due = [job for job in jobs if job.due_at <= soon]
        if due:
            await self.engine.ring(due)

    async def cancel(self, job: str) -> Job:
        """Cancel a job, or ask its attempt to end. Raises KeyError for an unknown one."""
        return await self.change(job, Cancel())

    async def wait(self, job: str, seconds: float | None) -> Job:
        """Return a job once it is final, or as it is after so many seconds.

        Raises KeyError for an unknown job.
        """
        end = End()
        # Before the first look, so that no end in between is missed.
        place = self._hub.follow_end(job, end)
        try:
            if not self._hub.is_fresh(job):
                found = await self._found(job)
                if found.final:
                    return found
                place.number = found.version
            place.seen = True
            try:
                async with asyncio.timeout(seconds):
                    return await end.future
            except TimeoutError:
                return await self._found(job)
        finally:
            place.stop()

    async def _found(self, job: str) -> Job:
        found = await self.job(job)
        if found is None:
            raise KeyError(job)
        return found

    def events(self, job: str, after: int = -1) -> AsyncGenerator[Event]:
        """Yield the events of a job with numbers over one, until it has ended; as the port says."""
        return events_of(self._hub.follow, job, after)

    def follow(self, job: str, after: int, listener: Listener) -> Following:
        """Tell a listener the events of a job with numbers over one; as the port says."""
        return self._hub.follow(job, after, listener)

    async def call(self, call: Call) -> str:
        """Run a task in a job worker now; as `ports.Runtime.call`."""
        return await self._caller.call(call)

    async def ask_here(self, question: bytes) -> bytes:
        """Have a job worker of this host answer what a caller of another one asks."""
        return await self._caller.answer_here(question)

    async def queue_seconds(self, queue: str) -> float | None:
        """Return how long jobs of a queue wait for a worker on average, as of a moment ago."""
        return self._queue_times.of(queue)
