"""The attempts of a job worker, each from its start until its outcome is on record."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, cast

from msgspec import Raw

from onecopy.errors import JobCancelled, JobInterrupted, TimeLimitReached
from onecopy.execution.attempt import Outcome, describe, settle
from onecopy.execution.calls import Answer, Question
from onecopy.jobs import Job
from onecopy.server.allowance import GRACE, Allowance
from onecopy.server.attempt import Attempt
from onecopy.server.begun import Begun
from onecopy.server.main_thread import MainThread
from onecopy.server.recorder import Recorder
from onecopy.tasks import Task, prepare

_NOT_OURS: Final = 1.0
_logger = logging.getLogger("onecopy.jobs")


class Attempts:
    """Runs attempts: sync tasks in the main thread, async ones on the running event loop."""

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        main_thread: MainThread,
        recorder: Recorder,
        allowance: Allowance,
        begun: Begun,
    ) -> None:
        self._tasks = tasks
        self._main_thread = main_thread
        self._recorder = recorder
        self._allowance = allowance
        self._begun = begun
        self._running: dict[str, Attempt] = {}
        self._refusals: set[asyncio.Future[None]] = set()
        self.on_free: list[Callable[[], None]] = []
        """Called whenever a place has become free."""

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, job: object) -> bool:
        return job in self._running

    @property
    def all(self) -> list[Attempt]:
        """Those that run now."""
        return list(self._running.values())

    @property
    def jobs(self) -> list[str]:
        """The ids of their jobs; a call has none."""
        return [attempt.job.id for attempt in self._running.values() if attempt.job.id]

    @property
    def main_thread_is_busy(self) -> bool:
        """Whether a sync task runs."""
        return any(not attempt.task.is_async for attempt in self._running.values())

    def start(self, job: Job) -> None:
        """Begin the attempt of a job that was claimed."""
        task = self._tasks.get(job.task)
        if task is None:
            refusal = asyncio.ensure_future(self._refuse(job))
            self._refusals.add(refusal)
            refusal.add_done_callback(self._refusals.discard)
            return
        attempt = Attempt(job, task)
        self._running[job.id] = attempt
        attempt.work = asyncio.get_running_loop().create_task(self._attempt(attempt))

    async def call(self, question: Question) -> Answer:
        """Run a task for a caller, and return the answer; nothing is recorded.

        If it is cancelled the attempt is ended.
        """
        task = self._tasks.get(question.task)
        if task is None:
            return Answer(unknown=True)
        attempt = Attempt(_job_of_call(question), task)
        key = f"call {id(attempt)}"
        self._running[key] = attempt
        limited = asyncio.ensure_future(self._limited(attempt))
        limited.add_done_callback(lambda _: self._leave(key))
        try:
            outcome = await asyncio.shield(limited)
        except asyncio.CancelledError:
            self._interrupt(attempt, JobCancelled())
            raise
        return _answer_of(outcome)

    def cancel(self, job: str) -> None:
        """Have an attempt end, because somebody has cancelled its job."""
        attempt = self._running.get(job)
        if attempt is not None:
            self._interrupt(attempt, JobCancelled(job))

    async def release_all(self) -> None:
        """Give back what has not ended."""
        for attempt in self.all:
            attempt.released = True
            await self._recorder.release(attempt.job)

    async def _refuse(self, job: Job) -> None:
        """Give a job back whose task is not known here; another worker may know it."""
        _logger.error("job %s: no task %r here; it is left to others", job.id, job.task)
        await asyncio.sleep(_NOT_OURS)
        await self._recorder.release(job)

    async def _attempt(self, attempt: Attempt) -> None:
        job = attempt.job
        try:
            outcome = await self._limited(attempt)
            if not attempt.released:
                await self._recorder.report(attempt)
                change = settle(job, outcome, attempt.task.policy, time.time())
                await self._recorder.record(job, change)
            if job.lease is not None:
                self._begun.end(job.lease.token)
        finally:
            self._leave(job.id)

    def _leave(self, key: str) -> None:
        self._running.pop(key, None)
        self.tell_free()

    def tell_free(self) -> None:
        """Tell all who want to know that a place has become free."""
        for told in self.on_free:
            told()

    async def _limited(self, attempt: Attempt) -> Outcome:
        """Perform an attempt within its time limit."""
        if attempt.job.timeout is not None:
            limit = TimeLimitReached(attempt.job.timeout, attempt.job.id)
            attempt.timer = asyncio.get_running_loop().call_later(
                attempt.job.timeout, self._interrupt, attempt, limit
            )
        self._publish_allowance()
        try:
            return await self._perform(attempt)
        finally:
            attempt.over = True
            if attempt.timer is not None:
                attempt.timer.cancel()
            self._publish_allowance()

    async def _perform(self, attempt: Attempt) -> Outcome:
        # Before the arguments are made: a type of the user's may end the process too.
        if attempt.job.lease is not None:
            self._begun.begin(attempt.job.lease.token)
        try:
            attempt.call = prepare(attempt.task, attempt.job, attempt.note, attempt.cancelled)
        except Exception as error:
            return Outcome(error=error)
        if attempt.task.is_async:
            return await _perform_async(attempt)
        return await self._main_thread.perform(attempt)

    def _interrupt(self, attempt: Attempt, error: JobInterrupted) -> None:
        """Have an attempt end by an exception."""
        if attempt.interrupt is not None or attempt.over:
            return
        attempt.interrupt = error
        attempt.kill_at = time.time() + GRACE
        attempt.cancelled.set()
        self._publish_allowance()
        if not attempt.task.is_async:
            self._main_thread.interrupt()
        elif attempt.inner is not None:
            attempt.inner.cancel()

    def _publish_allowance(self) -> None:
        self._allowance.publish(self._running.values())


async def _perform_async(attempt: Attempt) -> Outcome:
    assert attempt.call is not None
    try:
        if attempt.interrupt is not None:
            raise attempt.interrupt
        work = cast(Coroutine[Any, Any, object], attempt.call())
        attempt.inner = asyncio.get_running_loop().create_task(work)
        return Outcome(attempt.task.encode_result(await attempt.inner))
    except asyncio.CancelledError as error:
        return attempt.ended_by(attempt.interrupt or error)
    except BaseException as error:
        return Outcome(error=error)


def _job_of_call(question: Question) -> Job:
    now = time.time()
    return Job(
        id="",
        task=question.task,
        arguments=bytes(question.arguments).decode(),
        created_at=now,
        due_at=now,
        started_at=now,
        attempt=1,
        timeout=question.timeout,
    )


def _answer_of(outcome: Outcome) -> Answer:
    if outcome.error is not None:
        return Answer(failure=describe(outcome.error))
    result = (outcome.result or "null").encode()
    return Answer(Raw(result))
