"""A child of Celery's pool: it runs attempts, one after the other, by the rules of a job worker.

Two threads, as in a job worker (`server.job`). Celery calls a task in the main thread, where sync
tasks run. The agent's thread has an event loop: it claims, runs async tasks, watches time limits
and cancellations, and records. Celery goes on while an outcome is being recorded: the claim of the
next job is written together with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from functools import partial
from typing import Any, Final

from celery.exceptions import Ignore
from celery.exceptions import Retry as CeleryRetry

from onecopy.errors import Elsewhere, JobCancelled, JobFailed
from onecopy.execution.attempt import describe, tried_again
from onecopy.execution.connect import new_runtime
from onecopy.execution.identity import WorkerName
from onecopy.execution.lease import LEASE
from onecopy.jobs import Change, Claim, Job, Lease, NotAllowed, new_token
from onecopy.server.allowance import Allowance
from onecopy.server.attempt import Attempt
from onecopy.server.attempts import Attempts
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
        self._on_loop: Attempt | None = None
        """The attempt that runs on the event loop, until it has ended."""
        self._ended: Attempt | None = None
        self._claiming: asyncio.Future[None] | None = None
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
        self._ended = None
        self._loop.call_soon_threadsafe(self._begin, job)
        attempt = self._attempts.main_thread.turn() or self._ended
        if attempt is None or attempt.outcome is None:
            raise Ignore
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
        claimed = asyncio.run_coroutine_threadsafe(self._claim(job), self._loop).result()
        if isinstance(claimed, KeyError):
            return None
        if claimed is None or claimed.lease is None:
            raise Ignore
        self._begun.begin(claimed.lease.token)
        return claimed

    def record(self, job: Job, change: Change) -> None:
        """Record how an attempt ended that `claim` has begun."""
        assert job.lease is not None
        ended = partial(self._begun.end, job.lease.token)
        self._loop.call_soon_threadsafe(self._recorder.record, job, change, ended)

    def end(self) -> None:
        """Wait until what became of the attempts is on record, and let go."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_LAST_MOMENTS)

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
        await self._runtime.close()

    async def _open(self) -> None:
        while True:
            try:
                await self._runtime.open()
                return
            except Unavailable as error:
                _logger.error("%s", error)
                await asyncio.sleep(_RETRY_STORE)

    async def _look(self) -> None:
        """Notice who is cancelled; nobody tells this process, which seldom has much to hear."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if self._attempts:
                await self._cancellations.look()

    async def _record_what_is_said(self) -> None:
        while True:
            await asyncio.sleep(_RECORD_EVERY)
            self._attempts.report_all()

    def _begin(self, job: str) -> None:
        self._claiming = asyncio.ensure_future(self._claim_and_start(job))

    async def _claim_and_start(self, job: str) -> None:
        attempt: Attempt | None = None
        try:
            claimed = await self._claim(job)
            attempt = self._attempts.start(claimed) if isinstance(claimed, Job) else None
        except Exception:
            _logger.exception("job %s: it cannot be begun", job)
        if attempt is None:
            self._attempts.main_thread.close()
        elif attempt.task.is_async:
            self._on_loop = attempt

    async def _claim(self, job: str) -> Job | KeyError | None:
        """Claim a job; None if another has it, or it is not to be run now."""
        await self._ready.wait()
        while not self._stop.is_set():
            now = time.time()
            claim = Claim(Lease(new_token(), self._name, now + LEASE))
            try:
                (answer,) = await self._runtime.store.change([(job, claim)], now=now)
            except Unavailable as error:
                _logger.error("cannot claim: %s", error)
                await self._pause()
            else:
                return None if isinstance(answer, NotAllowed) else answer
        return None

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_STORE):
                await self._stop.wait()

    def _freed(self) -> None:
        """An attempt has left; the main thread waits for the one on the event loop."""
        attempt = self._on_loop
        if attempt is not None and attempt.outcome is not None:
            self._on_loop, self._ended = None, attempt
            self._attempts.main_thread.close()
