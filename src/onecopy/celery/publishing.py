"""What the keeper publishes: retries and delayed jobs when they are due, and what was never heard.

Celery's children hear of a job by its message alone. Who accepted it has published that, unless the
broker was away and the process has ended since; a delayed job, and one to be tried again, nobody
publishes before it is due. So the keeper looks at what is due in the store, again and again:

- what has become due since it was accepted is published at once;
- the rest, once it has been due for a while and has not begun: its message may be lost, or wait in
  a long queue. Being published twice does no harm, so it is bounded and not exact.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from onecopy.execution.runtime import Runtime
    from onecopy.jobs import Job
    from onecopy.tasks import Task

_EVERY: Final = 1.0
_SOONEST: Final = 0.02
_PATIENCE: Final = 2.0
"""Seconds that a job is due before its message is taken for lost."""
_FIRST_PAUSE: Final = 8.0
_LONGEST_PAUSE: Final = 300.0
_AT_ONCE: Final = 500
_DELAYED: Final = 1.0
"""Seconds between acceptance and due, over which nobody has published a job (`Runtime`)."""


class Publishing:
    """Remembers what it has published, and when."""

    def __init__(
        self, runtime: Runtime, queues: Sequence[str], tasks: Mapping[str, Task[..., Any]]
    ) -> None:
        """Take the queues that this worker consumes, and the tasks that it knows."""
        self._runtime = runtime
        self._queues = queues
        self._tasks = tasks
        self._unknown: list[str] = []
        self._published: dict[str, tuple[int, float, float]] = {}
        """By job: the version that was published, when, and how long to wait after that."""

    async def run(self) -> None:
        """Look until cancelled. Raises Unavailable, and what the store raises else."""
        wait = 0.0
        while True:
            await asyncio.sleep(wait)
            wait = max(_SOONEST, await self._look())

    async def _look(self) -> float:
        """Publish what is to be; return in how many seconds to look again."""
        now = time.time()
        store = self._runtime.store
        due = await store.due(self._queues, now=now, limit=_AT_ONCE, without=self._unknown)
        self._forget(due)
        wanted = [job for job in due if self._wanted(job, now)]
        if wanted:
            await self._runtime.engine.ring(wanted)
        following = await store.next_due(self._queues, without=self._unknown)
        # At odd times: others may look too.
        wait = _EVERY * random.uniform(0.8, 1.2)
        return wait if following is None or following <= now else min(wait, following - now)

    def _wanted(self, job: Job, now: float) -> bool:
        if job.task not in self._tasks:
            if job.task not in self._unknown:
                self._unknown.append(job.task)
            return False
        version, at, pause = self._published.get(job.id, (-1, 0.0, 0.0))
        if version != job.version:
            if self._is_published(job) and now - job.due_at < _PATIENCE:
                return False
            pause = _FIRST_PAUSE / 2
        elif now - at < pause:
            return False
        self._published[job.id] = (job.version, now, min(2 * pause, _LONGEST_PAUSE))
        return True

    def _is_published(self, job: Job) -> bool:
        """Whether somebody has published it, or has tried: who accepted it, or Celery a retry."""
        if job.attempt and self._tasks[job.task].adopted:
            return True
        return job.due_at - job.created_at <= _DELAYED

    def _forget(self, due: Sequence[Job]) -> None:
        """What is not due any more has begun."""
        if len(due) < _AT_ONCE:
            ids = {job.id for job in due}
            self._published = {job: kept for job, kept in self._published.items() if job in ids}
        elif len(self._published) > 20 * _AT_ONCE:
            self._published.clear()
