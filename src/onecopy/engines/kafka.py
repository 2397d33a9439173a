"""The Kafka engine: a message for each job, in a topic for each queue, read by a consumer group.

It carries jobs alone; who follows changes hears of them by the store's own engine. A message is
done with once its job is claimed in the store, before the job runs: no interval of Kafka's bounds
a job, and none waits for the one before it.

kafka_address.py     what the URL says
kafka_publisher.py   the producer
kafka_reader.py      the member of the group
kafka_letters.py     dead letters
kafka_prefix.py      up to where a partition is done with
kafka_thread.py      what both have in common
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Message

from onecopy.engines import cloud_events
from onecopy.engines.base import Engine, Rung
from onecopy.engines.kafka_address import Address, parse
from onecopy.engines.kafka_letters import bury
from onecopy.engines.kafka_publisher import Publisher
from onecopy.engines.kafka_reader import Place, Reader, place_of
from onecopy.engines.presence import Presence
from onecopy.jobs import Job
from onecopy.messages import InvalidMessage

PREFIX: Final = "ce_"
_CONTENT_TYPE: Final = {"content-type": cloud_events.CONTENT_TYPE}


class _Heard(NamedTuple):
    rung: Rung
    message: Message


class KafkaEngine:
    """Wakes workers by Kafka."""

    def __init__(self, url: str, own: Engine) -> None:
        """Connect to nothing yet.

        url: `kafka://host:port,host:port/topic`; see `kafka_address.parse`. own: the store's own
        engine, for changes. Raises OptionError.
        """
        self._address: Address = parse(url)
        self._own = own
        self._presence = Presence(f"Kafka at {self._address.brokers}")
        self._publisher = Publisher(self._address, self._presence)
        self._reader: Reader | None = None
        self._of: tuple[str, ...] = ()
        self._heard: deque[_Heard] = deque()
        self._some = asyncio.Event()
        self._named: list[_Heard] = []

    @property
    def names_jobs(self) -> bool:
        """Yes: each job has a message."""
        return True

    async def open(self) -> None:
        """Open the store's own; Kafka is connected to when there is something to say or hear."""
        await self._own.open()

    async def close(self) -> None:
        """Publish what is left if that is quick, and leave the group."""
        await asyncio.to_thread(self._publisher.close)
        await self._stop_reading()
        await self._own.close()

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Have a message for each published, soon."""
        for job in jobs:
            headers = {
                **cloud_events.headers(job, PREFIX),
                "content-type": cloud_events.CONTENT_TYPE,
            }
            if job.ordering_key is not None:
                headers[f"{PREFIX}partitionkey"] = job.ordering_key
            topic = self._address.topic_of(job.queue)
            self._publisher.put(topic, job.ordering_key or job.id, cloud_events.data(job), headers)

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Hear of jobs."""
        await self._read(tuple(queues))
        if self._named:  # Nobody said that they were claimed.
            return [heard.rung for heard in self._named]
        try:
            async with asyncio.timeout(seconds):
                while not self._heard:
                    self._some.clear()
                    await self._some.wait()
        except TimeoutError:
            return None
        self._named = [self._heard.popleft() for _ in range(min(limit, len(self._heard)))]
        return [heard.rung for heard in self._named]

    async def claimed(self) -> None:
        """Have the group go on behind what was named, as far as nothing before it is left."""
        named, self._named = self._named, []
        if named and self._reader is not None:
            self._reader.settle(heard.message for heard in named)

    async def tell(self, jobs: Sequence[str]) -> None:
        """Tell by the store's own engine."""
        await self._own.tell(jobs)

    def changes(self) -> AsyncIterator[str]:
        """Follow by the store's own engine."""
        return self._own.changes()

    # The member of the group.

    async def _read(self, queues: tuple[str, ...]) -> None:
        if queues == self._of and self._reader is not None:
            return
        await self._stop_reading()
        topics = [self._address.topic_of(queue) for queue in queues]
        loop = asyncio.get_running_loop()

        def heard(messages: Sequence[Message]) -> None:
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(self._hear, messages)

        def lost(places: Collection[Place]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._lose, places)

        self._of = queues
        self._reader = Reader(self._address, topics, self._presence, heard, lost)

    async def _stop_reading(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await asyncio.to_thread(reader.close)
        self._heard.clear()
        self._named = []

    def _hear(self, messages: Sequence[Message]) -> None:
        for message in messages:
            try:
                rung = cloud_events.named(dict(message.headers() or ()), PREFIX)
            except InvalidMessage as error:
                self._bury(message, str(error))
            else:
                self._heard.append(_Heard(rung, message))
        self._some.set()

    def _lose(self, places: Collection[Place]) -> None:
        """Forget what another member of the group is told by now."""
        kept = [heard for heard in self._heard if place_of(heard.message) not in places]
        self._heard = deque(kept)

    def _bury(self, message: Message, reason: str) -> None:
        """Have what cannot be read published to the dead letters; then it is done with."""
        reader = self._reader

        def settle() -> None:
            if reader is not None:
                reader.settle([message])

        bury(self._publisher, self._address.dead_letters, message, reason, settle)
