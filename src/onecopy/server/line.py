"""Sync attempts that wait for the main thread, in line."""

import queue
from collections import deque

from onecopy.server.attempt import Attempt


class Line:
    """Filled by the agent's thread, emptied by the main thread; either may be first.

    Whoever takes an attempt out of `_waiting` has it: a dict gives an entry away once.
    """

    def __init__(self) -> None:
        self._attempts: deque[Attempt] = deque()
        self._waiting: dict[Attempt, None] = {}
        self._bell: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, attempt: Attempt, *, first: bool = False) -> None:
        """Put an attempt at the end of the line, or before all others."""
        self._waiting[attempt] = None
        if first:
            self._attempts.appendleft(attempt)
        else:
            self._attempts.append(attempt)
        self._bell.put(True)

    def take(self) -> Attempt | None:
        """Wait for the next attempt and take it; None once the line is closed and empty."""
        while self._bell.get():
            attempt = self._attempts.popleft()
            if self._take(attempt):
                return attempt
        return None

    def withdraw(self, attempt: Attempt) -> bool:
        """Take an attempt out of the line, unless the main thread has it already."""
        return self._take(attempt)

    def last(self, count: int) -> list[Attempt]:
        """Return the last so many."""
        return [*self._waiting][max(0, len(self._waiting) - count) :]

    def close(self) -> None:
        """Let `take` return None after what is in line now."""
        self._bell.put(False)

    def _take(self, attempt: Attempt) -> bool:
        try:
            del self._waiting[attempt]
        except KeyError:
            return False
        return True
