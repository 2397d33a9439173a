"""Keeps the leases of a job worker's attempts, and ends the attempts where that cannot be done.

A worker of another host takes over an attempt whose lease is over. A host that cannot reach the
store has to have ended it by then, with some seconds to spare: clocks differ, and a task that does
not end is killed only after a grace. Where all workers are of one host nobody takes over from one
that lives, and attempts go on however long the store is away.
"""

import asyncio
import logging
import time
from typing import Final

from onecopy.errors import LeaseLost
from onecopy.execution.lease import LEASE
from onecopy.execution.runtime import Runtime
from onecopy.server.allowance import GRACE
from onecopy.server.attempts import Attempts
from onecopy.server.recorder import Recorder
from onecopy.stores import Unavailable

_EVERY: Final = 1.0
_PATIENCE: Final = 2.0
"""Seconds that the store may take to answer."""
_SPARE: Final = GRACE + 3.0
_logger = logging.getLogger("onecopy.jobs")


class LeaseKeeping:
    """Lengthens the leases once a second."""

    def __init__(
        self, runtime: Runtime, worker: str, attempts: Attempts, recorder: Recorder
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._attempts = attempts
        self._recorder = recorder
        self._kept_at = time.monotonic()

    async def run(self) -> None:
        """Keep them until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            if self._attempts or self._recorder:
                await self._keep()
            if not self._runtime.store_is_here:
                self._end_overdue()

    async def _keep(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._runtime.store.extend([self._worker], until=time.time() + LEASE)
        except (Unavailable, TimeoutError) as error:
            _logger.error("cannot keep the leases of jobs: %s", error or "no answer of the store")
        except Exception:
            _logger.exception("cannot keep the leases of jobs")
        else:
            self._kept_at = began

    def _end_overdue(self) -> None:
        """End what was claimed, and last kept, too long ago."""
        before = time.monotonic() - (LEASE - _SPARE)
        if self._kept_at > before:
            return
        for attempt in self._attempts.claimed_before(before):
            _logger.error("job %s: the store cannot be reached, its lease ends", attempt.job.id)
            self._attempts.interrupt(attempt, LeaseLost(attempt.job.id))
