"""What RabbitMQ answers to messages that were published, some at a time."""

import asyncio

from onecopy.engines.rabbitmq_frames import ACK, NACK, RETURN, Content, confirmed, returned_from
from onecopy.engines.rabbitmq_wire import Contents


class Confirms:
    """Waits for the answers to the messages of one channel."""

    def __init__(self) -> None:
        self.tap = Contents(RETURN, self._returned, self._answered)
        self._published = 0
        self._waiting: set[int] = set()
        self._refused: set[int] = set()
        self._nowhere: set[str] = set()
        self._all: asyncio.Future[None] | None = None
        self._ended: Exception | None = None

    def end(self, error: BaseException | None) -> None:
        """Hear that the channel is closed: there are no more answers."""
        is_error = isinstance(error, Exception)
        self._ended = error if is_error else ConnectionError("the channel is closed")
        if self._all is not None and not self._all.done():
            self._all.set_exception(self._ended)

    async def of(self, queues: list[str]) -> list[bool]:
        """Wait until so many messages, just published for queues, are answered.

        Tells which of them RabbitMQ has. Raises what has closed the channel.
        """
        if self._ended is not None:
            raise self._ended
        first = self._published + 1
        self._published += len(queues)
        self._waiting.update(range(first, self._published + 1))
        self._refused.clear()
        self._nowhere.clear()
        self._all = asyncio.get_running_loop().create_future()
        await self._all
        return [
            tag not in self._refused and queue not in self._nowhere
            for tag, queue in enumerate(queues, first)
        ]

    @property
    def nowhere(self) -> frozenset[str]:
        """The queues that were not there, of the last messages."""
        return frozenset(self._nowhere)

    def _returned(self, content: Content) -> None:
        self._nowhere.add(returned_from(content.method))

    def _answered(self, method: bytes) -> bool:
        kind = method[:4]
        if kind not in (ACK, NACK):
            return False
        tag, and_before = confirmed(method)
        tags = {each for each in self._waiting if each <= tag} if and_before else {tag}
        self._waiting -= tags
        if kind == NACK:
            self._refused |= tags
        if not self._waiting and self._all is not None and not self._all.done():
            self._all.set_result(None)
        return True
