"""Hears from RabbitMQ which jobs there are, for as long as a worker waits for some.

A message that was delivered to a worker cannot be delivered to another one. So a worker is given
as many as it asked for, and the next ones only when it asks again (what it has claimed is
acknowledged then); one that has not asked for a while hears nothing, and gives back what it has.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from yarl import URL

from onecopy.engines import cloud_events
from onecopy.engines.base import Rung
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_deliveries import Delivered, Deliveries
from onecopy.engines.rabbitmq_frames import headers
from onecopy.engines.rabbitmq_hearing import Hearing
from onecopy.engines.rabbitmq_letters import dead_letter
from onecopy.engines.rabbitmq_link import Link
from onecopy.engines.rabbitmq_publisher import Publisher
from onecopy.engines.rabbitmq_queues import LEVELS, Queues
from onecopy.engines.rabbitmq_wire import WiredConnection
from onecopy.messages import InvalidMessage

_PATIENCE: Final = 0.05
"""Seconds for which messages come although nobody waits: the next wait is likely to be soon."""
PREFIXES: Final = ("cloudEvents_", "cloudEvents:")


class _Heard(NamedTuple):
    rung: Rung
    tag: int


class Consumer:
    """One connection that hears of the jobs of some queues."""

    def __init__(self, url: URL, queues: Queues, presence: Presence, publisher: Publisher) -> None:
        """publisher: has what cannot be read put to the dead letters."""
        self._queues = queues
        self._publisher = publisher
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
        self._deliveries: Deliveries | None = None
        """Of the connection there is, which has brought all that was heard."""

    async def close(self) -> None:
        """Let go; what was heard and not claimed is others'."""
        if self._timer is not None:
            self._timer.cancel()
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
        """Acknowledge what was named."""
        named, self._named = self._named, []
        if self._deliveries is not None:
            self._deliveries.acknowledge(heard.tag for heard in named)

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

    async def _consume(self, connection: WiredConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        hearing = Hearing(connection, channel, self._queues, self._hear)
        await hearing.prepare(self._changed.set)
        self._deliveries = hearing.deliveries
        self._link.works()
        try:
            while True:
                hearing.check()
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
            self._give_back(hearing.deliveries)
            self._limit = 1

    def _hear(self, hearing: Hearing, level: int, message: Delivered) -> None:
        try:
            rung = cloud_events.named(headers(message.header), *PREFIXES)
        except (InvalidMessage, ValueError) as error:
            self._bury(hearing.deliveries, message, str(error))
            return
        self._heard[level].append(_Heard(rung, message.tag))
        self._some.set()

    def _bury(self, deliveries: Deliveries, message: Delivered, reason: str) -> None:
        """Have what cannot be read published to the dead letters, then acknowledge it."""
        acknowledge = partial(deliveries.acknowledge, [message.tag])
        letter = dead_letter(self._queues, message, message.consumer, reason, acknowledge)
        self._publisher.put([letter])

    def _give_back(self, deliveries: Deliveries) -> None:
        for level in self._heard:
            deliveries.give_back(heard.tag for heard in level)
            level.clear()
        self._some.clear()

    def _forget(self) -> None:
        """What a connection has brought is delivered again, by the next one or to another."""
        self._deliveries = None
        self._named.clear()
        for level in self._heard:
            level.clear()
        self._some.clear()
        self._changed.set()
