"""Messages that others send become jobs, by whole services and real brokers."""

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from confluent_kafka import Producer

from onecopy import OneCopy
from onecopy.errors import DeclarationError
from servers.kafka import Kafka
from servers.rabbitmq import RabbitMQ
from tests.engines import test_kafka, test_rabbitmq
from tests.running import DEADLINE, Service, wait_until
from tests.server.jobs_app import TASKS, Jobs

type Send = Callable[[bytes, dict[str, str], str | None], None]
EVENT = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order"}


@contextmanager
def _service(folder: Path, source: str, **environment: str) -> Generator[Jobs]:
    subscribe = f"shared.subscribe({source!r}, mark, where=lambda data: data != {{'text': 'not'}})"
    (folder / "app.py").write_text(f"{TASKS}\n{subscribe}\n")
    words = ("app:app", "--workers", "1", "--job-workers", "2")
    with Service(folder, *words, environment=environment) as run:
        yield Jobs(run.wait_until_ready())


def _messages_become_jobs(jobs: Jobs, send: Send) -> None:
    """Send what fits and what does not; what fits is a job, once."""
    send(b'{"text": "not"}', {}, None)
    send(b'{"text": "plain"}', {}, "message 1")
    for _ in range(3):
        structured = {**EVENT, "data": {"text": "structured"}}
        kind = {"content-type": "application/cloudevents+json"}
        send(json.dumps(structured).encode(), kind, str(uuid4()))
    binary = {f"ce_{name}": value for name, value in {**EVENT, "id": "8"}.items()}
    for _ in range(3):
        send(b'{"text": "binary"}', binary, str(uuid4()))
    send(b'{"text": 5}', {}, "message 2")
    send(b'{"text": "last"}', {}, "message 3")
    wait_until(lambda: len(jobs.notes()) >= 4, what="four jobs")
    assert sorted(jobs.notes()) == ["binary", "last", "plain", "structured"]


def test_the_messages_of_a_queue(rabbitmq_server: RabbitMQ, tmp_path: Path) -> None:
    name = f"orders-{uuid4()}"
    url = f"{rabbitmq_server.url}?prefix={name}"

    async def publish(message: aio_pika.Message) -> None:
        async with await aio_pika.connect(rabbitmq_server.url) as connection:
            channel = await connection.channel(on_return_raises=True)
            await channel.declare_queue(name, durable=True)  # As its owner wants it.
            await channel.default_exchange.publish(message, name)

    def send(body: bytes, headers: dict[str, str], message_id: str | None) -> None:
        kind = headers.get("content-type")
        others: dict[str, Any] = {key: headers[key] for key in headers if key != "content-type"}
        message = aio_pika.Message(
            body, headers=others, content_type=kind, message_id=message_id, delivery_mode=2
        )
        asyncio.run(publish(message))

    send(b'{"text": "not"}', {}, None)
    with _service(tmp_path, f"rabbitmq:{name}", ONECOPY_RABBITMQ=url) as jobs:
        _messages_become_jobs(jobs, send)
        send(b'{"text": "plain"}', {}, "message 1")
        letter = asyncio.run(test_rabbitmq.get_one(rabbitmq_server, f"{name}:dead-letters"))
        assert letter.body == b'{"text": 5}'
        assert "text" in str(letter.headers["onecopy-reason"])
        assert letter.headers["onecopy-queue"] == name
        assert len(jobs.notes()) == 4


def test_the_messages_of_a_topic(kafka_server: Kafka, tmp_path: Path) -> None:
    topic = f"orders-{uuid4()}"
    producer = Producer(
        {"bootstrap.servers": kafka_server.bootstrap, "topic.metadata.refresh.fast.interval.ms": 50}
    )

    def send(body: bytes, headers: dict[str, str], message_id: str | None) -> None:
        producer.produce(topic, body, headers=list(headers.items()))
        assert producer.flush(20) == 0

    url = f"kafka://{kafka_server.bootstrap}/?partitions=2"
    with _service(tmp_path, f"kafka:{topic}", ONECOPY_KAFKA=url) as jobs:
        _messages_become_jobs(jobs, send)
        value, headers = test_kafka.read_one(kafka_server, f"{topic}--dead-letters")
        assert value == b'{"text": 5}'
        assert b"text" in headers["onecopy-reason"]


def test_the_outcome_is_sent_to_the_queue_that_a_message_names(
    rabbitmq_server: RabbitMQ, tmp_path: Path
) -> None:
    name = f"orders-{uuid4()}"

    async def make() -> None:
        async with await aio_pika.connect(rabbitmq_server.url) as connection:
            await (await connection.channel()).declare_queue(name, durable=True)

    async def ask() -> AbstractIncomingMessage:
        async with await aio_pika.connect(rabbitmq_server.url) as connection:
            channel = await connection.channel(on_return_raises=True)
            replies = await channel.declare_queue(exclusive=True)
            for reply_to in ("nowhere", replies.name):
                message = aio_pika.Message(
                    b'{"text": "ask"}',
                    reply_to=reply_to,
                    correlation_id="17 / 4",
                    message_id=reply_to,
                )
                await channel.default_exchange.publish(message, name)
            async with asyncio.timeout(DEADLINE), replies.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    return message
        raise AssertionError("there is no reply")

    asyncio.run(make())  # before the subscriber would make it, in its own way
    with _service(tmp_path, f"rabbitmq:{name}", ONECOPY_RABBITMQ=rabbitmq_server.url) as jobs:
        reply = asyncio.run(ask())
        assert reply.correlation_id == "17 / 4"
        assert reply.headers["cloudEvents_type"] == "onecopy.job.succeeded"
        assert json.loads(reply.body)["result"] == "ask"
        jobs.run.wait_for_log("there is no queue nowhere; disabled")


_CALLED = (
    ("reply-to", "correlation-id"),
    ("kafka_replyTopic", "kafka_correlationId"),
    ("reply_to", "correlation_id"),
)
"""Headers of Kafka, as ours, Spring's and FastStream's."""


def test_the_outcome_is_sent_to_the_topic_that_a_message_names(
    kafka_server: Kafka, tmp_path: Path
) -> None:
    topic = f"orders-{uuid4()}"
    url = f"kafka://{kafka_server.bootstrap}/?partitions=1"
    with _service(tmp_path, f"kafka:{topic}", ONECOPY_KAFKA=url):
        producer = Producer({"bootstrap.servers": kafka_server.bootstrap, "log_level": 0})
        for number, (reply_to, correlation) in enumerate(_CALLED):
            headers = {reply_to: f"{topic}.replies-{number}", correlation: "17"}
            producer.produce(topic, b'{"text": "ask"}', headers=list(headers.items()))
        assert producer.flush(DEADLINE) == 0
        for number, (_, correlation) in enumerate(_CALLED):
            _, told = test_kafka.read_one(kafka_server, f"{topic}.replies-{number}")
            assert told[correlation] == b"17"
        value, told = test_kafka.read_one(kafka_server, f"{topic}.replies-0")
        assert told["ce_type"] == b"onecopy.job.succeeded"
        assert json.loads(value or b"")["result"] == "ask"


def test_what_cannot_be_subscribed_to(tmp_path: Path) -> None:
    shared = OneCopy()

    @shared.task
    def work() -> None: ...

    for source in ("orders", "rabbitmq:", "redis:orders"):
        with pytest.raises(DeclarationError, match="one would be rabbitmq:orders"):
            shared.subscribe(source, work)


def test_without_the_url_of_a_broker_all_else_works(tmp_path: Path) -> None:
    with _service(tmp_path, "rabbitmq:orders", ONECOPY_RABBITMQ="") as jobs:
        assert jobs.do("mark", text="x")["status"] == "succeeded"
        jobs.run.wait_for_log("name its broker with ONECOPY_RABBITMQ")
