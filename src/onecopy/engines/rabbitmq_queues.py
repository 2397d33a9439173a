"""The queues of RabbitMQ that carry jobs: durable quorum queues, declared by whoever meets them.

For jobs of the queue `default`, where `onecopy` is the prefix:

    onecopy.default         priority 0
    onecopy.default:high    over 0: heard first
    onecopy.default:low     below 0: heard last
    onecopy:dead-letters    what could not be read; by an exchange of the same name

A quorum queue is in order of arrival; priorities inside a level count when a worker looks into the
store, as it does once a second.
"""

from typing import Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue
from pamqp.common import Arguments

LEVELS: Final = (":high", "", ":low")
_NEVER: Final = 1_000_000_000
"""Deliveries after which RabbitMQ gives up on a message: it is to come until a worker claims it."""


class Queues:
    """Names and declares the queues of a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.dead_letters = f"{prefix}:dead-letters"

    def name(self, queue: str, priority: int) -> str:
        """Return the name of the queue for jobs of such a priority."""
        return f"{self.prefix}.{queue}{LEVELS[1 - ((priority > 0) - (priority < 0))]}"

    def names(self, queue: str) -> list[str]:
        """Return the names of the queues for jobs of a queue, the one that is heard first first."""
        return [f"{self.prefix}.{queue}{level}" for level in LEVELS]

    async def declare(self, channel: AbstractChannel, name: str) -> AbstractQueue:
        """Have a queue of jobs; RabbitMQ's errors are raised."""
        arguments: Arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": _NEVER,
            "x-dead-letter-exchange": self.dead_letters,
        }
        return await channel.declare_queue(name, durable=True, arguments=arguments)

    async def declare_dead_letters(self, channel: AbstractChannel) -> None:
        """Have the dead letters."""
        exchange = await channel.declare_exchange(
            self.dead_letters, ExchangeType.FANOUT, durable=True
        )
        queue = await channel.declare_queue(
            self.dead_letters, durable=True, arguments={"x-queue-type": "quorum"}
        )
        await queue.bind(exchange)
