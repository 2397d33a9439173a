"""The RabbitMQ engine: a message for each job, in durable quorum queues.

It carries jobs alone; who follows changes hears of them by the store's own engine. A message is
acknowledged once its job is claimed in the store, before the job runs: no limit of RabbitMQ's on
deliveries bounds a job.

rabbitmq_address.py     what the URL says
rabbitmq_link.py        a connection, had again when it is lost
rabbitmq_queues.py      the queues, and their names
rabbitmq_wire.py        its wire, where the frames of jobs are heard and written
rabbitmq_frames.py      these frames
rabbitmq_publisher.py   publishes in the background
rabbitmq_confirms.py    what RabbitMQ answers to that
rabbitmq_consumer.py    hears of jobs while a worker waits for some
rabbitmq_hearing.py     the consumers of its channel
rabbitmq_letters.py     dead letters
"""

from collections.abc import AsyncIterator, Sequence

from onecopy.engines import cloud_events
from onecopy.engines.base import Engine, Rung
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_address import parse
from onecopy.engines.rabbitmq_consumer import PREFIXES, Consumer
from onecopy.engines.rabbitmq_frames import properties
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
        self._consumer = Consumer(address.url, self._queues, presence, self._publisher)

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
        self._publisher.put(self._letter(job) for job in jobs)

    def _letter(self, job: Job) -> Letter:
        headers = cloud_events.headers(job, PREFIXES[0])
        return Letter(
            self._queues.name(job.queue, job.priority),
            properties(cloud_events.CONTENT_TYPE, headers, job.id),
            cloud_events.data(job),
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
