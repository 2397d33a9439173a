"""The tasks of one `OneCopy`, and the way to the runtime that their jobs are sent through."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from onecopy.errors import (
    IdempotencyMismatch,
    JobNotFound,
    QueueIsFull,
    StoreUnavailable,
    TaskExists,
    TransactionUnusable,
)
from onecopy.execution.background import finish
from onecopy.execution.ports import Runtime, RuntimeSource
from onecopy.jobs import Change, Event, Job
from onecopy.stores import CannotJoin, IdempotencyConflict, QueueFull, Unavailable
from onecopy.webhooks.callbacks import Callbacks

if TYPE_CHECKING:
    from onecopy.tasks.task import Task

type Endpoint = Callable[..., Any]


class Tasks:
    """Tasks by name."""

    def __init__(
        self,
        runtime: RuntimeSource,
        endpoint: "Callable[[Task[..., Any]], Endpoint]",
        callbacks: Callbacks,
    ) -> None:
        """Take what returns the runtime here and now, and what makes an endpoint of a task.

        callbacks: whom the jobs of all of them tell how they ended.
        """
        self.runtime = runtime
        self.endpoint = endpoint
        self.callbacks = callbacks
        self._by_name: dict[str, Task[..., Any]] = {}

    def __iter__(self) -> "Iterator[Task[..., Any]]":
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, task: "Task[..., Any]") -> None:
        """Register a task. The same code run again replaces what it declared before.

        Raises TaskExists if other code has the name; CallbackRefused if one of its callbacks may
        not be called.
        """
        self.callbacks.check_declared(task.declared.callbacks)
        known = self._by_name.get(task.name)
        if known is not None and known.source != task.source:
            raise TaskExists(task.name, known.source, task.source)
        self._by_name[task.name] = task

    def get(self, name: str) -> "Task[..., Any] | None":
        """Return the task of a name; None if there is none."""
        return self._by_name.get(name)

    async def accept(self, jobs: Sequence[Job], max_queued: int | None) -> list[Job]:
        """Send jobs of one queue, all or none.

        Raises QueueIsFull, StoreUnavailable, IdempotencyMismatch.
        """
        with store_errors(), _refusals(jobs):
            runtime = await self.runtime()
            return await runtime.accept(jobs, max_queued=max_queued)

    async def accept_in(
        self, connection: object, jobs: Sequence[Job], max_queued: int | None
    ) -> list[Job]:
        """Send jobs in a transaction of the caller's; raises as `accept`, and TransactionUnusable.

        What that transaction itself fails with is raised as it is.
        """
        with store_errors(), _refusals(jobs):
            runtime = await self.runtime()
            return await runtime.accept_in(connection, jobs, max_queued=max_queued)

    def accept_in_sync(
        self, connection: object, jobs: Sequence[Job], max_queued: int | None
    ) -> list[Job]:
        """Send jobs in a transaction of the caller's, in its thread; raises as `accept_in`."""
        with store_errors(), _refusals(jobs):
            runtime = finish(_awaited(self.runtime))
            return runtime.accept_in_sync(connection, jobs, max_queued=max_queued)

    async def job(self, job: str) -> Job:
        """Return a job as it is now. Raises JobNotFound, StoreUnavailable."""
        with store_errors():
            found = await (await self.runtime()).job(job)
        if found is None:
            raise JobNotFound(job)
        return found

    async def wait(self, job: str, seconds: float | None) -> Job:
        """Return a job once it is final, or as it is after so many seconds; raises as `job`."""
        with store_errors(job):
            return await (await self.runtime()).wait(job, seconds)

    async def cancel(self, job: str) -> Job:
        """Cancel a job, or ask its attempt to end; raises as `job`."""
        with store_errors(job):
            return await (await self.runtime()).cancel(job)

    async def change(self, job: str, change: Change) -> Job:
        """Change a job. Raises NotAllowed if its status does not allow it; and as `job`."""
        with store_errors(job):
            return await (await self.runtime()).change(job, change)

    async def events(self, job: str, after: int) -> AsyncGenerator[Event]:
        """Yield the events of a job with numbers over one until it has ended; raises as `job`."""
        with store_errors(job):
            async with aclosing((await self.runtime()).events(job, after)) as events:
                async for event in events:
                    yield event

    async def queue_seconds(self, queue: str) -> float | None:
        """Return how long a job of a queue waits for a worker; None if unknown."""
        try:
            return await (await self.runtime()).queue_seconds(queue)
        except Unavailable:
            return None

    async def open(self) -> Runtime:
        """Return the runtime, open. Raises StoreUnavailable."""
        with store_errors():
            return await self.runtime()


async def _awaited(source: RuntimeSource) -> Runtime:
    return await source()


@contextmanager
def _refusals(jobs: Sequence[Job]) -> Generator[None]:
    """Turn what stores refuse to accept into errors of the one tree."""
    try:
        yield
    except QueueFull as error:
        raise QueueIsFull(jobs[0].queue) from error
    except IdempotencyConflict as error:
        raise IdempotencyMismatch(jobs[0].idempotency_key or "") from error
    except CannotJoin as error:
        raise TransactionUnusable(str(error)) from error


@contextmanager
def store_errors(job: str = "") -> Generator[None]:
    """Turn what stores raise about a job into errors of the one tree."""
    try:
        yield
    except Unavailable as error:
        raise StoreUnavailable(str(error)) from error
    except KeyError as error:
        if error.args != (job,):
            raise
        raise JobNotFound(job) from None
