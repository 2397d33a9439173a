"""Gets a task ready to run for a job."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from onecopy.jobs import Job
from onecopy.jobs import Progress as Report
from onecopy.tasks.context import JobContext, running
from onecopy.tasks.progress import Progress
from onecopy.tasks.task import Task


def prepare(
    task: Task[..., Any],
    job: Job,
    note: Callable[[Report], None],
    cancelled: threading.Event,
) -> Callable[[], object]:
    """Return what runs the task of a job: it returns the result, or for an async task awaits it.

    note: is told how far the task has come. cancelled: set when the attempt is to end.

    Raises ArgumentsInvalid if the arguments do not fit the task any more.
    """
    context = JobContext(
        id=job.id,
        task=job.task,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        deadline=_deadline(job),
        traceparent=job.traceparent,
        token="" if job.lease is None else job.lease.token,
        cancellation=cancelled,
    )
    injected: dict[Any, object] = {Progress: Progress(note), JobContext: context}
    args, kwargs = task.signature.decode(job.arguments, injected)

    def call() -> object:
        with running(context):
            return task.function(*args, **kwargs)

    async def call_async() -> object:
        with running(context):
            return await task.function(*args, **kwargs)

    return call_async if task.is_async else call


def _deadline(job: Job) -> datetime | None:
    if job.timeout is None or job.started_at is None:
        return None
    return datetime.fromtimestamp(job.started_at + job.timeout, UTC)
