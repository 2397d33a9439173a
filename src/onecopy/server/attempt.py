"""An attempt in this job worker: the job, how its task is run, and how it is made to end."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from onecopy.errors import JobInterrupted
from onecopy.execution.attempt import Outcome
from onecopy.jobs import Job
from onecopy.server.log_lines import listen
from onecopy.server.said import Said
from onecopy.tasks import Task, prepare


class NotBegun(Exception):
    """A call was given back before it began: another worker may have a place for it."""


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt of a job, or a call (whose job has no lease)."""

    job: Job
    task: Task[..., Any]
    ended: Callable[["Attempt", Outcome], None]
    """Is told how it ended, on the event loop."""
    claimed_at: float = field(default_factory=time.monotonic)
    begun_at: float | None = None
    """When its task began, by the monotonic clock; None while it waits."""
    over_at: float | None = None
    """When its task ended: nothing is left to interrupt."""
    outcome: Outcome | None = None
    """How it ended."""
    interrupt: JobInterrupted | None = None
    """What is raised in the task to end it."""
    told: bool = False
    """Whoever follows the job was told that it was claimed."""
    coroutine: asyncio.Task[Outcome] | None = None
    """Of an async task that runs."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    said: Said = field(default_factory=Said)
    """What the task says of itself and is not on record."""

    @property
    def token(self) -> str | None:
        """The token of its lease; None for a call."""
        return None if self.job.lease is None else self.job.lease.token

    def begin(self) -> None:
        """Note that the task begins."""
        self.begun_at = time.monotonic()

    def prepared(self) -> Callable[[], object]:
        """Return what runs the task. Raises ArgumentsInvalid, and what the user's types raise."""
        job = self.job
        if job.timeout is not None:  # which counts from now on: it may have waited for its turn
            job = replace(job, started_at=time.time())
        # Nothing is recorded of a call.
        listen(self.said, None if self.token is None else self.task.declared.log_level)
        return prepare(self.task, job, self.said.note, self.cancelled)

    def over(self) -> None:
        """Note that the task has ended."""
        self.over_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the task ran."""
        if self.begun_at is None or self.over_at is None:
            return 0.0
        return self.over_at - self.begun_at

    def ended_by(self, error: BaseException) -> Outcome:
        """Return the outcome of the attempt that an exception ended."""
        return Outcome(error=error, interrupted=error is self.interrupt)
