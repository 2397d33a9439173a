"""The keeper: a process beside Celery's pool that does what is to be done for all of its children.

It is no thread of the main process, because that one forks children as long as it lives, and a fork
does not go with threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from onecopy.celery.children import Children
from onecopy.celery.publishing import Publishing
from onecopy.execution.connect import new_runtime
from onecopy.execution.lease import LEASE
from onecopy.execution.policy import RetryPolicy
from onecopy.server.channel import Channel, Closed
from onecopy.server.process import die_with, seed_again, set_name
from onecopy.server.sweeping import Sweeping
from onecopy.stores import Unavailable
from onecopy.webhooks.courier import Courier, sender_for

if TYPE_CHECKING:
    from onecopy.server.scoreboard import Scoreboard
    from onecopy.tasks import Task
    from onecopy.webhooks.config import Webhooks

_RETRY_STORE: Final = 0.5
_LOOK_EVERY: Final = 0.5
_logger = logging.getLogger("onecopy.jobs")


@dataclass(frozen=True)
class Duties:
    """What a keeper is to know; tasks and queues are those of its worker."""

    tasks: dict[str, Task[..., Any]]
    queues: Sequence[str]
    webhooks: Webhooks
    scoreboard: Scoreboard


def fork(duties: Duties) -> tuple[int, Channel]:
    """Start a keeper; return its pid, and the channel to it."""
    ours, theirs = Channel.pair()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    status = 1
    try:
        ours.close()
        _begin(parent)
        asyncio.run(Keeper(duties, theirs).run())
        status = 0
    except ProcessLookupError:
        status = 0  # The parent is gone.
    except BaseException:
        _logger.exception("the keeper has failed")
    finally:
        os._exit(status)


def _begin(parent: int) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGINT):
        # The main process tells it when to leave: after the pool.
        signal.signal(number, signal.SIG_IGN)
    die_with(parent)
    seed_again()
    with contextlib.suppress(OSError):
        set_name("onecopy keeper")


class Keeper:
    """What the process does."""

    def __init__(self, duties: Duties, channel: Channel) -> None:
        self._duties = duties
        self._channel = channel
        channel.setblocking(False)
        self._children = Children(duties.scoreboard)
        self._stop = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._runtime = new_runtime()
        self._sweeping = Sweeping(self._runtime, self._policy_of)
        self._publishing = Publishing(self._runtime, duties.queues, duties.tasks)
        self._courier = Courier(self._runtime.store.deliveries, sender_for(duties.webhooks))
        self._runtime.on_deliveries = self._courier.wake

    async def run(self) -> None:
        """Work until told to leave, or nobody is there to tell it."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._read)
        if not await self._opened():
            return
        self._courier.start()
        helpers = [
            asyncio.create_task(self._sweeping.run(self._keep_leases)),
            asyncio.create_task(self._publish()),
            asyncio.create_task(self._watch()),
        ]
        await self._stop.wait()
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await self._courier.stop()
        await self._runtime.close()

    async def _opened(self) -> bool:
        while not self._stop.is_set():
            try:
                await self._runtime.open()
                return True
            except Unavailable as error:
                _logger.error("%s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_STORE):
                        await self._stop.wait()
        return False

    async def _publish(self) -> None:
        while True:
            try:
                await self._publishing.run()
            except Unavailable as error:
                _logger.error("cannot look for what is due: %s", error)
            except Exception:
                _logger.exception("cannot publish what is due")
            await asyncio.sleep(_RETRY_STORE)

    # What the main process says.

    def _read(self) -> None:
        try:
            for message in self._channel.receive():
                self._obey(message)
        except Closed:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._stop.set()

    def _obey(self, message: dict[str, Any]) -> None:
        match message["command"]:
            case "child":
                self._children.came(message["worker"], message["slot"])
            case "lost":
                doom = self._children.left(message["worker"])
                self._later(self._lose(message, doom or message["reason"]))
            case "cancel":
                self._later(self._cancel(message["job"]))
            case "stop":
                self._later(self._leave())
            case other:
                raise AssertionError(other)

    async def _lose(self, message: dict[str, Any], reason: str) -> None:
        await self._sweeping.lose(message["worker"], reason, message["begun"])
        with contextlib.suppress(Closed):
            self._channel.send({"event": "recorded", "worker": message["worker"]})

    async def _cancel(self, job: str) -> None:
        with contextlib.suppress(KeyError, Unavailable):
            await self._runtime.cancel(job)

    async def _leave(self) -> None:
        """Leave once all that was said before is done."""
        others = self._background - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)
        self._stop.set()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # For the children.

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self._read()  # Whoever has died, and is told of, has left its slot to another.
            self._children.kill_overdue()
            for loss in self._children.untold():
                self._later(self._sweeping.lose(*loss))

    async def _keep_leases(self) -> None:
        """Of those that have begun attempts, as they have marked them.

        Each does so itself, unless its task is in code that lets nobody else run.
        """
        if busy := self._children.busy():
            await self._runtime.store.extend(busy, until=time.time() + LEASE)

    def _policy_of(self, task: str) -> RetryPolicy:
        known = self._duties.tasks.get(task)
        return known.policy if known is not None else RetryPolicy()
