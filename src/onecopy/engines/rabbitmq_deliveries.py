"""What RabbitMQ delivers on one channel, and the word that it was taken, or is given back."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from aio_pika.abc import AbstractChannel

from onecopy.engines.rabbitmq_frames import DELIVER, Content, acknowledge, delivery, give_back
from onecopy.engines.rabbitmq_wire import Contents, WiredConnection, number_of


class Delivered(NamedTuple):
    """A message: its number on the channel, who has asked for it, its properties as they came."""

    tag: int
    consumer: str
    header: bytes
    body: bytes


class Deliveries:
    """Those of a channel; what is said of them is sent without waiting."""

    def __init__(
        self,
        connection: WiredConnection,
        channel: AbstractChannel,
        heard: Callable[[Delivered], None],
    ) -> None:
        """heard: called with each, as soon as it is there."""
        self._wire = connection.wire
        self._number = number_of(channel)
        self._channel = channel
        self._heard = heard
        self._open: dict[int, None] = {}
        """The numbers of those that are not acknowledged, the oldest first."""
        self._wire.tap(self._number, Contents(DELIVER, self._take))

    def _take(self, content: Content) -> None:
        consumer, tag = delivery(content.method)
        self._open[tag] = None
        self._heard(Delivered(tag, consumer, content.header, content.body))

    async def consume(self, queue: str, consumer: str) -> None:
        """Have messages of a queue delivered under the name of a consumer."""
        underlay = await self._channel.get_underlay_channel()
        await underlay.basic_consume(queue, _never, consumer_tag=consumer)

    async def cancel(self, consumer: str) -> None:
        """Have no more delivered under this name."""
        underlay = await self._channel.get_underlay_channel()
        await underlay.basic_cancel(consumer)

    def acknowledge(self, tags: Iterable[int]) -> None:
        """Say that these are done with: by one word for all up to which none is left out."""
        done = [tag for tag in tags if tag in self._open]
        for tag in done:
            del self._open[tag]
        first_left = next(iter(self._open), None)
        together = [tag for tag in done if first_left is None or tag < first_left]
        if together:
            self._say(acknowledge(self._number, max(together), and_before=True))
        for tag in done:
            if tag not in together:
                self._say(acknowledge(self._number, tag))

    def give_back(self, tags: Iterable[int]) -> None:
        """Have these delivered again, to whomever."""
        for tag in tags:
            if self._open.pop(tag, False) is None:
                self._say(give_back(self._number, tag))

    def _say(self, frames: bytes) -> None:
        if not self._channel.is_closed:  # A closed one has its messages delivered again.
            self._wire.write(frames)


async def _never(message: object) -> None:
    """The tap takes all."""
