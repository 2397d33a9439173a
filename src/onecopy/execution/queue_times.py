"""How long jobs wait in their queues, for answers that say when to ask again."""

import asyncio
import contextlib
import time
from typing import Final

from onecopy.stores import Store, Unavailable

_LOOK_AGAIN: Final = 1.0
"""Seconds after which the store is asked again."""


class QueueTimes:
    """Times as the store had them a moment ago: nobody who asks waits for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked_at = -_LOOK_AGAIN
        self._look: asyncio.Task[None] | None = None
        self._seconds: dict[str, float] = {}

    def of(self, queue: str) -> float | None:
        """Return how long a job of a queue waits for a worker, on average; None if unknown.

        Whoever asks when the last look was long ago has the next one made, in the background.
        """
        now = time.monotonic()
        idle = self._look is None or self._look.done()
        if idle and now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            self._look = asyncio.create_task(self._look_now(), name="onecopy: queue times")
        return self._seconds.get(queue)

    async def close(self) -> None:
        """End the look that is under way."""
        if self._look is not None:
            self._look.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._look

    async def _look_now(self) -> None:
        try:
            figures = await self._store.stats()
        except Unavailable:
            return  # What was measured last is the best that there is.
        self._seconds = {}
        for each in figures:
            if each.wait is not None:
                self._seconds[each.queue] = max(each.wait, self._seconds.get(each.queue, 0.0))
