"""Run tasks in a test: one of them inline, or the jobs of an app in memory.

attempt = run(geocode, ["Bern"], context=JobContext(attempt=2))
assert attempt.result == [...]

with jobs_in_memory(shared) as jobs:
job = client.post("/geocode", json={"rows": ["Bern"]}).json()
jobs.run()                                  # as job workers would
assert client.get(job["links"]["result"]).json() == [...]
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final
from weakref import WeakKeyDictionary

from onecopy.app import OneCopy
from onecopy.errors import JobFailed
from onecopy.execution.attempt import Outcome, describe, settle
from onecopy.execution.background import finish
from onecopy.execution.events import Following, Listener, events_of
from onecopy.execution.hub import Hub
from onecopy.execution.ports import Call, Runtime
from onecopy.jobs import Advance, Cancel, Change, Event, Expire, Job, Progress, Release, new_id
from onecopy.stores import Store, change_one, joinable
from onecopy.stores.memory import MemoryStore
from onecopy.tasks import JobContext, Task, Tasks, prepare

_WORKER: Final = "in memory"
_LEASE: Final = 3600.0
_LOOK_AGAIN: Final = 0.01


@dataclass(frozen=True, slots=True)
class Attempt[R]:
    """What an attempt left: its result, and how far it said it had come, in order."""

    result: R
    progress: list[Progress] = field(default_factory=list[Progress])


def run[R](
    task: Task[..., R], *arguments: object, context: JobContext | None = None, **named: object
) -> Attempt[R]:
    """Run a task here as a job worker would: arguments and result travel as JSON.

    context: what the task is to see as its job. Raises what the task raises, and ArgumentsInvalid,
    ResultInvalid.
    """
    seen = context or JobContext(id=new_id(), task=task.name)
    reports: list[Progress] = []
    job = _job_of(seen, task, task.signature.encode(arguments, named))
    call = prepare(task, job, reports.append, seen.cancellation)
    return Attempt(task.decode_result(task.encode_result(finish(_awaited(call())))), reports)


class MemoryRuntime:
    """Keeps jobs in memory, and runs them when a test says so or waits for one.

    at_once: run each as soon as it is accepted.
    """

    def __init__(self, tasks: Tasks, *, at_once: bool = False) -> None:
        self.store: Store = MemoryStore()
        self._tasks = tasks
        self._at_once = at_once
        self._ahead = 0.0
        self._hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()

    def run(self) -> int:
        """Run all jobs that are due, retries too, and return the number of attempts."""
        return finish(self.run_async())

    def advance(self, seconds: float) -> None:
        """Let time pass: for delays, retries, expiry."""
        self._ahead += seconds

    async def run_async(self) -> int:
        """Return `run` where there is an event loop."""
        attempts = 0
        for job in await self.store.overdue(now=self._now()):
            if job.status == "queued":
                await change_one(self.store, job.id, Expire(), now=self._now())
        while jobs := await self._claim():
            for job in jobs:
                await self._attempt(job)
                attempts += 1
        return attempts

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs."""
        accepted = await self.store.accept(jobs, max_queued=max_queued)
        if not self._at_once:
            return accepted
        await self.run_async()
        now = {job.id: job for job in await self.store.get([job.id for job in accepted])}
        return [now[job.id] for job in accepted]

    async def accept_in(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Refuse: there is no database."""
        return await joinable(self.store).accept_in(connection, jobs, max_queued=max_queued)

    def accept_in_sync(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """Refuse: there is no database."""
        return joinable(self.store).accept_in_sync(connection, jobs, max_queued=max_queued)

    async def job(self, job: str) -> Job | None:
        """Return a job as it is now; None if there is none."""
        found = await self.store.get([job])
        return found[0] if found else None

    async def wait(self, job: str, seconds: float | None) -> Job:
        """Run what is due and return the job as it is then; no time passes."""
        if seconds is None or seconds > 0:
            await self.run_async()
        found = await self.job(job)
        if found is None:
            raise KeyError(job)
        return found

    def events(self, job: str, after: int = -1) -> AsyncGenerator[Event]:
        """Run what is due, and yield what happens; no time passes."""
        return events_of(self.follow, job, after)

    def follow(self, job: str, after: int, listener: Listener) -> Following:
        """Run what is due, and tell a listener what happens; no time passes."""
        loop = asyncio.get_running_loop()
        if loop not in self._hubs:
            self._hubs[loop] = Hub(_RunFirst(self), _silence, look_again=_LOOK_AGAIN, linger=0)
        return self._hubs[loop].follow(job, after, listener)

    async def cancel(self, job: str) -> Job:
        """Cancel a job."""
        return await change_one(self.store, job, Cancel(), now=self._now())

    async def change(self, job: str, change: Change) -> Job:
        """Change a job."""
        return await change_one(self.store, job, change, now=self._now())

    async def call(self, call: Call) -> str:
        """Run a task now and return the JSON of its result."""
        task = self._task(call.task)
        context = JobContext(id="", task=call.task)
        reports: list[Progress] = []
        outcome = await _perform(task, _job_of(context, task, call.arguments), reports.append)
        if outcome.error is not None:
            failure = describe(outcome.error)
            raise JobFailed("", failure.type, failure.message)
        return outcome.result or "null"

    async def queue_seconds(self, queue: str) -> float | None:
        """Nothing is measured."""
        return None

    async def _claim(self) -> list[Job]:
        queues = sorted({task.declared.queue for task in self._tasks})
        queues += [q for q in await self._other_queues() if q not in queues]
        now = self._now()
        return await self.store.claim(_WORKER, queues, now=now, until=now + _LEASE)

    async def _other_queues(self) -> list[str]:
        return [figures.queue for figures in await self.store.stats()]

    async def _attempt(self, job: Job) -> None:
        assert job.lease is not None
        token = job.lease.token
        task = self._tasks.get(job.task)
        if task is None:
            await change_one(self.store, job.id, Release(token), now=self._now())
            raise LookupError(f"job {job.id} is of task {job.task!r}, which is not declared")
        reports: list[Progress] = []
        outcome = await _perform(task, job, reports.append)
        if reports:
            await change_one(self.store, job.id, Advance(token, reports[-1]), now=self._now())
        change = settle(job, outcome, task.policy, self._now())
        await change_one(self.store, job.id, change, now=self._now())

    def _task(self, name: str) -> Task[..., Any]:
        task = self._tasks.get(name)
        if task is None:
            raise LookupError(f"task {name!r} is not declared")
        return task

    def _now(self) -> float:
        return time.time() + self._ahead


class _RunFirst:
    """What the hub looks at: whoever follows a job waits for it to be run."""

    def __init__(self, runtime: MemoryRuntime) -> None:
        self._runtime = runtime

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        await self._runtime.run_async()
        return await self._runtime.store.events(after, limit=limit)

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        return await self._runtime.store.get(jobs)


async def _silence() -> AsyncGenerator[str]:
    """Nobody tells of changes in memory: they are looked for."""
    await asyncio.Event().wait()
    yield ""


@contextmanager
def jobs_in_memory(shared: OneCopy, *, at_once: bool = False) -> Generator[MemoryRuntime]:
    """Have an app keep its jobs in memory, for as long as the `with` block runs."""
    runtime = MemoryRuntime(shared.tasks, at_once=at_once)

    async def source() -> Runtime:
        return runtime

    before = shared.use_runtime(source)
    try:
        yield runtime
    finally:
        shared.use_runtime(before)


async def _perform(task: Task[..., Any], job: Job, note: Callable[[Progress], None]) -> Outcome:
    try:
        value = await _awaited(prepare(task, job, note, threading.Event())())
        return Outcome(task.encode_result(value))
    except Exception as error:
        return Outcome(error=error)


async def _awaited(value: object) -> object:
    return await value if isawaitable(value) else value


def _job_of(context: JobContext, task: Task[..., Any], arguments: str) -> Job:
    now = time.time()
    deadline = None if context.deadline is None else context.deadline.timestamp()
    return Job(
        id=context.id,
        task=task.name,
        arguments=arguments,
        attempt=context.attempt,
        max_attempts=context.max_attempts,
        created_at=now,
        due_at=now,
        started_at=now,
        timeout=None if deadline is None else deadline - now,
        traceparent=context.traceparent,
    )
