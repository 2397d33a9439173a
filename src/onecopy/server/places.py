"""How many attempts may begin in a job worker."""

from collections.abc import Callable, Iterable
from typing import Any

from onecopy.server.attempts import Attempts
from onecopy.tasks import Task


class Places:
    """Counts the free places.

    Sync tasks run one at a time, async ones side by side. What a claim will bring is not known
    before: where there are sync tasks, it brings one job at a time.
    """

    def __init__(
        self, tasks: Iterable[Task[..., Any]], concurrency: int, attempts: Attempts
    ) -> None:
        self._only_async = all(task.is_async for task in tasks)
        self._concurrency = concurrency
        self._attempts = attempts
        self.coming: Callable[[], int] = lambda: 0
        """Tells how many calls were accepted and have not begun."""

    def free(self) -> int:
        """Return how many attempts may begin: one where it could be a sync one."""
        if self._attempts.main_thread_is_busy:
            return 0
        coming = self.coming()
        free = self._concurrency - len(self._attempts) - coming
        if self._only_async:
            return max(0, free)
        return 0 if coming else max(0, min(free, 1))
