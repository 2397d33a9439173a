"""Hears from RabbitMQ which jobs there are, for as long as a worker waits for some.

A message that was delivered to a worker cannot be delivered to another one. So a worker is given
as many as it asked for, and the next ones only when it asks again (what it has claimed is
acknowledged then); one that has not asked for a while hears nothing, and gives back what it has.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from yarl import URL

from onecopy.engines import cloud_events
from onecopy.engines.base import Rung
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_hearing import Hearing
from onecopy.engines.rabbitmq_link import ERRORS, Link
from onecopy.engines.rabbitmq_queues import LEVELS, Queues
from onecopy.messages import InvalidMessage

_PATIENCE: Final = 0.05
"""Seconds for which messages come although nobody waits: the next wait is likely to be soon."""
PREFIXES: Final = ("cloudEvents_", "cloudEvents:")

type Bury = Callable[[AbstractIncomingMessage, str], None]


class _Heard(NamedTuple):
    rung: Rung
    message: AbstractIncomingMessage


class Consumer:
    """One connection that hears of the jobs of some queues."""

    def __init__(self, url: URL, queues: Queues, presence: Presence, bury: Bury) -> None:
        """bury: has a message put to the dead letters, with the reason."""
        self._queues = queues
        self._bury = bury
        self._link = Link(url, "worker", presence, self._consume)
        self._of: tuple[str, ...] = ()
        self._limit = 1
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        """Set when what is consumed may have to change: somebody waits, or nobody any more."""
        self._heard: list[deque[_Heard]] = [deque() for _ in LEVELS]
        self._some = asyncio.Event()
        self._named: list[_Heard] = []
        self._claimed: list[AbstractIncomingMessage] = []
        self._has_buried = False
        """Whether what this connection has brought went to the dead letters."""

    async def close(self) -> None:
        """Let go; what was heard and not claimed is others'."""
        if self._timer is not None:
            self._timer.cancel()
        await self._acknowledge()
        await self._link.stop()

    # What a worker asks.

    async def wait(self, queues: Sequence[str], seconds: float, limit: int) -> list[Rung] | None:
        """Wait until a job is named, so long at most; None: none was."""
        if self._named:  # Nobody said that they were claimed.
            return [heard.rung for heard in self._named]
        self._want(tuple(queues), limit)
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._some.wait()
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1
            self._later()
        return self._take(limit)

    def claimed(self) -> None:
        """Hear that what was named is to be acknowledged, at the next wait."""
        self._claimed += [heard.message for heard in self._named]
        self._named = []

    def _want(self, queues: tuple[str, ...], limit: int) -> None:
        self._link.start()
        self._of = queues
        self._limit = max(limit, self._limit)
        self._changed.set()

    def _later(self) -> None:
        """Look soon whether anybody waits."""
        if not self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            self._changed.set()

    def _take(self, limit: int) -> list[Rung]:
        while len(self._named) < limit and (level := next(filter(None, self._heard), None)):
            self._named.append(level.popleft())
        if not any(self._heard):
            self._some.clear()
        return [heard.rung for heard in self._named]

    # What RabbitMQ is asked.

    async def _consume(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        hearing = Hearing(channel, self._queues, self._hear)
        await hearing.prepare(self._changed.set)
        self._link.works()
        try:
            while True:
                hearing.check()
                await self._acknowledge()
                await self._adjust(hearing)
                await self._changed.wait()
                self._changed.clear()
        finally:
            self._forget()

    async def _adjust(self, hearing: Hearing) -> None:
        if self._waiting:
            await hearing.go_on(self._of, self._limit)
        elif self._timer is None and hearing.goes_on:
            await hearing.stop()
            await self._give_back()
            self._limit = 1

    async def _hear(self, level: int, message: AbstractIncomingMessage) -> None:
        try:
            rung = cloud_events.named(message.headers, *PREFIXES)
        except InvalidMessage as error:
            self._has_buried = True
            self._bury(message, str(error))
            return
        self._heard[level].append(_Heard(rung, message))
        self._some.set()

    async def _acknowledge(self) -> None:
        """Acknowledge what was claimed: with one word, if nothing else was delivered here."""
        claimed, self._claimed = self._claimed, []
        alone = claimed and not (self._has_buried or self._named or any(self._heard))
        if alone:
            claimed = [max(claimed, key=lambda message: message.delivery_tag or 0)]
        with contextlib.suppress(*ERRORS):  # Its channel is gone: it is delivered again.
            for message in claimed:
                await message.ack(multiple=bool(alone))

    async def _give_back(self) -> None:
        for level in self._heard:
            while level:
                await level.popleft().message.nack(requeue=True)
        self._some.clear()

    def _forget(self) -> None:
        """What a connection has brought is delivered again, by the next one or to another."""
        self._has_buried = False
        self._named.clear()
        self._claimed.clear()
        for level in self._heard:
            level.clear()
        self._some.clear()
        self._changed.set()
