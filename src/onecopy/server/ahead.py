"""How many sync jobs a worker may claim before their turn has come.

The main thread runs them one at a time; with one claim for each, a job that takes microseconds
would cost a write to the disk, and no other could begin meanwhile. So jobs are claimed ahead while
those of late were short, and what waits too long after all is given back, for other workers.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from onecopy.server.attempt import Attempt
from onecopy.server.line import Line

_MOST: Final = 32
_WORTH: Final = 0.020
"""Seconds of work that may be claimed ahead."""
_PATIENCE: Final = 0.050
"""Seconds that a task may run while others wait behind it."""
_SURPLUS: Final = 0.100
"""Seconds of work that may wait, if it turns out to be more than was thought."""
_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_SHARE: Final = 0.1
"""How much the last job counts in the mean."""


class Ahead:
    """Watches the line in front of the main thread."""

    def __init__(
        self,
        line: Line,
        running: Callable[[], Attempt | None],
        release: Callable[[Sequence[Attempt]], None],
    ) -> None:
        """Take the line, what tells the attempt that the main thread runs, and what gives back."""
        self._line = line
        self._running = running
        self._release = release
        self._window = 1
        self._mean = 0.0
        self._paused_until = 0.0
        self._pause = _PAUSE
        self._timer: asyncio.TimerHandle | None = None

    def room(self) -> int:
        """Return how many more may be claimed, if all of them were sync."""
        running = self._running()
        if running is not None and _runs_for(running) > _WORTH:
            return 0
        return self._allowed() - len(self._line) - (running is not None)

    def soon(self) -> bool:
        """Whether the main thread is free, or will be soon."""
        running = self._running()
        if running is None:
            return True
        return self._allowed() > 1 and _runs_for(running) <= _WORTH

    def _allowed(self) -> int:
        if time.monotonic() < self._paused_until:
            return 1
        return max(1, min(self._window, int(_WORTH / self._mean) if self._mean else _MOST))

    def ended(self, seconds: float) -> None:
        """Learn from a job: how long it had the main thread (an async one: 0)."""
        self._mean += _SHARE * (seconds - self._mean)
        self._window = min(_MOST, self._window + 1)

    def watch(self) -> None:
        """Look now and then whether those in line wait too long, for as long as there are any."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._look)

    def _look(self) -> None:
        self._timer = None
        running = self._running()
        if running is not None and _runs_for(running) > _PATIENCE:
            self._give_back(self._line.last(len(self._line)))
        elif len(self._line) * self._mean > _SURPLUS:
            surplus = self._line.last(len(self._line) - self._allowed())
            self._give_back([each for each in surplus if each.job.lease is not None])
        if self._line:
            self.watch()

    def _give_back(self, waiting: Sequence[Attempt]) -> None:
        withdrawn = [attempt for attempt in waiting if self._line.withdraw(attempt)]
        if not withdrawn:
            return
        now = time.monotonic()
        again = now - self._paused_until < _LONGEST_PAUSE
        self._pause = min(2 * self._pause, _LONGEST_PAUSE) if again else _PAUSE
        self._paused_until = now + self._pause
        self._window = 1
        self._release(withdrawn)


def _runs_for(attempt: Attempt) -> float:
    return 0.0 if attempt.begun_at is None else time.monotonic() - attempt.begun_at
