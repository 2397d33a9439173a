"""What a job worker does for all besides its attempts: it sweeps, and records who was lost."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from onecopy.execution.runtime import Runtime
from onecopy.execution.sweeper import PolicyOf, Sweeper
from onecopy.jobs import Failure
from onecopy.stores import Unavailable

_EVERY: Final = 1.0
_BURY_EVERY: Final = 2
_RETRY_STORE: Final = 0.2
_logger = logging.getLogger("onecopy.jobs")


class Sweeping:
    """Sweeps once a second, at odd times: others do too."""

    def __init__(
        self,
        runtime: Runtime,
        policy_of: PolicyOf,
    ) -> None:
        self._sweeper = Sweeper(runtime, policy_of)
        self._swept = 0

    async def run(self, besides: Callable[[], Awaitable[None]]) -> None:
        """Sweep until cancelled, and do something else each time."""
        while True:
            await asyncio.sleep(_EVERY * random.uniform(0.7, 1.3))
            try:
                await self._sweep()
                await besides()
            except Unavailable as error:
                _logger.error("cannot sweep: %s", error)
            except Exception:
                _logger.exception("cannot sweep")

    async def _sweep(self) -> None:
        if self._swept % _BURY_EVERY == 0:
            await self._sweeper.bury()
        self._swept += 1
        await self._sweeper.sweep()

    async def lose(self, worker: str, reason: str, begun: list[int] | None) -> None:
        """Record the end of another worker of this run, as the supervisor saw it."""
        failure = Failure("WorkerLost", reason)
        while True:
            try:
                await self._sweeper.lose_worker(worker, failure, begun)
                return
            except Unavailable:
                await asyncio.sleep(_RETRY_STORE)
            except Exception:
                # Nobody else would fare better: what is left is ended when its lease is over.
                _logger.exception("what a lost worker had cannot be ended")
                return
