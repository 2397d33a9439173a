"""Dead letters of RabbitMQ: what could not be read, with the reason in a header."""

from collections.abc import Callable
from typing import Any, Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage
from pamqp.commands import Basic

from onecopy.engines.rabbitmq_deliveries import Delivered
from onecopy.engines.rabbitmq_frames import read
from onecopy.engines.rabbitmq_publisher import Letter
from onecopy.engines.rabbitmq_queues import Queues

REASON: Final = "onecopy-reason"
"""Header: why it could not be read."""
FROM: Final = "onecopy-queue"
"""Header: the queue that it came from."""
_LONGEST: Final = 2000


def dead_letter(
    queues: Queues, message: Delivered, queue: str, reason: str, then: Callable[[], None]
) -> Letter:
    """Return the letter for a message. then: called once RabbitMQ has the letter."""
    marks: dict[str, Any] = {REASON: reason[:_LONGEST], FROM: queue}
    return Letter(queues.dead_letters, _marked(message.header, marks), message.body, then)


def _marked(header: bytes, marks: dict[str, Any]) -> bytes:
    """Return the properties of a message with more headers; no others if they cannot be read."""
    try:
        found = read(header)
        found.headers = {**(found.headers or {}), **marks}
        found.delivery_mode = int(DeliveryMode.PERSISTENT)
        found.expiration = None
        found.user_id = None  # It would have to be ours.
        return found.marshal()
    except (ValueError, TypeError):
        return Basic.Properties(headers=marks, delivery_mode=2).marshal()


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
