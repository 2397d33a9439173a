"""The messages of a queue of RabbitMQ: acknowledged once their jobs are in the store."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity

from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_address import parse
from onecopy.engines.rabbitmq_deliveries import Delivered as Message
from onecopy.engines.rabbitmq_deliveries import Deliveries
from onecopy.engines.rabbitmq_frames import read
from onecopy.engines.rabbitmq_letters import dead_letter
from onecopy.engines.rabbitmq_link import Link
from onecopy.engines.rabbitmq_publisher import Publisher
from onecopy.engines.rabbitmq_queues import Queues
from onecopy.engines.rabbitmq_wire import WiredConnection
from onecopy.subscriptions.reading import Delivered, Refused
from onecopy.subscriptions.taking import Taking

_AHEAD: Final = 64
"""Messages that may be here without being jobs yet; what RabbitMQ calls prefetch."""
_logger: Final = logging.getLogger("onecopy.subscriptions")


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

    async def _consume(self, connection: WiredConnection) -> None:
        channel = await self._found(connection)
        ended = asyncio.Event()

        def on_end(*why: object) -> None:
            ended.set()

        channel.close_callbacks.add(on_end)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(on_end)
        await channel.set_qos(prefetch_count=_AHEAD)
        takes = _Takes(partial(Deliveries, connection, channel), self._take)
        try:
            await takes.deliveries.consume(self._queue, self._queue)
            self._link.works()
            await ended.wait()
        finally:
            await takes.end()
        raise ChannelClosed(None, f"the queue {self._queue} is gone")

    async def _found(self, connection: WiredConnection) -> AbstractChannel:
        """Return a channel; the queue is as whoever has made it wants it, made if nobody has."""
        channel = await connection.channel(publisher_confirms=False)
        try:
            await channel.get_queue(self._queue)
        except ChannelNotFoundEntity:
            channel = await connection.channel(publisher_confirms=False)
            await self._queues.declare_dead_letters(channel)
            await self._queues.declare(channel, self._queue)
        return channel

    async def _take(self, deliveries: Deliveries, message: Message) -> None:
        """Make a job of a message, then acknowledge it."""
        acknowledge = partial(deliveries.acknowledge, [message.tag])
        try:
            await self._taking.take(_delivered(message))
        except Refused as error:
            letter = dead_letter(self._queues, message, self._queue, str(error), acknowledge)
            self._publisher.put([letter])
        else:
            acknowledge()


class _Takes:
    """The messages that are being taken: side by side, until the connection ends."""

    def __init__(
        self,
        deliveries: Callable[[Callable[[Message], None]], Deliveries],
        take: Callable[[Deliveries, Message], Coroutine[Any, Any, None]],
    ) -> None:
        self._take = take
        self._all: set[asyncio.Task[None]] = set()
        self.deliveries = deliveries(self._begin)

    def _begin(self, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._take(self.deliveries, message))
        self._all.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._all.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a message stays with RabbitMQ until it is asked again", exc_info=error)

    async def end(self) -> None:
        """Take no more; what is not acknowledged comes again, and is known."""
        for task in self._all:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)


def _delivered(message: Message) -> Delivered:
    """Return what a message is to those who read it. Raises Refused."""
    try:
        said = read(message.header)
    except ValueError as error:
        raise Refused(str(error)) from None
    return Delivered(
        said.headers or {},
        said.content_type or "",
        message.body,
        said.message_id,
        said.reply_to,
        said.correlation_id,
    )
