"""The consumers of one channel: begun, given more room, and ended together."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelClosed

from onecopy.engines.rabbitmq_queues import Queues

type Heard = Callable[[int, AbstractIncomingMessage], Awaitable[None]]


class Hearing:
    """Consumes the queues of jobs on a channel, one consumer for each level of priority."""

    def __init__(self, channel: AbstractChannel, queues: Queues, heard: Heard) -> None:
        """heard: called with the level and the message."""
        self._channel = channel
        self._queues = queues
        self._heard = heard
        self._consumers: list[tuple[AbstractQueue, str]] = []
        self._of: Sequence[str] = ()
        self._room = 0
        self._broken: str | None = None

    async def prepare(self, ended: Callable[[], None]) -> None:
        """Get ready. ended: called when RabbitMQ has ended the channel, or a consumer."""

        def on_end(*why: object) -> None:
            self._broken = f"RabbitMQ has ended a consumer: {why[-1] if why else ''}"
            ended()

        self._channel.close_callbacks.add(on_end)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(on_end)
        await self._queues.declare_dead_letters(self._channel)

    def check(self) -> None:
        """Raise ChannelClosed if RabbitMQ has ended something."""
        if self._broken is not None:
            raise ChannelClosed(None, self._broken)

    @property
    def goes_on(self) -> bool:
        """Whether there are consumers."""
        return bool(self._consumers)

    async def go_on(self, queues: Sequence[str], limit: int) -> None:
        """Have consumers for these queues, with room for so many messages at least."""
        if queues == self._of and limit <= self._room:
            return
        await self.stop()
        self._room = 1 << (limit - 1).bit_length()
        # Jobs that are claimed by the dozen are short: the next ones are here when these are done.
        ahead = self._room if self._room > 1 else 0
        await self._channel.set_qos(prefetch_count=self._room + ahead)
        for queue in queues:
            for level, name in enumerate(self._queues.names(queue)):
                declared = await self._queues.declare(self._channel, name)
                tag = await declared.consume(partial(self._heard, level))
                self._consumers.append((declared, tag))
        self._of = queues

    async def stop(self) -> None:
        """End the consumers; what was heard may still be acknowledged."""
        while self._consumers:
            queue, tag = self._consumers.pop()
            await queue.cancel(tag)
        self._of = ()
        self._room = 0
