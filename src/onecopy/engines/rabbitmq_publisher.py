"""Publishes to RabbitMQ in the background: confirmed, and never waited for.

While some messages wait for their confirms others gather, and go together then: the more jobs
come, the less each costs, here and there.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from aio_pika.abc import AbstractChannel
from yarl import URL

from onecopy.engines.outbox import Outbox
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_confirms import Confirms
from onecopy.engines.rabbitmq_frames import publish
from onecopy.engines.rabbitmq_link import Link
from onecopy.engines.rabbitmq_queues import Queues
from onecopy.engines.rabbitmq_wire import WiredConnection, number_of

_AT_ONCE: Final = 256
"""Messages whose confirms are waited for together."""
_PAUSE: Final = 0.05
_CLOSE: Final = 2.0
"""Seconds that a process which ends gives its last rings."""


class Letter(NamedTuple):
    """A message for a queue, and what is done once RabbitMQ has it.

    properties: as `rabbitmq_frames.properties` writes them.
    """

    queue: str
    properties: bytes
    body: bytes
    then: Callable[[], None] | None = None


class Publisher:
    """One connection that publishes, and nothing else.

    A broker that is short of memory or disk reads nothing more from connections that publish; so
    what is acknowledged goes by another one.
    """

    def __init__(self, url: URL, queues: Queues, presence: Presence) -> None:
        self._queues = queues
        self._presence = presence
        self._outbox = Outbox[Letter](presence.broker)
        self._link = Link(url, "publisher", presence, self._publish)
        self._declared: set[str] = set()

    def put(self, letters: Iterable[Letter]) -> None:
        """Publish soon."""
        self._outbox.put(letters)
        self._link.start()

    async def close(self) -> None:
        """Publish what is left, if that is quick, and disconnect."""
        if not self._presence.away:
            await self._outbox.emptied(_CLOSE)
        await self._link.stop()

    async def _publish(self, connection: WiredConnection) -> None:
        channel = await connection.channel(publisher_confirms=True)
        number = number_of(channel)
        confirms = Confirms()
        connection.wire.tap(number, confirms.tap)
        channel.close_callbacks.add(lambda _, error: confirms.end(error))
        self._declared = set()
        await self._queues.declare_dead_letters(channel)
        self._link.works()
        while True:
            left = letters = await self._outbox.take(_AT_ONCE)
            try:
                await self._declare(channel, {letter.queue for letter in letters})
                connection.wire.write(
                    b"".join(_frames(each, number, connection.largest_frame) for each in letters)
                )
                there = await confirms.of([letter.queue for letter in letters])
                left = [letter for letter, has in zip(letters, there, strict=True) if not has]
                self._declared -= confirms.nowhere  # Somebody has deleted them.
            finally:
                self._outbox.settle(left)
            for letter, has in zip(letters, there, strict=True):
                if has and letter.then is not None:
                    letter.then()
            if left:
                await asyncio.sleep(_PAUSE)

    async def _declare(self, channel: AbstractChannel, names: set[str]) -> None:
        for name in names - self._declared:
            if name != self._queues.dead_letters:
                await self._queues.declare(channel, name)
            self._declared.add(name)


def _frames(letter: Letter, channel: int, largest: int) -> bytes:
    return publish(channel, letter.queue, letter.properties, letter.body, largest)
