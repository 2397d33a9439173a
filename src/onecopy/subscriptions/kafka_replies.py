"""Replies to topics of Kafka."""

import asyncio
from typing import Final

from onecopy.engines.kafka_address import parse
from onecopy.engines.kafka_publisher import Publisher
from onecopy.engines.presence import Presence
from onecopy.subscriptions.replies import Reply

CORRELATIONS: Final = ("correlation-id", "kafka_correlationId", "correlation_id")
"""Headers with what tells which message a reply is for: ours, Spring's, FastStream's."""
_PATIENCE: Final = 10.0


class TopicReplier:
    """One producer, had when there is something to say."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet. Raises OptionError."""
        address = parse(url)
        self._publisher = Publisher(address, Presence(f"Kafka at {address.brokers}"))

    async def send(self, reply: Reply) -> None:
        """Publish, and wait until Kafka has it. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        headers = {f"ce_{name}": value for name, value in reply.attributes.items()}
        headers["content-type"] = "application/json"
        if reply.correlation is not None:
            headers |= dict.fromkeys(CORRELATIONS, reply.correlation)

        def then() -> None:
            loop.call_soon_threadsafe(arrived.set)

        self._publisher.put(reply.to, reply.correlation, reply.data, headers, then)
        async with asyncio.timeout(_PATIENCE):
            await arrived.wait()

    async def close(self) -> None:
        """Disconnect."""
        await asyncio.to_thread(self._publisher.close)
