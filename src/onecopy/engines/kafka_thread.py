"""What threads that speak with Kafka have in common: the topics they need, and what went wrong."""

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from onecopy.engines.kafka_address import Address
from onecopy.engines.presence import Presence

_ANSWER: Final = 2.0
_PING: Final = 1.0
_TURN: Final = 0.02
# Errors of the client itself have names that begin so.
REFUSED: Final = {KafkaError._AUTHENTICATION, KafkaError._SSL}
"""Somebody answers, and it is of no use to ask again."""
_REMEMBERED: Final = 20
"""Errors: why the brokers are away is said in one of those before."""
AWAY: Final = {KafkaError._ALL_BROKERS_DOWN, *REFUSED}
FATAL: Final = {
    KafkaError._FATAL,
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.UNSUPPORTED_VERSION,
}
"""The client is of no use from here on."""
_logger = logging.getLogger("onecopy.engine")


class Errors:
    """Hears of errors of one thread's clients, and tells whether the brokers are there."""

    def __init__(self, name: str, presence: Presence) -> None:
        self._name = name
        self._presence = presence
        self._heard: deque[KafkaError] = deque(maxlen=_REMEMBERED)
        self.away = False
        self.fatal: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take an error from a client."""
        if error.fatal():
            self.fatal = error
        self._heard.append(error)

    def no_answer(self, said: Iterable[KafkaError]) -> None:
        """Hear that none of the brokers has answered, and what a client has said meanwhile."""
        self._heard.extend(said)
        self._heard.append(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        self._tell()

    def look(self, client: Producer | Consumer) -> None:
        """Tell of the brokers that they are away; while they are, ask whether they are back."""
        if not self.away:
            self._tell()
        if self.away:
            with contextlib.suppress(KafkaException):
                client.list_topics(timeout=_PING)
                self._heard.clear()
                self.away = False
                self._presence.there(self._name)

    def _tell(self) -> None:
        if any(error.code() in AWAY for error in self._heard):
            self.away = True
            self._presence.gone(self._name, reason_of(self._heard))


def reason_of(errors: Iterable[KafkaError]) -> str:
    """Return what says most of why no broker is there: of what one of them, or its way, says."""
    known = [error for error in errors if error.code() != KafkaError._ALL_BROKERS_DOWN]
    refused = [error for error in known if error.code() in REFUSED]
    found = refused or known
    return found[0].str() if found else "none of the brokers answers (is security.protocol right?)"


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
    said: list[KafkaError] = []
    try:
        answered = _are_made(address, topics, said)
    except KafkaException as error:  # A file that the URL names is not there any more.
        said.append(error.args[0])
        answered = False
    if not answered:
        errors.no_answer(said)
    return answered


def _are_made(address: Address, topics: Collection[str], said: list[KafkaError]) -> bool:
    admin = AdminClient(configuration(address, said.append))
    new = [
        NewTopic(topic, num_partitions=address.partitions, replication_factor=address.replication)
        for topic in topics
    ]
    timeouts = {"operation_timeout": _ANSWER, "request_timeout": _ANSWER}
    # Its stub does not say what the futures have.
    made = cast("dict[str, Future[None]]", admin.create_topics(new, **timeouts))  # pyright: ignore[reportUnknownMemberType]
    while not all(future.done() for future in made.values()):
        if any(error.code() in AWAY for error in said):
            return False
        admin.poll(_TURN)  # Its connections say what is wrong with them.
    settled = [_is_settled(topic, future) for topic, future in made.items()]
    return all(settled)


def _is_settled(topic: str, made: "Future[None]") -> bool:
    """Whether a broker has made a topic, has it already, or refuses to."""
    try:
        made.result()
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
        if error.code() < 0:  # Of the client: nobody has answered.
            return False
        if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            _logger.error("Kafka's topic %s cannot be made: %s", topic, error.str())
    return True
