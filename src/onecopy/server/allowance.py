"""Until when, and with how much memory, a job worker may go on: on the scoreboard.

What a worker cannot stop itself (a task in C code, an async task that never awaits), the supervisor
kills by this.
"""

from collections.abc import Iterable
from typing import Final

from onecopy.server.attempt import Attempt
from onecopy.server.scoreboard import Scoreboard

GRACE: Final = 5.0
"""Seconds that an attempt has after its time limit, or its cancellation, before it is killed."""


class Allowance:
    """Tells the supervisor what the attempts of one worker may have."""

    def __init__(self, scoreboard: Scoreboard, slot: int) -> None:
        self._scoreboard = scoreboard
        self._slot = slot

    def publish(self, attempts: Iterable[Attempt]) -> None:
        """Publish the strictest bounds of those whose task has not ended."""
        running = [attempt for attempt in attempts if not attempt.over]
        limits = [memory for each in running if (memory := each.task.declared.max_memory)]
        ends = [end for each in running for end in _ends(each)]
        self._scoreboard.set_memory_limit(self._slot, min(limits, default=None))
        self._scoreboard.set_deadline(self._slot, min(ends, default=None))


def _ends(attempt: Attempt) -> Iterable[float]:
    job = attempt.job
    if job.timeout is not None and job.started_at is not None:
        yield job.started_at + job.timeout + GRACE
    if attempt.kill_at is not None:
        yield attempt.kill_at
