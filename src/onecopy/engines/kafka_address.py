"""What a URL says of a Kafka: `kafka://host:port,host:port/topic`."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import KafkaException, Producer

from onecopy.errors import OptionError

_LIKE: Final = "it would be kafka://host:port,host:port/topic"
_DEFAULT_PORT: Final = "9092"
_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,235}")
"""What Kafka takes; 249 characters, of which the dead letters' topic has 14 more."""


class Address(NamedTuple):
    """Where the brokers are, and what the topics are called.

    topic: carries jobs of the queue `default`; those of others are carried by `topic.queue`.
    group: of the workers. partitions: of topics that are made; replication: of these, -1 for what
    the brokers say. properties: of librdkafka, for every connection.
    """

    brokers: str
    topic: str
    group: str
    partitions: int
    replication: int
    properties: Mapping[str, str]

    def of_topic(self, topic: str) -> Self:
        """Return the same brokers, with another topic. Raises OptionError: no topic's name."""
        if _TOPIC.fullmatch(topic) is None:
            raise _fault(f"{topic[:50]!r} is no name of a topic: letters, digits, dots, - and _")
        return self._replace(topic=topic)

    @property
    def dead_letters(self) -> str:
        """The topic for what could not be read; no queue can have this name."""
        return f"{self.topic}--dead-letters"

    def topic_of(self, queue: str) -> str:
        """Return the topic that carries jobs of a queue."""
        return self.topic if queue == "default" else f"{self.topic}.{queue}"


def parse(url: str) -> Address:
    """Read a URL.

    In its query: `partitions` (6), `replication` (-1), `group` (the topic's name), and properties
    of librdkafka, which all have a dot in their names. User and password are for SASL, over TLS
    unless `security.protocol` says otherwise. Raises OptionError, also for properties that there
    are not, and for files of theirs that cannot be read.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    properties = {name: query.pop(name) for name in list(query) if "." in name}
    user, _, hosts = parts.netloc.rpartition("@")
    topic = unquote(parts.path.strip("/")) or "onecopy"
    address = Address(
        ",".join(_with_port(host) for host in hosts.split(",")),
        topic,
        query.pop("group", topic),
        _number(query, "partitions", 6),
        _number(query, "replication", -1),
        _of_user(user) | properties,
    ).of_topic(topic)
    if query:
        raise _fault(f"{', '.join(query)}: there is no such option")
    _must_be_taken(address.properties)
    return address


def _must_be_taken(properties: Mapping[str, str]) -> None:
    """Raise OptionError for what librdkafka does not take: a client that is not connected says."""
    try:
        Producer({"log_level": 0, **properties})
    except KafkaException as error:
        said: str = error.args[0].str()
        raise _fault(said.removeprefix("Failed to create producer: ")) from None


def _with_port(host: str) -> str:
    if not host:
        raise _fault("its URL names no host")
    return host if ":" in host else f"{host}:{_DEFAULT_PORT}"


def _of_user(user: str) -> dict[str, str]:
    if not user:
        return {}
    name, _, password = user.partition(":")
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": unquote(name),
        "sasl.password": unquote(password),
    }


def _number(query: dict[str, str], name: str, default: int) -> int:
    said = query.pop(name, str(default))
    try:
        return int(said)
    except ValueError:
        raise _fault(f"{name}={said[:50]!r} is no number") from None


def _fault(what: str) -> OptionError:
    return OptionError("engine", f"{what}; {_LIKE}")
