"""Keeps those who report progress over HTTP to the pace that job workers keep."""

import asyncio
import time
from collections import OrderedDict
from typing import Final

from onecopy.execution.pace import pace
from onecopy.jobs import Job

_KNOWN: Final = 10_000


class Paces:
    """When each job's progress was reported last, of those that were of late."""

    def __init__(self) -> None:
        self._told_at: OrderedDict[str, float] = OrderedDict()

    async def wait(self, job: Job) -> None:
        """Wait until a job's progress is worth an event again: nothing is left out so."""
        running = time.time() - (job.started_at or job.created_at)
        due = self._told_at.get(job.id, 0.0) + pace(running)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        self._told_at[job.id] = time.monotonic()
        self._told_at.move_to_end(job.id)
        if len(self._told_at) > _KNOWN:
            self._told_at.popitem(last=False)
