"""The consumers of queues of jobs: begun, given more room, and ended together."""

from collections.abc import Callable, Sequence

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed

from onecopy.engines.rabbitmq_deliveries import Delivered, Deliveries
from onecopy.engines.rabbitmq_queues import Queues
from onecopy.engines.rabbitmq_wire import WiredConnection


class Hearing:
    """Consumes on one channel, one consumer for each queue and level of priority."""

    def __init__(
        self,
        connection: WiredConnection,
        channel: AbstractChannel,
        queues: Queues,
        heard: Callable[["Hearing", int, Delivered], None],
    ) -> None:
        """heard: called with the level and the message."""
        self.deliveries = Deliveries(connection, channel, self._deliver)
        self._channel = channel
        self._queues = queues
        self._heard = heard
        self._declared: set[str] = set()
        self._levels: dict[str, int] = {}
        """By the names of the consumers there are, and have been."""
        self._consumers: list[str] = []
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
                await self._consume(name, level)
        self._of = queues

    async def _consume(self, name: str, level: int) -> None:
        if name not in self._declared:
            await self._queues.declare(self._channel, name)
            self._declared.add(name)
        self._levels[name] = level
        self._consumers.append(name)
        await self.deliveries.consume(name, name)

    async def stop(self) -> None:
        """End the consumers; what was heard may still be acknowledged."""
        while self._consumers:
            await self.deliveries.cancel(self._consumers.pop())
        self._of = ()
        self._room = 0

    def _deliver(self, message: Delivered) -> None:
        self._heard(self, self._levels[message.consumer], message)
