"""The servers by name."""

from __future__ import annotations

from typing import Final

from servers.kafka import Kafka
from servers.postgres import Postgres
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis

KINDS: Final[dict[str, type[Server]]] = {
    "kafka": Kafka,
    "postgres": Postgres,
    "rabbitmq": RabbitMQ,
    "redis": Redis,
}
