"""The messages of a queue of RabbitMQ: acknowledged once their jobs are in the store."""

import asyncio
import contextlib
from typing import Final

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity

from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_address import parse
from onecopy.engines.rabbitmq_letters import dead_letter
from onecopy.engines.rabbitmq_link import ERRORS, Link
from onecopy.engines.rabbitmq_publisher import Publisher
from onecopy.engines.rabbitmq_queues import Queues
from onecopy.subscriptions.reading import Delivered, Refused
from onecopy.subscriptions.taking import Taking

_AHEAD: Final = 64
"""Messages that may be here without being jobs yet; what RabbitMQ calls prefetch."""


class QueueSubscriber:
    """Consumes one queue."""

    def __init__(self, url: str, queue: str, taking: Taking) -> None:
        """Connect to nothing yet. Raises OptionError."""
        address = parse(url)
        presence = Presence(address.broker)
        self._queue = queue
        self._taking = taking
        self._queues = Queues(address.prefix)
        self._publisher = Publisher(address.url, self._queues, presence)
        self._link = Link(address.url, f"subscriber of {queue}", presence, self._consume)

    async def run(self) -> None:
        """Take messages until cancelled."""
        self._link.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self._link.stop()
            await self._publisher.close()

    async def _consume(self, connection: AbstractConnection) -> None:
        queue = await self._found(connection)
        ended = asyncio.Event()

        def on_end(*why: object) -> None:
            ended.set()

        queue.channel.close_callbacks.add(on_end)
        underlay = await queue.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(on_end)
        await queue.channel.set_qos(prefetch_count=_AHEAD)
        await queue.consume(self._take)
        self._link.works()
        await ended.wait()
        raise ChannelClosed(None, f"the queue {self._queue} is gone")

    async def _found(self, connection: AbstractConnection) -> AbstractQueue:
        """Return the queue as whoever has made it wants it; make it if nobody has."""
        channel = await connection.channel(publisher_confirms=False)
        try:
            return await channel.get_queue(self._queue)
        except ChannelNotFoundEntity:
            channel = await connection.channel(publisher_confirms=False)
            await self._queues.declare_dead_letters(channel)
            return await self._queues.declare(channel, self._queue)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        delivered = Delivered(
            message.headers,
            message.content_type or "",
            message.body,
            message.message_id,
            message.reply_to,
            message.correlation_id,
        )
        try:
            await self._taking.take(delivered)
        except Refused as error:
            letter = dead_letter(self._queues, message, self._queue, str(error))
            self._publisher.put([letter])
            return
        with contextlib.suppress(*ERRORS):  # Its channel is gone: it comes again, and is known.
            await message.ack()
