"""Dead letters for whoever looks after them: seen, and sent again. One broker's at a time."""

import hashlib
from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from onecopy.errors import OptionError


class DeadLetter(NamedTuple):
    """A message that could not be read.

    id: by which it is sent again. queue: or topic, that it came from.
    """

    id: str
    queue: str
    reason: str
    headers: Mapping[str, str]
    body: bytes


class DeadLetters(Protocol):
    """The dead letters of a broker."""

    async def look(self, limit: int) -> list[DeadLetter]:
        """Return so many, the oldest first; they stay. Raises OSError where nobody answers."""
        ...

    async def replay(self, ids: Collection[str] | None) -> int:
        """Send letters to where they came from; None: all. Returns how many; raises as `look`."""
        ...


def dead_letters_of(url: str, topic: str | None = None) -> DeadLetters:
    """Return those of the broker that a URL names.

    topic: of Kafka, where each has dead letters of its own; None: the URL's. Raises OptionError.
    """
    scheme = url.partition(":")[0]
    try:
        if scheme in ("amqp", "amqps"):
            from onecopy.engines.rabbitmq_dead_letters import RabbitMQDeadLetters

            return RabbitMQDeadLetters(url)
        if scheme == "kafka":
            from onecopy.engines.kafka_dead_letters import KafkaDeadLetters

            return KafkaDeadLetters(url, topic)
    except ModuleNotFoundError as error:
        extra = "kafka" if scheme == "kafka" else "rabbitmq"
        reason = f"it needs {error.name}: pip install 'onecopy[{extra}]'"
        raise OptionError("broker", reason) from error
    raise OptionError("broker", f"{scheme[:50]!r} has no dead letters: amqp:// and kafka:// have")


def id_of(*parts: bytes) -> str:
    """Return an id for a letter that has none of its own."""
    return hashlib.blake2b(b"\0".join(parts), digest_size=8).hexdigest()


def text(value: object) -> str:
    """Return a header's value as it can be shown."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
