"""The RabbitMQ engine: a message for each job, in durable quorum queues.

It carries jobs alone; who follows changes hears of them by the store's own engine. A message is
acknowledged once its job is claimed in the store, before the job runs: no limit of RabbitMQ's on
deliveries bounds a job.

rabbitmq_address.py     what the URL says
rabbitmq_link.py        a connection, had again when it is lost
rabbitmq_queues.py      the queues, and their names
rabbitmq_publisher.py   publishes in the background, with confirms
rabbitmq_consumer.py    hears of jobs while a worker waits for some
rabbitmq_hearing.py     the consumers of its channel
rabbitmq_letters.py     dead letters
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from onecopy.engines import cloud_events
from onecopy.engines.base import Engine, Rung
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_address import parse
from onecopy.engines.rabbitmq_consumer import PREFIXES, Consumer
from onecopy.engines.rabbitmq_letters import dead_letter
from onecopy.engines.rabbitmq_publisher import Letter, Publisher
from onecopy.engines.rabbitmq_queues import Queues
from onecopy.jobs import Job


class RabbitMQEngine:
    """Wakes workers by RabbitMQ."""

    def __init__(self, url: str, own: Engine) -> None:
        """Connect to nothing yet.

        url: see `rabbitmq_address.parse`.
        own: the store's own engine, for changes. Raises OptionError.
        """
        address = parse(url)
        presence = Presence(address.broker)
        self._own = own
        self._queues = Queues(address.prefix)
        self._publisher = Publisher(address.url, self._queues, presence)
        self._consumer = Consumer(address.url, self._queues, presence, self._bury)

    @property
    def names_jobs(self) -> bool:
        """Yes: each job has a message."""
        return True

    async def open(self) -> None:
        """Open the store's own; RabbitMQ is connected to when there is something to say or hear."""
        await self._own.open()

    async def close(self) -> None:
        """Publish what is left if that is quick, and disconnect."""
        await self._publisher.close()
        await self._consumer.close()
        await self._own.close()

    async def ring(self, jobs: Sequence[Job]) -> None:
        """Have a message for each published, soon."""
        self._publisher.put(
            Letter(self._queues.name(job.queue, job.priority), _message(job)) for job in jobs
        )

    async def wait_for_ring(
        self, queues: Sequence[str], seconds: float, *, limit: int = 1
    ) -> Sequence[Rung] | None:
        """Hear of jobs."""
        return await self._consumer.wait(queues, seconds, limit)

    async def claimed(self) -> None:
        """Acknowledge what was named, before more is heard."""
        self._consumer.claimed()

    async def tell(self, jobs: Sequence[str]) -> None:
        """Tell by the store's own engine."""
        await self._own.tell(jobs)

    def changes(self) -> AsyncIterator[str]:
        """Follow by the store's own engine."""
        return self._own.changes()

    def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        """Have what cannot be read published to the dead letters, then acknowledge it."""
        queue = message.routing_key or ""
        self._publisher.put([dead_letter(self._queues, message, queue, reason)])


def _message(job: Job) -> Message:
    headers: dict[str, Any] = {**cloud_events.headers(job, PREFIXES[0])}
    return Message(
        cloud_events.data(job),
        headers=headers,
        content_type=cloud_events.CONTENT_TYPE,
        message_id=job.id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )
