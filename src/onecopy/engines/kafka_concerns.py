"""What could lose messages of a Kafka, and whether it answers at all."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.admin._resource import ResourceType

from onecopy.engines.kafka_address import Address, parse
from onecopy.engines.kafka_thread import AWAY, configuration, reason_of

_PATIENCE: Final = 5.0
_TURN: Final = 0.5
_IN_SYNC: Final = "min.insync.replicas"


async def concerns(url: str) -> list[str]:
    """Ask the brokers. Raises OSError, OptionError."""
    return await asyncio.to_thread(_ask, parse(url))


def _ask(address: Address) -> list[str]:
    said: list[KafkaError] = []
    admin = AdminClient(configuration(address, said.append))
    cluster = _cluster(admin, address, said)
    brokers = len(cluster.brokers)
    if address.replication > brokers:
        nodes = f"{brokers} node{'s' if brokers > 1 else ''}"
        asked = f"replication={address.replication} is asked for"
        return [f"has {nodes}, and {asked}: no topic can be made; ask for {brokers} at most"]
    topic = cluster.topics.get(address.topic)
    return [] if topic is None else list(_of_topic(topic, _in_sync(admin, address)))


def _cluster(admin: AdminClient, address: Address, said: list[KafkaError]) -> ClusterMetadata:
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            return admin.list_topics(timeout=_TURN)
        except KafkaException as error:
            admin.poll(0)
            if any(each.code() in AWAY for each in said) or time.monotonic() > ends:
                what = reason_of([*said, error.args[0]])
                raise OSError(f"Kafka at {address.brokers} cannot be reached: {what}") from error


def _in_sync(admin: AdminClient, address: Address) -> int:
    """How many brokers have a message once it is said to be kept."""
    resource = ConfigResource(ResourceType.TOPIC, address.topic)
    # Its stub does not say what the futures have.
    asked = cast(
        "dict[ConfigResource, Future[dict[str, ConfigEntry]]]",
        admin.describe_configs([resource], request_timeout=_PATIENCE),  # pyright: ignore[reportUnknownMemberType]
    )
    try:
        return int(asked[resource].result()[_IN_SYNC].value or 1)
    except KafkaException:  # It may be that this user must not know.
        return 0


def _of_topic(topic: TopicMetadata, in_sync: int) -> Iterator[str]:
    copies = min(len(each.replicas) for each in topic.partitions.values())
    if copies < 2:
        yield (
            f"keeps one copy of the topic {topic.topic}: with that node its messages are away, and "
            "workers find jobs in the store; give the topic more replicas "
            "(kafka-reassign-partitions.sh), or ?replication=3 before it is made"
        )
    elif in_sync == 1:
        yield (
            f"says of a message in {topic.topic} that it is kept once one node has it; set "
            f"{_IN_SYNC}=2"
        )
    if in_sync > copies:
        yield (
            f"takes no message in {topic.topic}: {_IN_SYNC}={in_sync}, with {copies} "
            f"cop{'ies' if copies > 1 else 'y'}; set {_IN_SYNC} lower, or give the topic more"
        )
