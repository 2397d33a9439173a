"""Publishes to Kafka in the background, by an idempotent producer that nobody waits for."""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from onecopy.engines.kafka_address import Address
from onecopy.engines.kafka_thread import Errors, configuration, make_topics
from onecopy.engines.outbox import MOST
from onecopy.engines.presence import Presence

_TURN: Final = 0.1
_TOGETHER: Final = 0.02
"""Seconds in which reports of messages gather: each would take turns with whoever publishes."""
_CLOSE: Final = 2.0
"""Seconds that a process which ends gives its last rings."""
_TOO_OLD: Final = 30.0
"""Seconds after which a message that could not be sent is dropped: the store has the job."""
_logger = logging.getLogger("onecopy.engine")

type Then = Callable[[], None]


class Publisher:
    """A producer, and the thread that hears what becomes of its messages."""

    def __init__(self, address: Address, presence: Presence) -> None:
        self._address = address
        self._broker = presence.broker
        self._errors = Errors("publisher", presence)
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._known: set[str] = set()
        """Topics that were made, or are being made."""
        self._wanted = SimpleQueue[str]()
        self._dropping = False

    def put(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Mapping[str, str | bytes],
        then: Then | None = None,
    ) -> None:
        """Publish soon; `then` is called, in another thread, once Kafka has it."""
        if topic not in self._known:
            self._known.add(topic)
            self._wanted.put(topic)  # Before the thread starts, which makes it at once.
        report = None if then is None else _delivered(then)
        try:
            producer = self._started()
            producer.produce(topic, value, key, headers=dict(headers), on_delivery=report)
            self._dropping = False
        except (BufferError, KafkaException) as error:
            self._drop(error)

    def _drop(self, error: Exception) -> None:
        if not self._dropping:
            self._dropping = True
            _logger.warning(
                "%s does not take messages as fast as jobs come (%s); workers find the others in "
                "the store, within a second or so",
                self._broker,
                error,
            )

    def _started(self) -> Producer:
        if self._producer is None or self._errors.fatal is not None:
            self._errors.fatal = None
            self._producer = self._new()
        if self._thread is None:
            self._closing.clear()
            self._thread = threading.Thread(target=self._run, name="onecopy: to Kafka", daemon=True)
            self._thread.start()
        return self._producer

    def _new(self) -> Producer:
        return Producer(
            {
                "enable.idempotence": True,
                "linger.ms": 0,
                "message.timeout.ms": int(_TOO_OLD * 1000),
                "queue.buffering.max.messages": MOST,
                "topic.metadata.refresh.fast.interval.ms": 50,
                **configuration(self._address, self._errors),
            }
        )

    def _run(self) -> None:
        while not self._closing.is_set():
            producer = self._producer
            assert producer is not None, "the thread ends before it"
            self._make_wanted()
            if producer.poll(_TURN):
                self._closing.wait(_TOGETHER)
            self._errors.look(producer)

    def _make_wanted(self) -> None:
        wanted: list[str] = []
        with contextlib.suppress(Empty):
            while True:
                wanted.append(self._wanted.get_nowait())
        if wanted and not make_topics(self._address, self._errors, wanted):
            for topic in wanted:
                self._wanted.put(topic)

    def close(self) -> None:
        """Send what is left, if that is quick; blocks, and may be called twice."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        producer, self._producer = self._producer, None
        if producer is not None and not self._errors.away:
            self._make_wanted()
            producer.flush(_CLOSE)
        self._known.clear()


def _delivered(then: Then) -> Callable[[KafkaError | None, Message], None]:
    def report(error: KafkaError | None, _: Message) -> None:
        if error is None:
            then()

    return report
