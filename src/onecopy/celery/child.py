"""A child of Celery's pool: it runs attempts, one after the other, by the rules of a job worker.

Two threads, as in a job worker (`server.job`). Celery calls a task in the main thread, which claims
the job, runs sync tasks, and records what became of them (`records`): of a short job the other
thread hears when it is over. That one, the agent's, has an event loop: it runs async tasks, and
what is still running after a moment it follows: its time limit, its lease, its cancellation, and
what it says of itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from functools import partial
from typing import Any, Final

from celery.exceptions import Ignore
from celery.exceptions import Retry as CeleryRetry

from onecopy.celery.records import Records
from onecopy.errors import Elsewhere, JobCancelled, JobFailed
from onecopy.execution.attempt import describe, tried_again
from onecopy.execution.connect import new_runtime
from onecopy.execution.identity import WorkerName
from onecopy.jobs import Change, Job, Release
from onecopy.server.allowance import Allowance
from onecopy.server.attempt import Attempt
from onecopy.server.attempts import Attempts, change_of
from onecopy.server.begun import Begun
from onecopy.server.cancellations import Cancellations
from onecopy.server.lease_keeping import LeaseKeeping
from onecopy.server.log_lines import collect
from onecopy.server.process import seed_again
from onecopy.server.recorder import Recorder
from onecopy.server.scoreboard import Scoreboard
from onecopy.stores import Unavailable
from onecopy.tasks import Task, log_job_ids

_LOOK_EVERY: Final = 0.5
_RECORD_EVERY: Final = 0.1
_RETRY_STORE: Final = 0.5
_LAST_MOMENTS: Final = 20.0
_logger = logging.getLogger("onecopy.jobs")

_here: Child | None = None


def here() -> Child | None:
    """Return the child that this process is; None in every other process."""
    return _here if _here is not None and _here.pid == os.getpid() else None


def begin(tasks: dict[str, Task[..., Any]], scoreboard: Scoreboard, slot: int) -> Child:
    """Make this process, just forked, one that runs jobs."""
    global _here
    _here = Child(tasks, scoreboard, slot)
    return _here


def end() -> None:
    """Record what is not on record yet; the process ends after this."""
    child = here()
    if child is not None:
        child.end()


class Child:
    """To be made in the main thread of the process."""

    def __init__(self, tasks: dict[str, Task[..., Any]], scoreboard: Scoreboard, slot: int) -> None:
        self.pid = os.getpid()
        seed_again()
        log_job_ids()
        levels = [each.declared.log_level for each in tasks.values()]
        collect(min((level for level in levels if level is not None), default=logging.CRITICAL))
        scoreboard.clear(slot)
        self._name = str(WorkerName.own(os.getppid()))
        self._runtime = new_runtime()
        self._recorder = Recorder(self._runtime)
        self._begun, allowance = Begun(scoreboard, slot), Allowance(scoreboard, slot)
        self._attempts = Attempts(tasks, self._recorder, self._begun, allowance)
        self._attempts.on_free.append(self._freed)
        self._cancellations = Cancellations(self._runtime, self._attempts)
        self._leases = LeaseKeeping(self._runtime, self._name, self._attempts, self._recorder)
        self._records = Records(self._name, self._tell)
        self._running: Attempt | None = None
        """The attempt that the main thread runs and the agent does not follow yet."""
        self._guard = threading.Lock()
        self._on_loop: Attempt | None = None
        """The attempt that runs on the event loop."""
        self._telling: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="onecopy agent", daemon=True)
        self._thread.start()

    # In the main thread.

    def work(self, job: str) -> object:
        """Claim a job and run its attempt; return its result as JSON.

        Raises what its task has raised; Celery's Retry if it is tried again, and Ignore if it is
        not this process's to run, or has not ended here.
        """
        attempt = self._claimed_attempt(job)
        if attempt.task.is_async:
            self._have_run(attempt)
        else:
            self._run_here(attempt)
        assert attempt.outcome is not None
        error = attempt.outcome.error
        if error is None:
            return attempt.outcome.result
        if isinstance(error, Elsewhere | JobCancelled):
            raise Ignore
        if not isinstance(error, Exception):
            failure = describe(error)
            error = JobFailed(job, failure.type, failure.message)
        if tried_again(attempt.job, attempt.outcome, attempt.task.policy):
            raise CeleryRetry(exc=error)
        raise error

    def claim(self, job: str) -> Job | None:
        """Claim the job of a task that Celery runs itself; None if there is no such job.

        Raises Ignore: another has it, or it is not to be run.
        """
        claimed = self._records.claim(job)
        if isinstance(claimed, KeyError):
            return None
        if claimed is None or claimed.lease is None:
            raise Ignore
        self._begun.begin(claimed.lease.token)
        return claimed

    def record(self, job: Job, change: Change) -> None:
        """Record how an attempt ended that `claim` has begun."""
        assert job.lease is not None
        self._records.record(job, [change], partial(self._begun.end, job.lease.token))

    def end(self) -> None:
        """Wait until what became of the attempts is on record, and let go."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_LAST_MOMENTS)
        self._records.close()

    def _claimed_attempt(self, job: str) -> Attempt:
        claimed = self._records.claim(job)
        if not isinstance(claimed, Job) or claimed.lease is None:
            raise Ignore
        attempt = self._attempts.new(claimed)
        if attempt is None:
            self.record(claimed, Release(claimed.lease.token))
            raise Ignore
        return attempt

    def _run_here(self, attempt: Attempt) -> None:
        main_thread = self._attempts.main_thread
        self._running = attempt
        outcome = main_thread.perform(attempt)
        if self._is_followed():
            main_thread.hand_over(attempt)
            return
        assert attempt.token is not None
        said = attempt.said.take(attempt.token, last=True)
        recorded = partial(self._begun.end, attempt.token)
        self._records.record(attempt.job, [*said, change_of(attempt, outcome)], recorded)

    def _is_followed(self) -> bool:
        """Whether the agent has taken over what has just ended; it does not any more."""
        with self._guard:
            left, self._running = self._running, None
        return left is None

    def _have_run(self, attempt: Attempt) -> None:
        """Wait for an async task."""
        self._loop.call_soon_threadsafe(self._begin, attempt)
        self._attempts.main_thread.turn()

    def _tell(self, jobs: list[Job]) -> None:
        self._loop.call_soon_threadsafe(self._tell_soon, jobs)

    # In the agent's thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        self._attempts.main_thread.connect()
        await self._open()
        self._ready.set()
        helpers = [
            asyncio.create_task(self._look()),
            asyncio.create_task(self._record_what_is_said()),
            asyncio.create_task(self._leases.run()),
        ]
        await self._stop.wait()
        for helper in helpers:
            helper.cancel()
        await self._recorder.settled()
        await asyncio.gather(*self._telling, return_exceptions=True)
        await self._runtime.close()

    async def _open(self) -> None:
        while True:
            try:
                await self._runtime.open()
                return
            except Unavailable as error:
                _logger.error("%s", error)
                await asyncio.sleep(_RETRY_STORE)

    def _tell_soon(self, jobs: list[Job]) -> None:
        telling = self._loop.create_task(self._tell_changed(jobs))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell_changed(self, jobs: list[Job]) -> None:
        await self._ready.wait()
        await self._runtime.changed(jobs)

    async def _look(self) -> None:
        """Notice who is cancelled; nobody tells this process, which seldom has much to hear."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if self._attempts:
                await self._cancellations.look()

    async def _record_what_is_said(self) -> None:
        while True:
            await asyncio.sleep(_RECORD_EVERY)
            self._follow()
            self._attempts.report_all()

    def _follow(self) -> None:
        with self._guard:
            if self._running is not None:
                self._attempts.follow(self._running)
                self._running = None

    def _begin(self, attempt: Attempt) -> None:
        self._on_loop = attempt
        self._attempts.run(attempt)

    def _freed(self) -> None:
        """An attempt has left; the main thread waits for the one on the event loop."""
        attempt = self._on_loop
        if attempt is not None and attempt.outcome is not None:
            self._on_loop = None
            self._attempts.main_thread.close()
