"""The job worker: claims attempts, runs them, records what became of them.

Two threads. The main thread runs sync tasks, one at a time: a time limit or a cancellation reaches
them there by a signal, at the next bytecode or when they come back from C. The *agent* thread has
an event loop: it claims, runs async tasks, follows changes, sweeps, and speaks with the supervisor.
What neither can stop, the supervisor kills: the deadline of the attempt stands on the scoreboard.

main_thread.py     sync tasks, one at a time
attempts.py        all attempts, each from its start until its outcome is on record
attempt.py         what is known of one
said.py            what an attempt says of itself until it is on record
log_lines.py       collects what tasks log
claims.py          claims as many as there are free places
places.py          how many these are
doubts.py          gives back what was claimed without that an answer came
passing_over.py    which tasks are passed over, for now
recorder.py        outcomes and progress, into the store
cancellations.py   notices that a running job is cancelled
allowance.py       until when the supervisor lets this worker go on
begun.py           what it has begun, for the case that it is killed
lease_keeping.py   lengthens leases, or ends attempts in time
sweeping.py        what it does for all
job_calls.py       takes calls
call_gateway.py    takes calls of other hosts
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import Any, Final

from onecopy.execution.connect import new_runtime
from onecopy.execution.distant_calls import secret_here
from onecopy.execution.identity import WorkerName
from onecopy.execution.policy import RetryPolicy
from onecopy.execution.queues import Queues
from onecopy.execution.runtime import Runtime
from onecopy.server.allowance import Allowance
from onecopy.server.attempts import Attempts
from onecopy.server.begun import Begun
from onecopy.server.call_gateway import CallGateway, announce
from onecopy.server.cancellations import Cancellations
from onecopy.server.channel import Channel, Closed
from onecopy.server.claims import Claims
from onecopy.server.job_calls import CallRunner, CallTaker
from onecopy.server.lease_keeping import LeaseKeeping
from onecopy.server.limits import STACK_SIGNAL
from onecopy.server.log_lines import collect
from onecopy.server.places import Places
from onecopy.server.process import seed_again
from onecopy.server.recorder import Recorder
from onecopy.server.scoreboard import Scoreboard
from onecopy.server.settings import Settings
from onecopy.server.sweeping import Sweeping
from onecopy.stores import Unavailable
from onecopy.subscriptions import Subscription
from onecopy.subscriptions.replies import with_replies
from onecopy.subscriptions.subscribers import run_all
from onecopy.tasks import Task, log_job_ids
from onecopy.webhooks.config import Webhooks
from onecopy.webhooks.courier import Courier, sender_for

type LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_TURN_EVERY: Final = 0.5
_OPEN_AGAIN: Final = 0.5
_RECORD_EVERY: Final = 0.1
"""Seconds after which what attempts say of themselves is recorded: as often as one can see."""
_logger = logging.getLogger("onecopy.jobs")


class JobWorker:
    """One job worker, from the fork to its end."""

    def __init__(self, agent: "Agent", loop_factory: LoopFactory | None) -> None:
        """Take what the second thread does, and what makes its event loop."""
        seed_again()
        log_job_ids()
        faulthandler.register(STACK_SIGNAL, all_threads=True, chain=False)
        self._agent = agent
        self._loop_factory = loop_factory

    def run(self) -> None:
        """Work until told to leave."""
        signal.signal(signal.SIGTERM, self._on_term)
        thread = threading.Thread(target=self._run_agent, name="onecopy agent", daemon=True)
        thread.start()
        self._agent.main_thread.run()
        thread.join()

    def _run_agent(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._agent.run())
        finally:
            self._agent.main_thread.close()

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        self._agent.stop_soon()


class Agent:
    """What the second thread does; to be made in the main thread."""

    def __init__(
        self,
        tasks: dict[str, Task[..., Any]],
        webhooks: Webhooks,
        subscriptions: Sequence[Subscription],
        settings: Settings,
        slot: int,
        channel: Channel,
        scoreboard: Scoreboard,
    ) -> None:
        levels = [each.declared.log_level for each in tasks.values()]
        collect(min((level for level in levels if level is not None), default=logging.CRITICAL))
        channel.setblocking(False)
        self._tasks = tasks
        self._subscriptions = subscriptions
        self._settings = settings
        self._slot = slot
        self._channel = channel
        self._scoreboard = scoreboard
        self._name = str(WorkerName.own(os.getppid()))
        self._runtime: Runtime = new_runtime(bell=settings.bell)
        self._recorder = Recorder(self._runtime)
        begun = Begun(scoreboard, slot)
        self._attempts = Attempts(tasks, self._recorder, begun, Allowance(scoreboard, slot))
        self.main_thread = self._attempts.main_thread
        self._cancellations = Cancellations(self._runtime, self._attempts)
        self._sweeping = Sweeping(self._runtime, self._policy_of)
        self._leases = LeaseKeeping(self._runtime, self._name, self._attempts, self._recorder)
        self._places = Places(tasks.values(), settings.concurrency, self._attempts)
        queues = Queues(settings.queues, settings.weights)
        self._claims = Claims(self._runtime, self._name, queues, self._attempts, self._places)
        sender = with_replies(subscriptions, sender_for(webhooks))
        self._courier = Courier(self._runtime.store.deliveries, sender)
        self._runtime.on_deliveries = self._courier.wake
        self._calls: CallTaker | None = None
        self._gateway: CallGateway | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened = asyncio.Event()
        self._background: set[asyncio.Future[None]] = set()

    def stop_soon(self) -> None:
        """Have it leave; for signal handlers and other threads."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._claims.stop)

    async def run(self) -> None:
        """Work until told to leave."""
        self._loop = asyncio.get_running_loop()
        self.main_thread.connect()
        self._loop.add_reader(self._channel.fileno(), self._read_channel)
        turning = asyncio.create_task(self._turn())
        self._channel.send({"event": "ready", "worker": self._name})
        try:
            if await self._open_store():
                self._opened.set()
                await self._work()
        finally:
            turning.cancel()
            await self._runtime.close()

    async def _open_store(self) -> bool:
        """Open store and engine, however long they are away; False if it is to leave before."""
        said = ""
        while not self._claims.stopping:
            try:
                await self._runtime.open()
            except Unavailable as error:
                if str(error) != said:
                    said = str(error)
                    _logger.error("no job can be run yet: %s", said)
                await asyncio.sleep(_OPEN_AGAIN)
            else:
                return True
        return False

    async def _work(self) -> None:
        helpers = [
            asyncio.create_task(self._cancellations.follow()),
            asyncio.create_task(self._leases.run()),
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self._record_what_is_said()),
            asyncio.create_task(run_all(self._subscriptions)),
        ]
        self._take_calls()
        helpers += await self._take_distant_calls()
        self._courier.start()
        try:
            await self._claims.run()
            await self._drain()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._courier.stop()

    def _take_calls(self) -> None:
        if self._settings.calls < 0:
            return
        runner = CallRunner(self._tasks, self._attempts)
        calls = CallTaker(
            self._settings.calls, self._places.for_call, runner.run, self._attempts.tell_free
        )
        self._places.coming = lambda: calls.coming
        self._attempts.on_free.append(calls.room)
        calls.room()
        self._calls = calls

    async def _take_distant_calls(self) -> list[asyncio.Task[None]]:
        secret = secret_here()
        if self._settings.distant_calls < 0 or secret is None:
            return []
        self._gateway = CallGateway(self._settings.distant_calls, secret, self._runtime.ask_here)
        await self._gateway.start()
        announcing = announce(self._runtime.store, self._settings.calls_address)
        return [asyncio.create_task(announcing)]

    async def _turn(self) -> None:
        while True:
            self._scoreboard.turned(self._slot)
            await asyncio.sleep(_TURN_EVERY)

    async def _sweep(self) -> None:
        await self._sweeping.run(self._cancellations.look)

    async def _record_what_is_said(self) -> None:
        while True:
            await asyncio.sleep(_RECORD_EVERY)
            self._attempts.report_all()
            if untold := self._attempts.untold():
                await self._runtime.engine.tell(untold)

    def _read_channel(self) -> None:
        try:
            for message in self._channel.receive():
                if message["command"] in ("drain", "stop"):
                    self._claims.stop()
                elif message["command"] == "lost":
                    self._later(self._lose(message))
        except Closed:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._claims.stop()

    async def _lose(self, message: dict[str, Any]) -> None:
        await self._opened.wait()
        await self._sweeping.lose(message["worker"], message["reason"], message["begun"])
        with contextlib.suppress(Closed):
            self._channel.send({"event": "recorded", "worker": message["worker"]})

    async def _drain(self) -> None:
        """Let attempts end; give back what has not ended when the time is over."""
        self._attempts.release_waiting()
        answering: set[asyncio.Task[None]] = set()
        if self._gateway is not None:
            await self._gateway.stop()
        if self._calls is not None:
            self._calls.stop()
            answering = self._calls.answering
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.timeout_graceful_shutdown):
                if answering:
                    await asyncio.wait(answering)
                await self._attempts.all_ended()
        left = len(self._attempts)
        self._attempts.abandon()
        await self._recorder.settled()
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
