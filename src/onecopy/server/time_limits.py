"""Notices that attempts reach their time limits: one timer for all of them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from onecopy.server.attempt import Attempt

_SLACK: Final = 0.001
"""Seconds that a timer may be early."""


class TimeLimits:
    """Wakes up when the first of the attempts could be at its limit, and looks at all of them.

    So one that ends in time costs nothing.
    """

    def __init__(
        self, attempts: Callable[[], Iterable[Attempt]], reached: Callable[[Attempt], None]
    ) -> None:
        self._attempts = attempts
        self._reached = reached
        self._timer: asyncio.TimerHandle | None = None
        self._at = float("inf")

    def watch(self, attempt: Attempt) -> None:
        """Watch an attempt that has begun, or begins later."""
        if attempt.job.timeout is not None:
            self._wake_at((attempt.begun_at or time.monotonic()) + attempt.job.timeout)

    def _wake_at(self, at: float) -> None:
        if at >= self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - time.monotonic()), self._look)

    def _look(self) -> None:
        self._timer, self._at = None, float("inf")
        now = time.monotonic()
        for attempt in self._attempts():
            limit = attempt.job.timeout
            if limit is None or attempt.interrupt is not None or attempt.over_at is not None:
                continue
            ends = (now if attempt.begun_at is None else attempt.begun_at) + limit
            if ends <= now + _SLACK:
                self._reached(attempt)
            else:
                self._wake_at(ends)
