"""Kafka's dead letters: read from the beginning of their topic, where they stay."""

import asyncio
from collections.abc import Collection, Iterator
from typing import Final
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from onecopy.engines.dead_letters import DeadLetter, text
from onecopy.engines.kafka_address import parse
from onecopy.engines.kafka_letters import FROM, REASON
from onecopy.engines.kafka_publisher import Publisher
from onecopy.engines.kafka_thread import configuration, reason_of
from onecopy.engines.presence import Presence

_PATIENCE: Final = 10.0


class KafkaDeadLetters:
    """Those of a topic."""

    def __init__(self, url: str, topic: str | None) -> None:
        """Connect to nothing yet. Raises OptionError."""
        address = parse(url)
        self._address = address if topic is None else address.of_topic(topic)
        self._presence = Presence(f"Kafka at {address.brokers}")

    async def look(self, limit: int) -> list[DeadLetter]:
        """Return so many, the oldest first."""
        messages = await asyncio.to_thread(self._read, limit)
        return [_letter(message) for message in messages]

    async def replay(self, ids: Collection[str] | None) -> int:
        """Send letters to where they came from; None: all."""
        return await asyncio.to_thread(self._replay, ids)

    def _replay(self, ids: Collection[str] | None) -> int:
        publisher = Publisher(self._address, self._presence)
        sent: list[str] = []
        wanted = 0
        for message in self._read(None):
            letter = _letter(message)
            if ids is None or letter.id in ids:
                wanted += 1
                headers: dict[str, str | bytes] = {
                    name: value
                    for name, value in message.headers() or ()
                    if value is not None and name not in (REASON, FROM)
                }

                def then(letter: str = letter.id) -> None:
                    sent.append(letter)

                publisher.put(letter.queue, message.key(), message.value(), headers, then)
        publisher.close()
        if len(sent) < wanted:
            raise OSError(f"only {len(sent)} of {wanted} letters could be sent")
        return wanted

    def _read(self, limit: int | None) -> list[Message]:
        said: list[KafkaError] = []
        consumer = Consumer(
            {
                "group.id": f"onecopy-look-{uuid4()}",
                "enable.auto.commit": False,
                **configuration(self._address, said.append),
            }
        )
        try:
            found = sorted(self._messages(consumer), key=lambda each: each.timestamp()[1])
            return found[:limit]
        except KafkaException as error:
            consumer.poll(0)  # Its connections say why.
            why = reason_of([*said, error.args[0]])
            raise OSError(f"{self._presence.broker}: {why}") from error
        finally:
            consumer.close()

    def _messages(self, consumer: Consumer) -> Iterator[Message]:
        topic = self._address.dead_letters
        known = consumer.list_topics(timeout=_PATIENCE).topics.get(topic)
        left: dict[int, int] = {}
        begin: list[TopicPartition] = []
        for partition in known.partitions if known is not None else ():
            place = TopicPartition(topic, partition)
            first, end = consumer.get_watermark_offsets(place, _PATIENCE)
            if first < end:
                left[partition] = end
                begin.append(TopicPartition(topic, partition, first))
        consumer.assign(begin)
        while left:
            message = consumer.poll(_PATIENCE)
            if message is None:
                return
            partition, offset = message.partition(), message.offset()
            if message.error() is not None or partition is None or offset is None:
                continue
            if partition in left:
                yield message
                if offset + 1 >= left[partition]:
                    del left[partition]


def _letter(message: Message) -> DeadLetter:
    told = {name: text(value) for name, value in message.headers() or ()}
    place = told.pop(FROM, "")
    reason = told.pop(REASON, "")
    letter = f"{message.partition()}-{message.offset()}"
    return DeadLetter(letter, place.rsplit("-", 2)[0], reason, told, message.value() or b"")
