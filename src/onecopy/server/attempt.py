"""An attempt in this job worker: the job, what runs its task, and how it is made to end."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onecopy.errors import JobInterrupted
from onecopy.execution.attempt import Outcome, sound
from onecopy.jobs import Job, Progress
from onecopy.tasks import Task


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt of a job, or a call (whose job has no lease)."""

    job: Job
    task: Task[..., Any]
    call: Callable[[], object] | None = None
    """Runs the task."""
    interrupt: JobInterrupted | None = None
    """What is raised in the task to end it."""
    progress: Progress | None = None
    """What the task has said last and is not on record."""
    finished: asyncio.Future[Outcome] | None = None
    timer: asyncio.TimerHandle | None = None
    work: asyncio.Task[None] | None = None
    inner: asyncio.Task[object] | None = None
    """The user's coroutine: an interrupt cancels this, and never the recording of its outcome."""
    over: bool = False
    """The user's code has ended: nothing is left to interrupt."""
    kill_at: float | None = None
    released: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)

    def note(self, progress: Progress) -> None:
        """Keep what the task says of itself until it is recorded."""
        self.progress = sound(progress) or self.progress

    def ended_by(self, error: BaseException) -> Outcome:
        """Return the outcome of the attempt that an exception ended."""
        return Outcome(error=error, interrupted=error is self.interrupt)
