"""Publishes to RabbitMQ in the background: confirmed, and never waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError
from yarl import URL

from onecopy.engines.outbox import Outbox
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_link import Link
from onecopy.engines.rabbitmq_queues import Queues

_AT_ONCE: Final = 256
"""Messages whose confirms are waited for together."""
_PAUSE: Final = 0.05
_CLOSE: Final = 2.0
"""Seconds that a process which ends gives its last rings."""


class Letter(NamedTuple):
    """A message for a queue, and what is done once RabbitMQ has it."""

    queue: str
    message: Message
    then: Callable[[], Awaitable[None]] | None = None


@dataclass
class _Sent:
    """What became of some: those that are to be sent again, and what ended the channel."""

    left: list[Letter]
    error: BaseException | None = None


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

    async def _publish(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._declared = set()
        await self._queues.declare_dead_letters(channel)
        self._link.works()
        while True:
            letters = await self._outbox.take(_AT_ONCE)
            sent = _Sent(left=letters)
            try:
                await self._declare(channel, {letter.queue for letter in letters})
                sent = await self._send(channel.default_exchange, letters)
            finally:
                self._outbox.settle(sent.left)
            if sent.error is not None:
                raise sent.error
            if sent.left:
                await asyncio.sleep(_PAUSE)

    async def _declare(self, channel: AbstractChannel, names: set[str]) -> None:
        for name in names - self._declared:
            if name != self._queues.dead_letters:
                await self._queues.declare(channel, name)
            self._declared.add(name)

    async def _send(self, exchange: AbstractExchange, letters: Sequence[Letter]) -> _Sent:
        """Send, and wait for the confirms."""
        answers = await asyncio.gather(
            *(exchange.publish(letter.message, letter.queue) for letter in letters),
            return_exceptions=True,
        )
        sent = _Sent(left=[])
        for letter, answer in zip(letters, answers, strict=True):
            if isinstance(answer, BaseException):
                sent.left.append(letter)
                self._failed(letter, answer, sent)
            elif letter.then is not None:
                await letter.then()
        return sent

    def _failed(self, letter: Letter, error: BaseException, sent: _Sent) -> None:
        if isinstance(error, PublishError):  # Somebody has deleted its queue.
            self._declared.discard(letter.queue)
        elif not isinstance(error, DeliveryError):
            sent.error = error
