"""The job worker: claims attempts, runs them, records what became of them.

Two threads. The main thread runs sync tasks, one at a time: a time limit or a cancellation reaches
them there by a signal, at the next bytecode or when they come back from C. The *agent* thread has
an event loop: it claims, runs async tasks, follows changes, sweeps, and speaks with the supervisor.
What neither can stop, the supervisor kills: the deadline of the attempt stands on the scoreboard.
"""

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import queue
import random
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, cast

from onecopy.errors import JobCancelled, JobInterrupted, TimeLimitReached
from onecopy.execution import calls
from onecopy.execution.attempt import Outcome, describe, settle
from onecopy.execution.connect import new_runtime
from onecopy.execution.identity import WorkerName
from onecopy.execution.policy import RetryPolicy
from onecopy.execution.runtime import Runtime
from onecopy.execution.sweeper import LEASE, Sweeper
from onecopy.jobs import Advance, Change, Failure, Job, NotAllowed, Progress, Release
from onecopy.server.channel import Channel, Closed
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
_TURN_EVERY: Final = 0.5
_PROGRESS_EVERY: Final = 0.1
_RETRY_STORE: Final = 0.2

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
        self._slot = slot
        self._channel = channel
        self._scoreboard = scoreboard
        self._name = str(WorkerName.own())
        self._main = threading.get_ident()
        self._inbox: queue.SimpleQueue[Running | None] = queue.SimpleQueue()
        self._armed: Running | None = None
        self._running: dict[str, Running] = {}
        self._free = asyncio.Event()
        self._stopping = asyncio.Event()
        self._background: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Work until told to leave."""
        signal.signal(_INTERRUPT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_term)
        agent = threading.Thread(target=self._run_agent, name="onecopy agent", daemon=True)
        agent.start()
        while (running := self._inbox.get()) is not None:
            outcome = self._run_sync(running)
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
            return Outcome(error=error)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        running = self._armed
        if running is not None and running.interrupt is not None:
            raise running.interrupt

    def _interrupt(self, running: Running, error: JobInterrupted) -> None:
        """Have an attempt end by an exception; called in the agent's thread."""
        if running.interrupt is not None:
            return
        running.interrupt = error
        running.cancelled.set()
        self._set_deadline()
        if running.work is not None and running.task.is_async:
            running.work.cancel()
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
        self._listen_for_calls()
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
        free = self._settings.concurrency - len(self._running)
        only_async = all(task.is_async for task in self._tasks.values())
        return free if only_async else min(free, 1)

    async def _claim(self, limit: int) -> list[Job]:
        now = time.time()
        try:
            return await self._runtime.store.claim(
                self._name, self._settings.queues, now=now, until=now + LEASE, limit=limit
            )
        except Unavailable as error:
            _logger.error("cannot claim: %s", error)
            await asyncio.sleep(_SWEEP_EVERY)
            return []

    async def _wait_for_work(self) -> None:
        """Wait for a ring, for the next job that becomes due, or for one to sweep."""
        seconds = _SWEEP_EVERY
        with contextlib.suppress(Unavailable):
            due = await self._runtime.store.next_due(self._settings.queues)
            if due is not None:
                seconds = min(seconds, max(0.0, due - time.time()))
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
        loop = asyncio.get_running_loop()
        if running.task.timeout is not None:
            limit = TimeLimitReached(running.task.timeout)
            running.timer = loop.call_later(running.task.timeout, self._interrupt, running, limit)
        self._set_deadline()
        try:
            outcome = await self._perform(running)
            if not running.released:
                await self._report(running)
                await self._record(job, settle(job, outcome, running.task.policy, time.time()))
        finally:
            if running.timer is not None:
                running.timer.cancel()
            self._running.pop(job.id, None)
            self._set_deadline()
            self._free.set()

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
            value = await cast(Awaitable[object], running.call())
            return Outcome(running.task.encode_result(value))
        except asyncio.CancelledError as error:
            return Outcome(error=running.interrupt or error)
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

    # Calls.

    def _listen_for_calls(self) -> None:
        if self._settings.calls >= 0:
            listener = socket.socket(fileno=os.dup(self._settings.calls))
            listener.setblocking(False)
            self._calls = listener
            self._later(self._take_calls(listener))

    async def _take_calls(self, listener: socket.socket) -> None:
        """Accept a call whenever a place is free: who calls waits in the socket's queue."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            if self._free_places() == 0:
                await asyncio.sleep(0.001)
                continue
            sock, _ = await loop.sock_accept(listener)
            self._later(self._answer_call(sock))

    async def _answer_call(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=calls.LONGEST)
        with contextlib.suppress(OSError, ValueError):
            question = json.loads(await reader.readline())
            answer = await self._run_call(question["task"], question["arguments"])
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _run_call(self, name: str, arguments: str) -> dict[str, object]:
        task = self._tasks.get(name)
        if task is None:
            return {"unknown": True}
        now = time.time()
        job = Job(id="", task=name, arguments=arguments, created_at=now, due_at=now)
        running = Running(job, task)
        key = f"call {id(running)}"
        self._running[key] = running
        try:
            outcome = await self._perform(running)
        finally:
            self._running.pop(key, None)
            self._free.set()
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
        while True:
            await asyncio.sleep(_SWEEP_EVERY * random.uniform(0.7, 1.3))
            try:
                await sweeper.sweep()
                if self._running:
                    await self._runtime.store.extend([self._name], until=time.time() + LEASE)
                    await self._look_at(list(self._running))
            except Unavailable as error:
                _logger.error("cannot sweep: %s", error)

    async def _send_progress(self) -> None:
        """Record how far attempts have come, as often as a person can see."""
        while True:
            await asyncio.sleep(_PROGRESS_EVERY)
            for running in list(self._running.values()):
                await self._report(running)

    async def _report(self, running: Running) -> None:
        progress, running.progress = running.progress, None
        if progress is not None and running.job.lease is not None:
            with contextlib.suppress(NotAllowed, KeyError, Unavailable):
                change = Advance(running.job.lease.token, progress)
                await self._runtime.change(running.job.id, change)

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
        """Record the end of another worker of this run, as the supervisor saw it."""
        sweeper = Sweeper(self._runtime, self._policy_of)
        with contextlib.suppress(Unavailable):
            await sweeper.lose_worker(message["worker"], Failure("WorkerLost", message["reason"]))

    async def _drain(self) -> None:
        """Let attempts end; give back what has not ended when the time is over."""
        waiting = [r.work for r in self._running.values() if r.work is not None]
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
            running.job.started_at + running.task.timeout + GRACE
            for running in self._running.values()
            if running.task.timeout is not None and running.job.started_at is not None
        ]
        limits = [
            running.task.declared.max_memory
            for running in self._running.values()
            if running.task.declared.max_memory is not None
        ]
        self._scoreboard.set_memory_limit(self._slot, min(limits, default=None))
        if any(running.interrupt is not None for running in self._running.values()):
            ends.append(time.time() + GRACE)
        self._scoreboard.set_deadline(self._slot, min(ends, default=None))


def _finish(running: Running, outcome: Outcome) -> None:
    if running.finished is not None and not running.finished.done():
        running.finished.set_result(outcome)


def _note(running: Running, progress: Progress) -> None:
    running.progress = progress
