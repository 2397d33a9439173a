"""What tasks and the HTTP routes need of a process's runtime, and no more."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from onecopy.execution.events import Following, Listener
from onecopy.jobs import Change, Event, Job


@dataclass(frozen=True, slots=True)
class Call:
    """Short work that goes straight to a job worker: nothing of it is stored.

    arguments: a JSON object, the task's parameters by name. timeout: seconds it may take in all.
    """

    task: str
    queue: str
    arguments: str
    timeout: float


class Runtime(Protocol):
    """Sends jobs and answers about them, in one process and event loop.

    Raises what `onecopy.stores` raises (Unavailable, QueueFull, IdempotencyConflict).
    """

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none, durable once it returns; as `Store.accept`."""
        ...

    async def accept_in(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Record jobs in a transaction of the caller's own. Raises CannotJoin too."""
        ...

    def accept_in_sync(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """As `accept_in`, by a connection that blocks; from any thread."""
        ...

    async def job(self, job: str) -> Job | None:
        """Return a job as it is now; None if there is none."""
        ...

    async def wait(self, job: str, seconds: float | None) -> Job:
        """Return a job once it is final, or as it is after so many seconds.

        No thread for each who waits. Raises KeyError for an unknown job.
        """
        ...

    def events(self, job: str, after: int = -1) -> AsyncGenerator[Event]:
        """Yield the events of a job with numbers over one, as they happen, until it has ended.

        A job that runs again goes on, but not for who was told of its end. A number that the job
        has not come to yet counts as its last. Who is slow misses nothing. Raises KeyError for an
        unknown job, Unavailable once this is closed; while the store is away it waits.
        """
        ...

    def follow(self, job: str, after: int, listener: Listener) -> Following:
        """Tell a listener what `events` yields: neither a query nor a thread for each."""
        ...

    async def cancel(self, job: str) -> Job:
        """Cancel a job, or ask its attempt to end. Raises KeyError for an unknown one."""
        ...

    async def change(self, job: str, change: Change) -> Job:
        """Change a job and tell whoever follows it. Raises as `Store.change` does."""
        ...

    async def call(self, call: Call) -> str:
        """Run a task in a job worker now and return the JSON of its result.

        Raises NoWorker, Busy, JobFailed with an empty id, ResultTimeout.
        """
        ...

    async def queue_seconds(self, queue: str) -> float | None:
        """Return how long a job of a queue waits for a worker, as measured; None if unknown."""
        ...


type RuntimeSource = Callable[[], Awaitable[Runtime]]
"""Returns the open runtime of this process and of the running event loop."""
