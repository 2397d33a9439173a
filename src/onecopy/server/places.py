"""How many attempts may begin in a job worker."""

from collections.abc import Callable, Iterable
from typing import Any

from onecopy.server.attempts import Attempts
from onecopy.tasks import Task


class Places:
    """Counts the free places.

    Sync tasks run one at a time, async ones side by side. What a claim will bring is not known
    before: where there are sync tasks, it may bring nothing else.
    """

    def __init__(
        self, tasks: Iterable[Task[..., Any]], concurrency: int, attempts: Attempts
    ) -> None:
        self._only_async = all(task.is_async for task in tasks)
        self._concurrency = concurrency
        self._attempts = attempts
        self.coming: Callable[[], int] = lambda: 0
        """Tells how many calls were accepted and have not begun."""

    def for_jobs(self) -> int:
        """Return how many jobs may be claimed."""
        free = self._on_event_loop()
        if not self._only_async:
            free = min(free, self._attempts.ahead.room() - self.coming())
        return max(0, free)

    def for_call(self) -> bool:
        """Return whether a call may be accepted: it goes before all jobs that wait."""
        if self._on_event_loop() <= 0:
            return False
        return self._only_async or (self.coming() == 0 and self._attempts.ahead.soon())

    def _on_event_loop(self) -> int:
        return self._concurrency - self._attempts.on_event_loop - self.coming()
