"""The RabbitMQ engine: a message for each job, in durable quorum queues.

It carries jobs alone; who follows changes hears of them by the store's own engine. A message is
acknowledged once its job is claimed in the store, before the job runs: no limit of RabbitMQ's on
deliveries bounds a job.

rabbitmq_link.py        a connection, had again when it is lost
rabbitmq_queues.py      the queues, and their names
rabbitmq_publisher.py   publishes in the background, with confirms
rabbitmq_consumer.py    hears of jobs while a worker waits for some
rabbitmq_hearing.py     the consumers of its channel
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage
from yarl import URL

from onecopy.engines import cloud_events
from onecopy.engines.base import Engine, Rung
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_consumer import PREFIXES, Consumer
from onecopy.engines.rabbitmq_publisher import Letter, Publisher
from onecopy.engines.rabbitmq_queues import Queues
from onecopy.errors import OptionError
from onecopy.jobs import Job

_LIKE: Final = "it would be amqp://user:password@host/vhost"
REASON: Final = "onecopy-reason"
"""Header of a dead letter: why it could not be read."""
FROM: Final = "onecopy-queue"
"""Header of a dead letter: the queue that it came from."""


class RabbitMQEngine:
    """Wakes workers by RabbitMQ."""

    def __init__(self, url: str, own: Engine) -> None:
        """Connect to nothing yet.

        url: `amqp://user:password@host:port/vhost`, or `amqps://`. In its query: `prefix` of the
        queues' names (`onecopy`), `heartbeat` in seconds (10), `cafile` of an authority.
        own: the store's own engine, for changes. Raises OptionError.
        """
        address = _parse(url)
        presence = Presence(f"RabbitMQ at {address.host}:{address.port}")
        queues = Queues(address.query.get("prefix", "onecopy"))
        address = address.without_query_params("prefix")
        self._own = own
        self._queues = queues
        self._publisher = Publisher(address, queues, presence)
        self._consumer = Consumer(address, queues, presence, self._bury)

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
        headers: dict[str, Any] = {**message.headers, REASON: reason, FROM: message.routing_key}
        letter = Message(
            message.body,
            headers=headers,
            content_type=message.content_type,
            message_id=message.message_id,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        self._publisher.put([Letter(self._queues.dead_letters, letter, message.ack)])


def _message(job: Job) -> Message:
    headers: dict[str, Any] = {**cloud_events.headers(job, PREFIXES[0])}
    return Message(
        cloud_events.data(job),
        headers=headers,
        content_type=cloud_events.CONTENT_TYPE,
        message_id=job.id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _parse(url: str) -> URL:
    try:
        address = URL(url)
        port = address.port or {"amqp": 5672, "amqps": 5671}[address.scheme]
    except (KeyError, ValueError) as error:
        raise OptionError(
            "engine", "it is no URL of RabbitMQ: amqp://user:password@host/vhost"
        ) from error
    if not address.host:
        raise OptionError("engine", "it names no host: amqp://user:password@host/vhost")
    return address.with_port(port).update_query({"heartbeat": address.query.get("heartbeat", "10")})
