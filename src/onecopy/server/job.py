"""The job worker: claims attempts, runs them, records what became of them.

Two threads. The main thread runs sync tasks, one at a time: a time limit or a cancellation reaches
them there by a signal, at the next bytecode or when they come back from C. The *agent* thread has
an event loop: it claims, runs async tasks, follows changes, sweeps, and speaks with the supervisor.
What neither can stop, the supervisor kills: the deadline of the attempt stands on the scoreboard.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, cast

from onecopy.errors import JobCancelled, JobInterrupted, TimeLimitReached
from onecopy.execution.attempt import Outcome, describe, settle, sound
from onecopy.execution.connect import new_runtime
from onecopy.execution.identity import WorkerName
from onecopy.execution.policy import RetryPolicy
from onecopy.execution.queues import Queues
from onecopy.execution.runtime import Runtime
from onecopy.execution.sweeper import LEASE, Sweeper
from onecopy.jobs import Advance, Change, Fail, Failure, Job, NotAllowed, Progress, Release
from onecopy.server.channel import Channel, Closed
from onecopy.server.job_calls import CallTaker
from onecopy.server.limits import STACK_SIGNAL
from onecopy.server.process import seed_again
from onecopy.server.scoreboard import Scoreboard
from onecopy.server.settings import Settings
from onecopy.stores import Unavailable
from onecopy.tasks import Task, log_job_ids, prepare

GRACE: Final = 5.0
"""Seconds that an attempt has after its time limit, or its cancellation, before it is killed."""
_INTERRUPT: Final = getattr(signal, "SIGRTMIN", signal.SIGUSR1)
_SWEEP_EVERY: Final = 1.0
_BURY_EVERY: Final = 2
_TURN_EVERY: Final = 0.5
_PROGRESS_EVERY: Final = 0.1
_RETRY_STORE: Final = 0.2
_NOT_FOR_US: Final = 0.05

_logger = logging.getLogger("onecopy.jobs")


@dataclass(eq=False, slots=True)
class Running:
    """An attempt in this process."""

    job: Job
    task: Task[..., Any]
    call: Callable[[], object] | None = None
    interrupt: JobInterrupted | None = None
    progress: Progress | None = None
    finished: asyncio.Future[Outcome] | None = None
    timer: asyncio.TimerHandle | None = None
    work: asyncio.Task[None] | None = None
    inner: asyncio.Task[object] | None = None
    """The user's coroutine: an interrupt cancels this, and never the recording of its outcome."""
    over: bool = False
    """The user's code has ended: nothing is left to interrupt."""
    kill_at: float | None = None
    released: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)


class JobWorker:
    """One job worker, from the fork to its end."""

    def __init__(
        self,
        tasks: dict[str, Task[..., Any]],
        settings: Settings,
        slot: int,
        channel: Channel,
        scoreboard: Scoreboard,
    ) -> None:
        seed_again()
        log_job_ids()
        faulthandler.register(STACK_SIGNAL, all_threads=True, chain=False)
        channel.setblocking(False)
        self._tasks = tasks
        self._runtime: Runtime = new_runtime(bell=settings.bell)
        self._settings = settings
        self._queues = Queues(settings.queues, settings.weights)
        self._slot = slot
        self._channel = channel
        self._scoreboard = scoreboard
        self._name = str(WorkerName.own(os.getppid()))
        self._main = threading.get_ident()
        self._inbox: queue.SimpleQueue[Running | None] = queue.SimpleQueue()
        self._armed: Running | None = None
        self._running: dict[str, Running] = {}
        self._free = asyncio.Event()
        self._stopping = asyncio.Event()
        self._background: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._folder = os.getcwd()
        self._calls: CallTaker | None = None

    def run(self) -> None:
        """Work until told to leave."""
        signal.signal(_INTERRUPT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_term)
        os.register_at_fork(after_in_child=_forget_signals)
        agent = threading.Thread(target=self._run_agent, name="onecopy agent", daemon=True)
        agent.start()
        while (running := self._inbox.get()) is not None:
            outcome = self._run_sync(running)
            if os.getpid() != self._pid:
                # The task has forked, and this is the child: the attempt is the parent's.
                os._exit(0)
            self._tidy()
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_finish, running, outcome)
        agent.join()

    # The main thread.

    def _run_sync(self, running: Running) -> Outcome:
        assert running.call is not None
        try:
            try:
                self._armed = running
                if running.interrupt is not None:
                    raise running.interrupt
                value = running.call()
            finally:
                self._armed = None
            return Outcome(running.task.encode_result(value))
        except BaseException as error:
            return _interrupted(running, error)

    def _tidy(self) -> None:
        """Undo what a task may have left behind, so that the next one does not depend on it."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        with contextlib.suppress(OSError):
            if _working_folder() != self._folder:
                os.chdir(self._folder)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        running = self._armed
        if running is not None and running.interrupt is not None:
            raise running.interrupt

    def _interrupt(self, running: Running, error: JobInterrupted) -> None:
        """Have an attempt end by an exception; called in the agent's thread."""
        if running.interrupt is not None or running.over:
            return
        running.interrupt = error
        running.kill_at = time.time() + GRACE
        running.cancelled.set()
        self._set_deadline()
        if running.task.is_async:
            if running.inner is not None:
                running.inner.cancel()
        else:
            signal.pthread_kill(self._main, _INTERRUPT)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    # The agent's thread.

    def _run_agent(self) -> None:
        try:
            asyncio.run(self._agent())
        finally:
            self._inbox.put(None)

    async def _agent(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._runtime.open()
        self._loop.add_reader(self._channel.fileno(), self._read_channel)
        sweeper = Sweeper(self._runtime, self._policy_of)
        helpers = [
            asyncio.create_task(self._turn()),
            asyncio.create_task(self._follow()),
            asyncio.create_task(self._sweep(sweeper)),
            asyncio.create_task(self._send_progress()),
        ]
        self._channel.send({"event": "ready", "worker": self._name})
        if self._settings.calls >= 0:
            self._calls = CallTaker(
                self._settings.calls, lambda: self._free_places() > 0, self._run_call
            )
            self._later(self._calls.take())
        try:
            await self._claim_until_stopped()
            await self._drain()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._runtime.close()

    async def _claim_until_stopped(self) -> None:
        while not self._stopping.is_set():
            free = self._free_places()
            if free == 0:
                await self._wait(self._free)
                continue
            jobs = await self._claim(free)
            for job in jobs:
                self._start(job)
            if not jobs:
                await self._wait_for_work()

    def _free_places(self) -> int:
        """Return how many attempts may begin: one where it could be a sync one."""
        if any(not running.task.is_async for running in self._running.values()):
            return 0
        coming = self._calls.coming if self._calls is not None else 0
        free = self._settings.concurrency - len(self._running) - coming
        if all(task.is_async for task in self._tasks.values()):
            return max(0, free)
        return 0 if coming else max(0, min(free, 1))

    async def _claim(self, limit: int) -> list[Job]:
        now = time.time()
        try:
            jobs = await self._runtime.store.claim(
                self._name, self._queues.order(), now=now, until=now + LEASE, limit=limit
            )
        except Unavailable as error:
            _logger.error("cannot claim: %s", error)
            await asyncio.sleep(_SWEEP_EVERY)
            return []
        self._queues.took(job.queue for job in jobs)
        return jobs

    async def _wait_for_work(self) -> None:
        """Wait for a ring, for the next job that becomes due, or for one to sweep."""
        seconds = _SWEEP_EVERY
        with contextlib.suppress(Unavailable):
            due = await self._runtime.store.next_due(self._settings.queues)
            if due is not None:
                # One that is due already and was not claimed has expired, or another has it.
                wait = due - time.time()
                seconds = min(seconds, wait if wait > 0 else _NOT_FOR_US)
        ring = asyncio.ensure_future(
            self._runtime.engine.wait_for_ring(self._settings.queues, seconds)
        )
        await self._wait(self._free, ring)

    async def _wait(self, event: asyncio.Event, other: asyncio.Future[bool] | None = None) -> None:
        """Wait for an event, for something else, or for the order to stop."""
        event.clear()
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(event.wait()),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        if other is not None:
            waits.append(other)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    # One attempt.

    def _start(self, job: Job) -> None:
        task = self._tasks.get(job.task)
        running = Running(job, task) if task is not None else None
        if running is None:
            self._later(self._refuse(job))
            return
        self._running[job.id] = running
        running.work = asyncio.get_running_loop().create_task(self._attempt(running))

    async def _refuse(self, job: Job) -> None:
        """Give a job back whose task is not known here; another worker may know it."""
        _logger.error("job %s: no task %r here; it is left to others", job.id, job.task)
        assert job.lease is not None
        await asyncio.sleep(_SWEEP_EVERY)
        await self._record(job, Release(job.lease.token))

    async def _attempt(self, running: Running) -> None:
        job = running.job
        try:
            outcome = await self._limited(running)
            if not running.released:
                await self._report(running)
                await self._record(job, settle(job, outcome, running.task.policy, time.time()))
        finally:
            self._running.pop(job.id, None)
            self._set_free()

    async def _limited(self, running: Running) -> Outcome:
        """Perform an attempt within its time limit."""
        if running.job.timeout is not None:
            limit = TimeLimitReached(running.job.timeout, running.job.id)
            running.timer = asyncio.get_running_loop().call_later(
                running.job.timeout, self._interrupt, running, limit
            )
        self._set_deadline()
        try:
            return await self._perform(running)
        finally:
            running.over = True
            if running.timer is not None:
                running.timer.cancel()
            self._set_deadline()

    def _set_free(self) -> None:
        self._free.set()
        if self._calls is not None:
            self._calls.room.set()

    async def _perform(self, running: Running) -> Outcome:
        try:
            running.call = prepare(
                running.task,
                running.job,
                lambda progress: _note(running, progress),
                running.cancelled,
            )
        except Exception as error:
            return Outcome(error=error)
        if running.task.is_async:
            return await self._perform_async(running)
        running.finished = asyncio.get_running_loop().create_future()
        self._inbox.put(running)
        return await running.finished

    async def _perform_async(self, running: Running) -> Outcome:
        assert running.call is not None
        try:
            if running.interrupt is not None:
                raise running.interrupt
            work = cast(Coroutine[Any, Any, object], running.call())
            running.inner = asyncio.get_running_loop().create_task(work)
            return Outcome(running.task.encode_result(await running.inner))
        except asyncio.CancelledError as error:
            return _interrupted(running, running.interrupt or error)
        except BaseException as error:
            return Outcome(error=error)

    async def _record(self, job: Job, change: Change) -> None:
        """Record what became of an attempt, however long the store is away."""
        while True:
            try:
                await self._runtime.change(job.id, change)
                return
            except Unavailable as error:
                _logger.error("job %s: its outcome waits for the store: %s", job.id, error)
                await asyncio.sleep(_RETRY_STORE)
            except (NotAllowed, KeyError) as error:
                _logger.warning("job %s: its outcome is refused: %s", job.id, error)
                return
            except Exception as error:
                # Whatever it is, a job must not stay running for ever.
                _logger.exception("job %s: its outcome cannot be recorded", job.id)
                assert job.lease is not None
                if isinstance(change, Fail):
                    change = Release(job.lease.token)
                    await asyncio.sleep(_SWEEP_EVERY)
                else:
                    failure = Failure(type(error).__name__, "its outcome cannot be recorded")
                    change = Fail(job.lease.token, failure)

    # Calls.

    async def _run_call(self, question: dict[str, Any]) -> dict[str, object]:
        name: str = question["task"]
        task = self._tasks.get(name)
        if task is None:
            return {"unknown": True}
        now = time.time()
        job = Job(
            id="",
            task=name,
            arguments=question["arguments"],
            created_at=now,
            due_at=now,
            started_at=now,
            attempt=1,
            timeout=question["timeout"],
        )
        running = Running(job, task)
        key = f"call {id(running)}"
        self._running[key] = running
        try:
            outcome = await self._limited(running)
        finally:
            self._running.pop(key, None)
            self._set_free()
        if outcome.error is None:
            return {"result": outcome.result}
        failure = describe(outcome.error)
        return {"type": failure.type, "message": failure.message}

    # What goes on besides.

    async def _turn(self) -> None:
        while True:
            self._scoreboard.turned(self._slot)
            await asyncio.sleep(_TURN_EVERY)

    async def _follow(self) -> None:
        """Notice that somebody cancels what runs here."""
        async for job in self._runtime.engine.changes():
            if job in self._running:
                await self._look_at([job])

    async def _look_at(self, ids: list[str]) -> None:
        with contextlib.suppress(Unavailable):
            for job in await self._runtime.store.get(ids):
                running = self._running.get(job.id)
                if running is not None and job.cancelling:
                    self._interrupt(running, JobCancelled(job.id))

    async def _sweep(self, sweeper: Sweeper) -> None:
        swept = 0
        while True:
            await asyncio.sleep(_SWEEP_EVERY * random.uniform(0.7, 1.3))
            try:
                if swept % _BURY_EVERY == 0:
                    await sweeper.bury()
                swept += 1
                await sweeper.sweep()
                if self._running:
                    await self._runtime.store.extend([self._name], until=time.time() + LEASE)
                    await self._look_at(list(self._running))
            except Unavailable as error:
                _logger.error("cannot sweep: %s", error)
            except Exception:
                _logger.exception("cannot sweep")

    async def _send_progress(self) -> None:
        """Record how far attempts have come, as often as a person can see."""
        while True:
            await asyncio.sleep(_PROGRESS_EVERY)
            for running in list(self._running.values()):
                await self._report(running)

    async def _report(self, running: Running) -> None:
        progress, running.progress = running.progress, None
        if progress is not None and running.job.lease is not None:
            try:
                change = Advance(running.job.lease.token, progress)
                await self._runtime.change(running.job.id, change)
            except (NotAllowed, KeyError, Unavailable):
                pass  # The outcome will say so too.
            except Exception:
                # It is whatever the task has said of itself.
                _logger.exception("job %s: its progress cannot be recorded", running.job.id)

    def _read_channel(self) -> None:
        try:
            for message in self._channel.receive():
                if message["command"] in ("drain", "stop"):
                    self._stopping.set()
                elif message["command"] == "lost":
                    self._later(self._lose(message))
        except Closed:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._stopping.set()

    async def _lose(self, message: dict[str, str]) -> None:
        """Record the end of another worker of this run, as the supervisor saw it, and say so."""
        sweeper = Sweeper(self._runtime, self._policy_of)
        failure = Failure("WorkerLost", message["reason"])
        while True:
            try:
                await sweeper.lose_worker(message["worker"], failure)
                break
            except Unavailable:
                await asyncio.sleep(_RETRY_STORE)
            except Exception:
                # Nobody else would fare better: what is left is ended when its lease is over.
                _logger.exception("what a lost worker had cannot be ended")
                break
        with contextlib.suppress(Closed):
            self._channel.send({"event": "recorded", "worker": message["worker"]})

    async def _drain(self) -> None:
        """Let attempts end; give back what has not ended when the time is over."""
        waiting: set[asyncio.Future[None]] = set()
        waiting |= {r.work for r in self._running.values() if r.work is not None}
        if self._calls is not None:
            self._calls.stop()
            waiting |= self._calls.answering
        if waiting:
            await asyncio.wait(waiting, timeout=self._settings.timeout_graceful_shutdown)
        left = list(self._running.values())
        for running in left:
            running.released = True
            if running.job.lease is not None:
                await self._record(running.job, Release(running.job.lease.token))
        if left:
            # The main thread is in the user's code: there is no way to leave but this.
            os._exit(0)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _policy_of(self, task: str) -> RetryPolicy:
        known = self._tasks.get(task)
        return known.policy if known is not None else RetryPolicy()

    def _set_deadline(self) -> None:
        """Tell the supervisor until when this process may go on without being killed."""
        ends = [
            running.job.started_at + running.job.timeout + GRACE
            for running in self._running.values()
            if running.job.timeout is not None and running.job.started_at is not None
            if not running.over
        ]
        limits = [
            running.task.declared.max_memory
            for running in self._running.values()
            if running.task.declared.max_memory is not None and not running.over
        ]
        self._scoreboard.set_memory_limit(self._slot, min(limits, default=None))
        ends += [
            running.kill_at
            for running in self._running.values()
            if running.kill_at is not None and not running.over
        ]
        self._scoreboard.set_deadline(self._slot, min(ends, default=None))


def _finish(running: Running, outcome: Outcome) -> None:
    if running.finished is not None and not running.finished.done():
        running.finished.set_result(outcome)


def _interrupted(running: Running, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that ended by an exception."""
    return Outcome(error=error, interrupted=error is running.interrupt)


def _forget_signals() -> None:
    """In a child that a task has forked: it ends by SIGTERM as any process does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(_INTERRUPT, signal.SIG_IGN)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # It has been deleted.


def _note(running: Running, progress: Progress) -> None:
    running.progress = sound(progress) or running.progress
