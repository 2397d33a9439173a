"""The attempts of a job worker, each from its claim until its outcome goes on record."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, cast

from onecopy.errors import JobCancelled, JobInterrupted, TimeLimitReached
from onecopy.execution.attempt import Outcome, describe, settle
from onecopy.jobs import Change, Fail, Job, Release
from onecopy.server.ahead import Ahead
from onecopy.server.allowance import Allowance
from onecopy.server.attempt import Attempt, NotBegun
from onecopy.server.begun import Begun
from onecopy.server.line import Line
from onecopy.server.main_thread import MainThread
from onecopy.server.passing_over import PassingOver
from onecopy.server.recorder import Recorder
from onecopy.server.time_limits import TimeLimits
from onecopy.tasks import Task

_logger = logging.getLogger("onecopy.jobs")


class Attempts:
    """Runs sync tasks in the main thread, one after the other, and async ones on the event loop.

    To be made in the main thread; all else is called on the event loop.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        recorder: Recorder,
        begun: Begun,
        allowance: Allowance,
    ) -> None:
        self._tasks = tasks
        self._recorder = recorder
        self._begun = begun
        self._allowance = allowance
        self._line = Line()
        self.main_thread = MainThread(self._line, self._begin, self._end, self._finish)
        self.ahead = Ahead(self._line, lambda: self.main_thread.attempt, self.release)
        self._limits = TimeLimits(lambda: [*self._all], self._reached_limit)
        self._all: set[Attempt] = set()
        self._of_jobs: dict[str, Attempt] = {}
        self.on_event_loop = 0
        """How many async tasks run."""
        self._none = asyncio.Event()
        self.passing_over = PassingOver(tasks)
        self.on_room: list[Callable[[], None]] = []
        """Called whenever a task that was at its bound has room again."""
        self.on_free: list[Callable[[], None]] = []
        """Called whenever a place has become free."""

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, job: object) -> bool:
        return job in self._of_jobs

    def knows(self, job: str) -> bool:
        """Whether a job has an attempt here, or had one of which something is to be recorded."""
        return job in self._of_jobs or job in self._recorder

    @property
    def jobs(self) -> list[str]:
        """The ids of the jobs that have an attempt here."""
        return [*self._of_jobs]

    def claimed_before(self, at: float) -> list[Attempt]:
        """Return the attempts of jobs that were claimed before a time (monotonic)."""
        return [each for each in self._of_jobs.values() if each.claimed_at < at]

    # From the claim on.

    def takes(self, job: str, task: str) -> bool:
        """Whether a job of a task may be claimed here now."""
        if task not in self._tasks:
            self._leave_to_others(job, task)
        return task not in self.passing_over.tasks

    def start(self, job: Job) -> Attempt | None:
        """Take on the attempt of a job that was claimed; None if its task is not known here."""
        attempt = self.new(job)
        if attempt is None:
            self.give_back(job)
        else:
            self.run(attempt)
        return attempt

    def run(self, attempt: Attempt) -> None:
        """Have a new attempt of a job run: in its turn, or at once if its task is async."""
        self.follow(attempt)
        self._put(attempt)

    def new(self, job: Job) -> Attempt | None:
        """Return an attempt of a job that was claimed; None if its task is not known here."""
        task = self._tasks.get(job.task)
        if task is None:
            self._leave_to_others(job.id, job.task)
            return None
        return Attempt(job, task, self._record)

    def follow(self, attempt: Attempt) -> None:
        """Look after the attempt of a job until it has ended."""
        self.passing_over.begin(attempt.job.task)
        self._of_jobs[attempt.job.id] = attempt
        self._all.add(attempt)
        self._limits.watch(attempt)

    def run_call(self, job: Job, ended: Callable[[Outcome], None]) -> Attempt:
        """Run a task for a caller, before all jobs that wait; nothing is recorded."""
        attempt = Attempt(job, self._tasks[job.task], lambda _, outcome: ended(outcome))
        self._all.add(attempt)
        self._limits.watch(attempt)
        self._put(attempt, first=True)
        return attempt

    def _put(self, attempt: Attempt, *, first: bool = False) -> None:
        if attempt.task.is_async:
            self._run_async(attempt)
        else:
            self._line.put(attempt, first=first)
            self.ahead.watch()

    def _begin(self, attempt: Attempt) -> None:
        """Called right before a task begins, in its thread."""
        if attempt.token is not None:
            self._begun.begin(attempt.token)
        self._allowance.begin(attempt)
        attempt.begin()

    def _run_async(self, attempt: Attempt) -> None:
        self._begin(attempt)
        self.on_event_loop += 1
        attempt.coroutine = asyncio.get_running_loop().create_task(_performed(attempt))
        attempt.coroutine.add_done_callback(partial(self._over_async, attempt))

    def _over_async(self, attempt: Attempt, coroutine: asyncio.Task[Outcome]) -> None:
        self.on_event_loop -= 1
        if coroutine.cancelled():  # before its first step
            outcome = attempt.ended_by(attempt.interrupt or asyncio.CancelledError())
        else:
            outcome = coroutine.result()
        attempt.outcome = outcome
        self._end(attempt)
        self._finish(attempt, outcome)

    def _end(self, attempt: Attempt) -> None:
        """Called right after a task has ended, in its thread."""
        attempt.over()
        self._allowance.end(attempt)

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        self.ahead.ended(0.0 if attempt.task.is_async else attempt.seconds)
        self._leave(attempt)
        attempt.ended(attempt, outcome)

    def _leave(self, attempt: Attempt) -> None:
        self._all.discard(attempt)
        of_job = self._of_jobs.pop(attempt.job.id, None) is not None
        if of_job and self.passing_over.end(attempt.job.task):
            for told in self.on_room:
                told()
        if not self._all:
            self._none.set()
        self.tell_free()

    def tell_free(self) -> None:
        """Tell all who want to know that a place has become free."""
        for told in self.on_free:
            told()

    def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        self._report(attempt, last=True)
        then = partial(self._recorded, attempt)
        self._recorder.record(attempt.job, change_of(attempt, outcome), then)

    def _recorded(self, attempt: Attempt) -> None:
        if attempt.token is not None:
            self._begun.end(attempt.token)

    # While they run.

    def report_all(self) -> None:
        """Record what the attempts have said of themselves since the last time."""
        for attempt in self._all:
            self._report(attempt)

    def untold(self) -> list[str]:
        """Return the jobs that were claimed since the last call, and go on.

        Most are over before anybody looks: what was claimed is told with the outcome then.
        """
        untold = [attempt for attempt in self._all if not attempt.told and attempt.token]
        for attempt in untold:
            attempt.told = True
        return [attempt.job.id for attempt in untold]

    def _report(self, attempt: Attempt, *, last: bool = False) -> None:
        if attempt.token is not None:
            for change in attempt.said.take(attempt.token, last=last):
                self._recorder.record(attempt.job, change)

    def cancel(self, job: str) -> None:
        """Have an attempt end, because somebody has cancelled its job."""
        attempt = self._of_jobs.get(job)
        if attempt is not None:
            self.interrupt(attempt, JobCancelled(job))

    def _reached_limit(self, attempt: Attempt) -> None:
        limit = attempt.job.timeout
        if limit is not None:
            self.interrupt(attempt, TimeLimitReached(limit, attempt.job.id))

    def interrupt(self, attempt: Attempt, error: JobInterrupted) -> None:
        """Have an attempt end by an exception; one that has not begun is given back."""
        if attempt.interrupt is not None or attempt.over_at is not None:
            return
        if attempt.begun_at is None and self._line.withdraw(attempt):
            self._end_unbegun(attempt, error)
            return
        attempt.interrupt = error
        attempt.cancelled.set()
        self._allowance.interrupt(attempt)
        if attempt.coroutine is not None:
            attempt.coroutine.cancel()
        else:
            self.main_thread.interrupt()

    # Giving back.

    def release(self, attempts: Iterable[Attempt]) -> None:
        """Give back attempts that have not begun, not counted."""
        for attempt in attempts:
            self._leave(attempt)
            if attempt.token is not None:
                self.give_back(attempt.job)
            else:
                attempt.ended(attempt, Outcome(error=NotBegun()))

    def _end_unbegun(self, attempt: Attempt, error: JobInterrupted) -> None:
        if attempt.token is not None:
            self.release([attempt])
        else:
            self._leave(attempt)
            attempt.ended(attempt, attempt.ended_by(error))

    def release_waiting(self) -> None:
        """Give back all that have not begun."""
        waiting = [each for each in self._line.last(len(self._line)) if each.token is not None]
        self.release([each for each in waiting if self._line.withdraw(each)])

    async def all_ended(self) -> None:
        """Wait until no attempt runs."""
        while self._all:
            self._none.clear()
            await self._none.wait()

    def abandon(self) -> None:
        """Give back what runs: nobody waits for it to end."""
        for attempt in self._all:
            attempt.ended = _nobody
            self._report(attempt, last=True)
            if attempt.token is not None:
                self.give_back(attempt.job)

    def give_back(self, job: Job) -> None:
        """Give back a job that was claimed, not counted."""
        assert job.lease is not None
        self._recorder.record(job, Release(job.lease.token))

    def _leave_to_others(self, job: str, task: str) -> None:
        if self.passing_over.learn(task):
            _logger.error("job %s: no task %r here; its jobs are left to others", job, task)


def change_of(attempt: Attempt, outcome: Outcome) -> Change:
    """Return the change that records how an attempt of a job has ended."""
    try:
        return settle(attempt.job, outcome, attempt.task.policy, time.time())
    except Exception as error:  # of the user's: `backoff` may be a function
        _logger.exception("job %s: whether it is tried again cannot be said", attempt.job.id)
        assert attempt.token is not None
        return Fail(attempt.token, describe(outcome.error or error))


def _nobody(attempt: Attempt, outcome: Outcome) -> None:
    """Nobody is told how it ended: the job is somebody else's by now."""


async def _performed(attempt: Attempt) -> Outcome:
    """Run an async task."""
    try:
        work = cast(Coroutine[Any, Any, object], attempt.prepared()())
        return Outcome(attempt.task.encode_result(await work))
    except asyncio.CancelledError as error:
        return attempt.ended_by(attempt.interrupt or error)
    except BaseException as error:
        return attempt.ended_by(error)
