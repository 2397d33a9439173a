"""Notices that somebody cancels a job that runs in this worker."""

import contextlib
from collections.abc import Sequence

from onecopy.execution.runtime import Runtime
from onecopy.server.attempts import Attempts
from onecopy.stores import Unavailable


class Cancellations:
    """Follows changes of jobs, and ends the attempts of those that are to be cancelled."""

    def __init__(self, runtime: Runtime, attempts: Attempts) -> None:
        self._runtime = runtime
        self._attempts = attempts

    async def follow(self) -> None:
        """Follow changes until cancelled."""
        async for job in self._runtime.engine.changes():
            if job in self._attempts:
                await self._look_at([job])

    async def look(self) -> None:
        """Look at all that run, in case that a change was not told."""
        jobs = self._attempts.jobs
        if jobs:
            await self._look_at(jobs)

    async def _look_at(self, jobs: Sequence[str]) -> None:
        with contextlib.suppress(Unavailable):
            for job in await self._runtime.store.get(jobs):
                if job.cancelling:
                    self._attempts.cancel(job.id)
