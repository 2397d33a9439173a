"""A job that was sent: follow it, wait for its result, cancel it."""

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from onecopy.errors import JobCancelled, JobFailed, ResultTimeout
from onecopy.execution.background import finish, iterate
from onecopy.jobs import Event, Job, Status
from onecopy.tasks.registry import Tasks


class JobHandle[R]:
    """A job by its id. Whoever has the id may read and cancel the job."""

    def __init__(self, id: str, tasks: Tasks, decode: Callable[[str], R]) -> None:  # noqa: A002
        self.id = id
        self._tasks = tasks
        self._decode = decode

    def __repr__(self) -> str:
        return f"<JobHandle {self.id}>"

    async def info(self) -> Job:
        """Return all that is known of the job now. Raises JobNotFound, StoreUnavailable."""
        return await self._tasks.job(self.id)

    async def status(self) -> Status:
        """Return "queued", "running", "succeeded", "failed" or "cancelled"; raises as `info`."""
        return (await self.info()).status

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109  part of the API
        """Wait until the job is final and return its result.

        timeout: seconds to wait; None: as long as it takes.

        Raises JobFailed, JobCancelled, ResultTimeout if it is not final by then, and as `info`.
        """
        job = await self._tasks.wait(self.id, timeout)
        match job.status:
            case "succeeded":
                return self._decode(job.result or "null")
            case "failed":
                raise failed(job)
            case "cancelled":
                raise JobCancelled(job.id)
            case _:
                raise ResultTimeout(job.id, timeout or 0.0)

    def result_sync(self, timeout: float | None = None) -> R:
        """Return `result` where there is no event loop."""
        return finish(self.result(timeout))

    def events(self, after: int = -1) -> AsyncGenerator[Event]:
        """Yield what happens to the job, as it happens, until it has ended.

        after: the number of the last event that is known already; they count from 0. While the
        store is away, this waits. Raises JobNotFound; StoreUnavailable if it cannot begin.
        """
        return self._tasks.events(self.id, after)

    def events_sync(self, after: int = -1) -> Iterator[Event]:
        """Yield `events` where there is no event loop."""
        return iterate(self.events(after))

    async def cancel(self) -> Status:
        """Cancel the job, or ask its attempt to end; return its status. Raises as `info`."""
        return (await self._tasks.cancel(self.id)).status

    def cancel_sync(self) -> Status:
        """Return `cancel` where there is no event loop."""
        return finish(self.cancel())

    def status_sync(self) -> Status:
        """Return `status` where there is no event loop."""
        return finish(self.status())


def failed(job: Job) -> JobFailed:
    """Return the error of a job that has failed."""
    failure = job.failure
    if failure is None:
        return JobFailed(job.id, "Failed", "")
    return JobFailed(job.id, failure.type, failure.message)


def as_json(text: str) -> Any:  # noqa: ANN401  the result of a task that this process does not know
    """Return a result as JSON has it."""
    from pydantic_core import from_json

    return from_json(text)
