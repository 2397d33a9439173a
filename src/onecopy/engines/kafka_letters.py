"""Dead letters of Kafka: what could not be read, with the reason in a header."""

from collections.abc import Callable
from typing import Final

from confluent_kafka import Message

from onecopy.engines.kafka_publisher import Publisher
from onecopy.engines.kafka_reader import place_of

REASON: Final = "onecopy-reason"
"""Header: why it could not be read."""
FROM: Final = "onecopy-from"
"""Header: the topic, the partition and the offset that it was read from."""
_LONGEST: Final = 2000


def bury(
    publisher: Publisher, topic: str, message: Message, reason: str, then: Callable[[], None]
) -> None:
    """Have a message put to the dead letters; `then` is called once Kafka has it."""
    headers: dict[str, str | bytes] = {
        name: value for name, value in message.headers() or () if value is not None
    }
    headers |= {REASON: reason[:_LONGEST], FROM: position_of(message)}
    publisher.put(topic, message.key(), message.value(), headers, then)


def position_of(message: Message) -> str:
    """Return topic, partition and offset in a word: no other message has the same."""
    topic, partition = place_of(message)
    return f"{topic}-{partition}-{message.offset()}"
