"""The messages of jobs on a broker: taken from it, and sent again."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, cast
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity
from confluent_kafka import OFFSET_END, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from redis import Redis
from yarl import URL

from onecopy.engines.kafka_address import parse
from onecopy.engines.local import LocalEngine
from onecopy.engines.urls import open_engine
from onecopy.testing._engines import due_job
from tests.running import DEADLINE, wait_until
from tests.ways import Way


class Mail(Protocol):
    """Messages of jobs of the queue `default`."""

    def take(self, count: int) -> list[Any]:
        """Take so many from the broker, the oldest first, once they are there: for good."""
        ...

    def send(self, messages: Sequence[Any]) -> None:
        """Send what was taken, in this order; it may be sent more than once."""
        ...


def mail_of(way: Way, folder: Path) -> Mail:
    """Return the mail of an engine."""
    url = URL(way.url)
    match way.engine:
        case "rabbitmq":
            return _OnRabbitMQ(str(url.with_query(None)), f"{url.query['prefix']}.default")
        case "celery-rabbitmq":
            return _OnRabbitMQ(way.url.removeprefix("celery+"), "default")
        case "celery-redis":
            return _OnRedis(way.url.removeprefix("celery+"))
        case "kafka":
            return _OnKafka(way.url)
        case _:
            return _Rings(way.url, str(folder))


class _OnRabbitMQ:
    def __init__(self, url: str, queue: str) -> None:
        self._url = url
        self._queue = queue

    def take(self, count: int) -> list[Any]:
        return asyncio.run(self._take(count))

    async def _take(self, count: int) -> list[AbstractIncomingMessage]:
        taken: list[AbstractIncomingMessage] = []
        async with await aio_pika.connect(self._url) as connection, asyncio.timeout(DEADLINE):
            queue = await self._declared(connection)
            while len(taken) < count:
                message = await queue.get(no_ack=True, fail=False)
                taken += [] if message is None else [message]
                await asyncio.sleep(0)
        return taken

    async def _declared(self, connection: AbstractConnection) -> AbstractQueue:
        """Return the queue, once somebody has declared it."""
        while True:
            channel = await connection.channel()
            with contextlib.suppress(ChannelNotFoundEntity):
                return await channel.get_queue(self._queue)
            await asyncio.sleep(0.02)

    def send(self, messages: Sequence[Any]) -> None:
        asyncio.run(self._send(messages))

    async def _send(self, messages: Sequence[AbstractIncomingMessage]) -> None:
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel(on_return_raises=True)
            for message in messages:
                await channel.default_exchange.publish(message, self._queue)


class _OnRedis:
    """Those of Celery: a list, which is pushed to on the left and popped from on the right."""

    def __init__(self, url: str) -> None:
        self._redis = cast("Any", Redis).from_url(url)

    def take(self, count: int) -> list[Any]:
        wait_until(lambda: self._redis.llen("default") >= count)
        return [self._redis.rpop("default") for _ in range(count)]

    def send(self, messages: Sequence[Any]) -> None:
        self._redis.lpush("default", *messages)


class _OnKafka:
    def __init__(self, url: str) -> None:
        self._address = parse(url)
        self._of_all: dict[str, Any] = {"bootstrap.servers": self._address.brokers, "log_level": 0}

    def take(self, count: int) -> list[Any]:
        """Read them, and have the log truncated, as it is when they are old."""
        taken = self._read(count)
        ends = [
            TopicPartition(self._address.topic, each, OFFSET_END)
            for each in range(self._address.partitions)
        ]
        admin = AdminClient(self._of_all)  # It is asked for as long as it is kept.
        # Its stub does not say what the futures have.
        truncated = cast("dict[TopicPartition, Future[object]]", admin.delete_records(ends))  # pyright: ignore[reportUnknownMemberType]
        for future in truncated.values():
            future.result(DEADLINE)
        return taken

    def _read(self, count: int) -> list[Message]:
        group = {"group.id": str(uuid4()), "auto.offset.reset": "earliest"}
        consumer = Consumer({**self._of_all, **group})
        consumer.subscribe([self._address.topic])
        taken: list[Message] = []
        ends = time.monotonic() + DEADLINE
        try:
            while len(taken) < count:
                assert time.monotonic() < ends, f"{len(taken)} of {count} messages came"
                read = consumer.consume(count, 0.1)
                taken += [message for message in read if message.error() is None]
        finally:
            consumer.close()
        return taken

    def send(self, messages: Sequence[Message]) -> None:
        producer = Producer(self._of_all)
        for message in messages:
            headers = message.headers()
            producer.produce(self._address.topic, message.value(), message.key(), headers=headers)
        assert producer.flush(DEADLINE) == 0


class _Rings:
    """Of an engine whose rings name no jobs: who does not hear one at once never does."""

    def __init__(self, url: str, folder: str) -> None:
        self._url = url
        self._folder = folder

    def take(self, count: int) -> list[Any]:
        return [due_job() for _ in range(count)]

    def send(self, messages: Sequence[Any]) -> None:
        asyncio.run(self._ring(messages))

    async def _ring(self, messages: Sequence[Any]) -> None:
        engine = open_engine(self._url, LocalEngine(self._folder), self._folder)
        await engine.open()
        for message in messages:
            await engine.ring([message])
            await asyncio.sleep(0)
        await engine.close()
