"""RabbitMQ's dead letters: looked at without being taken, or sent to where they came from."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity, PublishError

from onecopy.engines.dead_letters import DeadLetter, id_of, text
from onecopy.engines.rabbitmq_address import parse
from onecopy.engines.rabbitmq_letters import FROM, REASON, copy_of
from onecopy.engines.rabbitmq_link import ERRORS, in_words, quieten

_MOST: Final = 100_000
_OURS: Final = (REASON, FROM, "x-death", "x-delivery-count")


class RabbitMQDeadLetters:
    """Those of a prefix."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet. Raises OptionError."""
        self._address = parse(url)

    async def look(self, limit: int) -> list[DeadLetter]:
        """Return so many, the oldest first; they stay."""
        async with self._opened() as channel:
            return [_letter(message) async for message in self._messages(channel, limit)]

    async def replay(self, ids: Collection[str] | None) -> int:
        """Send letters to where they came from; None: all."""
        sent = 0
        async with self._opened() as channel:
            async for message in self._messages(channel, _MOST):
                letter = _letter(message)
                if ids is None or letter.id in ids:
                    await _send(channel, message, letter.queue)
                    await message.ack()
                    sent += 1
        return sent

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[AbstractChannel]:
        """Open a channel; what is not acknowledged when it closes is in the queue again."""
        quieten()
        try:
            async with await aio_pika.connect(self._address.url) as connection:
                yield await connection.channel(on_return_raises=True)
        except ERRORS as error:
            raise OSError(f"{self._address.broker}: {in_words(error)}") from error

    async def _messages(
        self, channel: AbstractChannel, limit: int
    ) -> AsyncGenerator[AbstractIncomingMessage]:
        try:
            queue = await channel.get_queue(f"{self._address.prefix}:dead-letters")
        except ChannelNotFoundEntity:
            return
        # Those that were there: what is sent again may be refused again, and be here once more.
        there = queue.declaration_result.message_count or 0
        for _ in range(min(limit, there)):
            message = await queue.get(fail=False)
            if message is None:
                return
            yield message


async def _send(channel: AbstractChannel, message: AbstractIncomingMessage, queue: str) -> None:
    headers: dict[str, Any] = {
        name: value
        for name, value in message.headers.items()
        if name not in _OURS and not name.startswith("x-first-death")
    }
    again = copy_of(message, headers)
    try:
        await channel.default_exchange.publish(again, queue)
    except PublishError:
        raise OSError(f"there is no queue {queue!r} any more") from None


def _letter(message: AbstractIncomingMessage) -> DeadLetter:
    told = {name: text(value) for name, value in message.headers.items()}
    reason = told.get(REASON) or told.get("x-first-death-reason", "")
    queue = told.get(FROM) or told.get("x-first-death-queue", "")
    known = (message.message_id or "").encode()
    letter = id_of(queue.encode(), known, reason.encode(), message.body)
    headers = {name: value for name, value in told.items() if name not in _OURS}
    return DeadLetter(letter, queue, reason, headers, message.body)
