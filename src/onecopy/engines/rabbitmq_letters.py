"""Dead letters of RabbitMQ: what could not be read, with the reason in a header."""

import contextlib
from typing import Any, Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from onecopy.engines.rabbitmq_link import ERRORS
from onecopy.engines.rabbitmq_publisher import Letter
from onecopy.engines.rabbitmq_queues import Queues

REASON: Final = "onecopy-reason"
"""Header: why it could not be read."""
FROM: Final = "onecopy-queue"
"""Header: the queue that it came from."""
_LONGEST: Final = 2000


def dead_letter(
    queues: Queues, message: AbstractIncomingMessage, queue: str, reason: str
) -> Letter:
    """Return the letter for a message; the message is acknowledged once RabbitMQ has that."""

    async def acknowledge() -> None:
        with contextlib.suppress(*ERRORS):  # Its channel is gone: it comes again.
            await message.ack()

    headers: dict[str, Any] = {**message.headers, REASON: reason[:_LONGEST], FROM: queue}
    return Letter(queues.dead_letters, copy_of(message, headers), acknowledge)


def copy_of(message: AbstractIncomingMessage, headers: dict[str, Any]) -> Message:
    """Return what says the same as a message, with other headers."""
    return Message(
        message.body,
        headers=headers,
        content_type=message.content_type,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        delivery_mode=DeliveryMode.PERSISTENT,
    )
