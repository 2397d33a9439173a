"""What threads that speak with Kafka have in common: the topics they need, and what went wrong."""

import contextlib
import logging
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from onecopy.engines.kafka_address import Address
from onecopy.engines.presence import Presence

_ANSWER: Final = 2.0
_PING: Final = 1.0
# Errors of the client itself have names that begin so.
REFUSED: Final = {KafkaError._AUTHENTICATION, KafkaError._SSL}
"""Somebody answers, and it is of no use to ask again."""
AWAY: Final = {KafkaError._ALL_BROKERS_DOWN, *REFUSED}
FATAL: Final = {
    KafkaError._FATAL,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.UNSUPPORTED_VERSION,
}
"""The client is of no use from here on."""
_logger = logging.getLogger("onecopy.engine")


class Errors:
    """Hears of errors of one client, and tells whether the brokers are there."""

    def __init__(self, name: str, presence: Presence) -> None:
        self._name = name
        self._presence = presence
        self.away = False
        self.fatal: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take an error from the client."""
        if error.fatal():
            self.fatal = error
        if error.code() in AWAY:
            self.away = True
            self._presence.gone(self._name, error.str())

    def look(self, client: Producer | Consumer) -> None:
        """While the brokers are away, ask whether they are back."""
        if self.away:
            with contextlib.suppress(KafkaException):
                client.list_topics(timeout=_PING)
                self.away = False
                self._presence.there(self._name)


def configuration(address: Address, errors: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return what all clients are told."""
    return {
        "bootstrap.servers": address.brokers,
        "client.id": "onecopy",
        "error_cb": errors,
        "log_level": 0,  # It says on stderr, for each connection, what `Presence` says once.
        "reconnect.backoff.max.ms": 2000,
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": False,
        **address.properties,
    }


def make_topics(address: Address, errors: Errors, topics: Collection[str]) -> bool:
    """Make those topics that are not there; tell whether the brokers have answered."""
    admin = AdminClient(configuration(address, errors))
    new = [
        NewTopic(topic, num_partitions=address.partitions, replication_factor=address.replication)
        for topic in topics
    ]
    timeouts = {"operation_timeout": _ANSWER, "request_timeout": _ANSWER}
    # Its stub does not say what the futures have.
    made = cast("dict[str, Future[None]]", admin.create_topics(new, **timeouts))  # pyright: ignore[reportUnknownMemberType]
    answered = True
    for topic, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            answered = _take_answer(topic, error.args[0]) and answered
    return answered


def _take_answer(topic: str, error: KafkaError) -> bool:
    if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return True
    if error.code() < 0:  # Of the client: nobody has answered.
        return False
    _logger.error("Kafka's topic %s cannot be made: %s", topic, error.str())
    return True
