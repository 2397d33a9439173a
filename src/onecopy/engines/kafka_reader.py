"""A member of a consumer group, in a thread of its own: Kafka's client waits, and asyncio does not.

It reads ahead a little, whether or not somebody waits: the messages of its partitions reach nobody
else in the group. When it has enough it pauses, and goes on to take part in the group.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from onecopy.engines.kafka_address import Address
from onecopy.engines.kafka_prefix import Prefix
from onecopy.engines.kafka_thread import FATAL, Errors, configuration, make_topics
from onecopy.engines.presence import Presence

_TURN: Final = 0.1
_AGAIN: Final = 0.5
_CLOSE: Final = 5.0
"""Seconds that brokers are given to answer who leaves; the client would wait for a minute."""
_AHEAD: Final = 64
"""Messages that are read and not settled yet, about."""
_logger = logging.getLogger("onecopy.engine")

type Place = tuple[str, int]
type Heard = Callable[[Sequence[Message]], None]
type Lost = Callable[[Collection[Place]], None]


class Reader:
    """Reads topics as a member of a group, and commits what is settled."""

    def __init__(
        self, address: Address, topics: Sequence[str], presence: Presence, heard: Heard, lost: Lost
    ) -> None:
        """heard: called with messages. lost: with partitions that are another's. In its thread."""
        self._address = address
        self._topics = [*topics]
        self._errors = Errors("worker", presence)
        self._heard = heard
        self._lost = lost
        self._closing = threading.Event()
        self._room = threading.Event()
        self._lock = threading.Lock()
        self._prefixes: dict[Place, Prefix] = {}
        self._further: dict[Place, int] = {}
        self._protocol = "consumer"
        self._thread = threading.Thread(target=self._run, name="onecopy: from Kafka", daemon=True)
        self._thread.start()

    def settle(self, messages: Iterable[Message]) -> None:
        """Hear that messages are done with: once all before them are too, they come no more."""
        with self._lock:
            for message in messages:
                place, offset = place_of(message), message.offset()
                prefix = self._prefixes.get(place)
                if prefix is None or offset is None:
                    continue
                if (further := prefix.settle(offset)) is not None:
                    self._further[place] = further
            if not self._full():
                self._room.set()

    def _full(self) -> bool:
        return sum(prefix.unsettled for prefix in self._prefixes.values()) >= _AHEAD

    def close(self) -> None:
        """Commit, leave the group, and wait until that is done, unless it takes long; blocks."""
        self._closing.set()
        self._thread.join(_CLOSE)

    # In its thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            if not make_topics(self._address, self._errors, self._topics):
                self._closing.wait(_AGAIN)
                continue
            try:
                self._read()
            except KafkaException as error:
                self._failed(error)
            except Exception:
                _logger.exception("cannot read from Kafka")
                self._closing.wait(_AGAIN)

    def _failed(self, error: KafkaException) -> None:
        what: KafkaError = error.args[0]
        if "version not supported" in what.str() and self._protocol == "consumer":
            self._protocol = "classic"  # The brokers are older than the new one, or do without.
            return
        _logger.error("cannot read from Kafka: %s", what.str())
        self._closing.wait(_AGAIN)

    def _read(self) -> None:
        """Read until closing. Raises KafkaException: it must be begun anew."""
        consumer = Consumer(
            {
                "group.id": self._address.group,
                "group.protocol": self._protocol,
                "auto.offset.reset": "earliest",
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 500,
                "queued.min.messages": 2 * _AHEAD,
                "fetch.queue.backoff.ms": 10,  # Its own second is how long a burst would stand.
                "topic.metadata.refresh.interval.ms": 10_000,
                **configuration(self._address, self._errors),
            }
        )
        try:
            consumer.subscribe(self._topics, on_revoke=self._revoked)
            while not self._closing.is_set():
                self._store(consumer)
                if self._full():
                    self._pause(consumer)
                else:
                    self._take(consumer, consumer.poll(_TURN))
                self._errors.look(consumer)
                if self._errors.fatal is not None:
                    fatal, self._errors.fatal = self._errors.fatal, None
                    raise KafkaException(fatal)
        finally:
            self._store(consumer)
            consumer.close()
            self._forget(list(self._prefixes))

    def _store(self, consumer: Consumer) -> None:
        """Have it committed, soon, up to where partitions are done with.

        In the thread that polls: from another one the client can block for good.
        """
        with self._lock:
            further, self._further = self._further, {}
        if further:
            with contextlib.suppress(KafkaException):  # The partition is another's by now.
                offsets = [TopicPartition(*place, offset) for place, offset in further.items()]
                consumer.store_offsets(offsets=offsets)

    def _pause(self, consumer: Consumer) -> None:
        """Wait for room; if there is none for a while, take part in the group without reading."""
        while not self._room.wait(_TURN) and not self._closing.is_set():
            consumer.pause(consumer.assignment())
            self._take(consumer, consumer.poll(0))
        self._room.clear()
        consumer.resume(consumer.assignment())

    def _take(self, consumer: Consumer, first: Message | None) -> None:
        if first is None:
            return
        messages = [first, *consumer.consume(_AHEAD, 0)]
        good = [message for message in messages if self._is_good(message)]
        with self._lock:
            for message in good:
                offset = message.offset()
                assert offset is not None, "a message that was delivered has one"
                self._prefixes.setdefault(place_of(message), Prefix()).delivered(offset)
        if good:
            self._heard(good)

    def _is_good(self, message: Message) -> bool:
        error = message.error()
        if error is not None and error.code() in FATAL:
            raise KafkaException(error)
        return error is None

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget([(each.topic, each.partition) for each in partitions])

    def _forget(self, places: Collection[Place]) -> None:
        with self._lock:
            for place in places:
                self._prefixes.pop(place, None)
                self._further.pop(place, None)
            self._room.set()
        self._lost(places)


def place_of(message: Message) -> Place:
    """Return the topic and the partition of a message that was delivered."""
    topic, partition = message.topic(), message.partition()
    assert topic is not None, "a message that was delivered has one"
    assert partition is not None, "a message that was delivered has one"
    return topic, partition
