"""Until when, and with how much memory, a job worker may go on: on the scoreboard.

What a worker cannot stop itself (a task in C code, an async task that never awaits), the supervisor
kills by this.
"""

import heapq
import threading
import time
from itertools import count
from typing import Final

from onecopy.server.attempt import Attempt
from onecopy.server.scoreboard import Scoreboard

GRACE: Final = 5.0
"""Seconds that an attempt has after its time limit, or its cancellation, before it is killed."""


class Allowance:
    """Tells the supervisor the strictest bounds of the attempts that run; for both threads."""

    def __init__(self, scoreboard: Scoreboard, slot: int) -> None:
        self._scoreboard = scoreboard
        self._slot = slot
        self._lock = threading.Lock()
        self._ends: list[tuple[float, int, Attempt]] = []
        """A heap, in which some may be over."""
        self._numbers = count()
        self._limited: set[Attempt] = set()
        """Those with a limit of memory."""

    def begin(self, attempt: Attempt) -> None:
        """Hold an attempt that begins now to its bounds."""
        if attempt.job.timeout is not None:
            self._must_end(attempt, time.time() + attempt.job.timeout + GRACE)
        if attempt.task.declared.max_memory is not None:
            with self._lock:
                self._limited.add(attempt)
                self._publish_memory()

    def interrupt(self, attempt: Attempt) -> None:
        """Have an attempt killed that does not end soon."""
        self._must_end(attempt, time.time() + GRACE)

    def end(self, attempt: Attempt) -> None:
        """Let go of an attempt that is over."""
        if self._ends:
            with self._lock:
                self._publish_end()
        if attempt in self._limited:
            with self._lock:
                self._limited.discard(attempt)
                self._publish_memory()

    def _must_end(self, attempt: Attempt, at: float) -> None:
        with self._lock:
            heapq.heappush(self._ends, (at, next(self._numbers), attempt))
            self._publish_end()

    def _publish_end(self) -> None:
        while self._ends and self._ends[0][2].over_at is not None:
            heapq.heappop(self._ends)
        self._scoreboard.set_deadline(self._slot, self._ends[0][0] if self._ends else None)

    def _publish_memory(self) -> None:
        limits = [each.task.declared.max_memory or 0 for each in self._limited]
        self._scoreboard.set_memory_limit(self._slot, min(limits, default=None))
