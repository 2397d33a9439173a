"""The job that code runs in: `JobContext`, `current_job`, and its id on log records."""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

_NEVER: Final = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a task may know of the job it runs for.

    In a plain call pass `JobContext()`: an attempt of no job, which nobody cancels.
    """

    id: str = ""
    task: str = ""
    attempt: int = 1
    """From 1."""
    max_attempts: int = 1
    deadline: datetime | None = None
    """When the attempt reaches its time limit, in UTC."""
    traceparent: str | None = None
    token: str = field(default="", repr=False)
    """The right to report this attempt's outcome from elsewhere: give it to nobody else."""
    cancellation: threading.Event = field(default=_NEVER, repr=False, compare=False)
    """Set when the job is to end."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled the job, or its time is over: stop as soon as you can."""
        return self.cancellation.is_set()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        if self.deadline is None:
            return None
        return max(0.0, (self.deadline - datetime.now(UTC)).total_seconds())


_current: Final[ContextVar[JobContext | None]] = ContextVar("onecopy_job", default=None)


def current_job() -> JobContext | None:
    """Return the job that this code runs for; None outside of one."""
    return _current.get()


@contextmanager
def running(context: JobContext) -> Generator[None]:
    """Make a job the current one of this context."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def log_job_ids() -> None:
    """Have every log record of this process carry `job`: the id of the current job, or "-".

    A format may then say `%(job)s`. Calling it again changes nothing.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "knows_jobs", False):
        return

    def make_with_job(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make(*args, **kwargs)
        job = _current.get()
        record.job = job.id if job is not None else "-"
        return record

    make_with_job.knows_jobs = True  # pyright: ignore[reportFunctionMemberAccess]
    logging.setLogRecordFactory(make_with_job)
