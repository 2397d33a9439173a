"""The messages of a topic of Kafka: done with once their jobs are in the store."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from confluent_kafka import Message

from onecopy.engines.kafka_address import parse
from onecopy.engines.kafka_letters import bury, position_of
from onecopy.engines.kafka_publisher import Publisher
from onecopy.engines.kafka_reader import Place, Reader
from onecopy.engines.presence import Presence
from onecopy.subscriptions.kafka_replies import CORRELATIONS
from onecopy.subscriptions.reading import Delivered, Refused
from onecopy.subscriptions.taking import Taking

# Kafka has no fields for these; the others of each are what Spring and FastStream call them.
_REPLY_TO: Final = ("reply-to", "kafka_replyTopic", "reply_to")


class TopicSubscriber:
    """Reads one topic, as a member of the group of all who subscribe to it for a task."""

    def __init__(self, url: str, topic: str, task: str, taking: Taking) -> None:
        """Connect to nothing yet. Raises OptionError."""
        self._address = parse(url).of_topic(topic)._replace(group=f"onecopy.{task}")
        self._presence = Presence(f"Kafka at {self._address.brokers}")
        self._publisher = Publisher(self._address, self._presence)
        self._taking = taking
        self._taken: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take messages until cancelled."""
        loop = asyncio.get_running_loop()

        def heard(messages: Sequence[Message]) -> None:
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(self._take_all, reader, messages)

        topics = [self._address.topic]
        reader = Reader(self._address, topics, self._presence, heard, _lost)
        try:
            await asyncio.Event().wait()
        finally:
            for each in self._taken:
                each.cancel()
            await asyncio.gather(*self._taken, return_exceptions=True)
            await asyncio.to_thread(self._publisher.close)
            await asyncio.to_thread(reader.close)

    def _take_all(self, reader: Reader, messages: Sequence[Message]) -> None:
        for message in messages:
            task = asyncio.ensure_future(self._take(reader, message))
            self._taken.add(task)
            task.add_done_callback(self._taken.discard)

    async def _take(self, reader: Reader, message: Message) -> None:
        headers: dict[str, object] = dict(message.headers() or ())
        delivered = Delivered(
            headers,
            _text(headers, "content-type") or "",
            message.value() or b"",
            position_of(message),
            _text(headers, *_REPLY_TO),
            _text(headers, *CORRELATIONS),
        )
        try:
            await self._taking.take(delivered)
        except Refused as error:
            dead_letters = self._address.dead_letters

            def settle() -> None:
                reader.settle([message])

            bury(self._publisher, dead_letters, message, str(error), settle)
            return
        reader.settle([message])


def _lost(places: Collection[Place]) -> None:
    """What is being taken becomes a job here or there: it is told by its position."""


def _text(headers: Mapping[str, object], *names: str) -> str | None:
    """Return the text of the first of these headers that is there."""
    value = next((headers[name] for name in names if name in headers), None)
    return value.decode(errors="replace") if isinstance(value, bytes) else None
