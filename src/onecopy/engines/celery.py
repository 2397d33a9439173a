"""The Celery engine: a message of Celery's own for each job, to workers of either kind.

`celery -A app:shared.celery worker` runs them in Celery's pool of processes (`onecopy.celery`);
`onecopy worker` and `onecopy run` hear of them here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from onecopy.engines.base import Engine, Rung
from onecopy.engines.celery_app import given
from onecopy.engines.outbox import Outbox
from onecopy.engines.presence import Presence

if TYPE_CHECKING:
    from celery import Celery

    from onecopy.engines.celery_consumer import Consumer
    from onecopy.engines.celery_publisher import Publisher
    from onecopy.jobs import Job

_AT_ONCE: Final = 64
_RETRY: Final = 0.5
_LAST_MOMENTS: Final = 2.0


class CeleryEngine:
    """Publishes in the background; changes go by the store's own engine."""

    def __init__(self, app: Celery, own: Engine) -> None:
        """Take the app whose broker it is, and the engine that changes go by."""
        self._app = app
        self._own = own
        self._presence = Presence(f"the broker of Celery ({app.connection_for_write().as_uri()})")
        self._outbox: Outbox[Job] | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._publisher: Publisher | None = None
        self._consumer: Consumer | None = None
        self._early: set[asyncio.TimerHandle] = set()

    @property
    def names_jobs(self) -> bool:
        """Each message is of one job."""
        return True

    async def open(self) -> None:
        """Begin to publish; the broker need not be there."""
        if self._publishing is None:
            from onecopy.engines.celery_publisher import Publisher

            await self._own.open()
            self._outbox = Outbox(self._presence.broker)
            self._thread = ThreadPoolExecutor(1, "onecopy-celery-out")
            self._publisher = Publisher(self._app)
            self._publishing = asyncio.create_task(self._publish(), name="onecopy: publish")

    async def close(self) -> None:
        """Publish what waits, unless that takes long, and let go."""
        publishing, self._publishing = self._publishing, None
        if publishing is not None and self._outbox is not None and self._thread is not None:
            await self._outbox.emptied(_LAST_MOMENTS)
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            assert self._publisher is not None
            self._thread.submit(self._publisher.close)
            await asyncio.to_thread(self._thread.shutdown)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()
        for timer in self._early:
            timer.cancel()
        self._early.clear()
        await self._own.close()

    # Rings.

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Have a message published for each; one that is due in a moment is published then."""
        assert self._outbox is not None, "the engine is not open"
        now = time.time()
        due = [job for job in jobs if job.due_at <= now]
        self._outbox.put(due)
        if len(due) < len(jobs):
            for job in jobs:
                if job.due_at > now:
                    self._later(job, job.due_at - now)

    def _later(self, job: Job, seconds: float) -> None:
        def put() -> None:
            self._early.discard(timer)
            if self._outbox is not None:
                self._outbox.put([job])

        timer = asyncio.get_running_loop().call_later(seconds, put)
        self._early.add(timer)

    async def _publish(self) -> None:
        assert self._outbox is not None
        assert self._publisher is not None
        from onecopy.engines.celery_publisher import Unpublished

        loop = asyncio.get_running_loop()
        while True:
            jobs = await self._outbox.take(_AT_ONCE)
            try:
                await loop.run_in_executor(self._thread, self._publisher.publish, jobs)
            except Unpublished as error:
                self._presence.gone("publisher", error.reason)
                self._outbox.settle(error.left)
                await asyncio.sleep(_RETRY)
            else:
                self._presence.there("publisher")
                self._outbox.settle()

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Take what the consumer has received; it starts with the first wait.

        An app of the user's own has messages that are not ours, which would be lost here: they are
        all left to its own workers.
        """
        if self._app is given():
            await asyncio.sleep(seconds)
            return None
        consumer = self._consumer
        if consumer is None:
            from onecopy.engines.celery_consumer import Consumer

            consumer = self._consumer = Consumer(self._app, queues, self._presence)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await consumer.some.wait()
        return consumer.take(limit) or None

    async def claimed(self) -> None:
        """Acknowledge."""
        if self._consumer is not None:
            self._consumer.claimed()

    # Changes.

    async def tell(self, jobs: Sequence[str]) -> None:
        """Tell by the store's own engine."""
        await self._own.tell(jobs)

    def changes(self) -> AsyncIterator[str]:
        """Follow by the store's own engine."""
        return self._own.changes()
