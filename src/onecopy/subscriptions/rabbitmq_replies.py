"""Replies to queues of RabbitMQ."""

import asyncio
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import PublishError

from onecopy.engines.rabbitmq_address import parse
from onecopy.engines.rabbitmq_link import quieten
from onecopy.subscriptions.replies import Nobody, Reply

_PATIENCE: Final = 10.0


class QueueReplier:
    """One connection, had when there is something to say."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet. Raises OptionError."""
        self._url = parse(url).url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._connecting = asyncio.Lock()

    async def send(self, reply: Reply) -> None:
        """Publish, and wait for the confirm. Raises Nobody, and what RabbitMQ says."""
        headers: dict[str, Any] = {
            f"cloudEvents_{name}": value for name, value in reply.attributes.items()
        }
        message = aio_pika.Message(
            reply.data,
            headers=headers,
            content_type="application/json",
            message_id=reply.attributes["id"],
            correlation_id=reply.correlation,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        async with asyncio.timeout(_PATIENCE):
            channel = await self._opened()
            try:
                await channel.default_exchange.publish(message, reply.to)
            except PublishError:
                raise Nobody(f"there is no queue {reply.to}") from None

    async def _opened(self) -> AbstractChannel:
        async with self._connecting:
            if self._channel is None or self._channel.is_closed:
                await self.close()
                quieten()
                self._connection = await aio_pika.connect(self._url)
                self._channel = await self._connection.channel(on_return_raises=True)
            return self._channel

    async def close(self) -> None:
        """Disconnect."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()
