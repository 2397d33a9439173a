"""`onecopy deadletters`, on real brokers."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import aio_pika
from click.testing import CliRunner

from onecopy.cli.deadletters import command
from onecopy.engines.kafka_address import parse
from onecopy.engines.kafka_letters import FROM, REASON
from onecopy.engines.kafka_publisher import Publisher
from onecopy.engines.presence import Presence
from onecopy.engines.rabbitmq_letters import FROM as QUEUE
from servers.kafka import Kafka
from servers.rabbitmq import RabbitMQ
from tests.engines import test_kafka, test_rabbitmq


def _say(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(command, words)
    said = f"{done.output}{done.exception or ''}"
    assert done.exit_code == code, said
    return said


def test_of_rabbitmq(rabbitmq_server: RabbitMQ) -> None:
    name = f"test-{uuid4()}"
    url = f"{rabbitmq_server.url}?prefix={name}"
    assert "no dead letters" in _say("list", "--broker", url)

    async def bury() -> None:
        async with await aio_pika.connect(rabbitmq_server.url) as connection:
            channel = await connection.channel(on_return_raises=True)
            await channel.declare_queue(name, durable=True)
            quorum: dict[str, Any] = {"x-queue-type": "quorum"}
            await channel.declare_queue(f"{name}:dead-letters", durable=True, arguments=quorum)
            for body in (b"\xff", b"{}"):
                headers: dict[str, Any] = {REASON: "no JSON", QUEUE: name, "other": "kept"}
                message = aio_pika.Message(body, headers=headers, message_id="7")
                await channel.default_exchange.publish(message, f"{name}:dead-letters")

    asyncio.run(bury())
    found = json.loads(_say("list", "--json", "--broker", url))
    assert [each["body"] for each in found] == ["\\xff", "{}"]
    assert "no JSON" in _say("show", found[0]["id"], "--broker", url)
    assert "1 dead letter sent again" in _say("replay", found[1]["id"], "--broker", url)
    again = asyncio.run(test_rabbitmq.get_one(rabbitmq_server, name))
    assert (again.body, again.message_id) == (b"{}", "7")
    assert again.headers == {"other": "kept"}
    assert len(json.loads(_say("list", "--json", "--broker", url))) == 1
    assert "there are no such" in _say("replay", found[1]["id"], "--broker", url, code=1)
    assert "1 dead letter sent again" in _say("replay", "--all", "--broker", url)
    assert "no dead letters" in _say("list", "--broker", url)


def test_what_is_refused_again_is_sent_once(rabbitmq_server: RabbitMQ) -> None:
    """It comes back to the dead letters, while those behind it are still sent."""
    name = f"test-{uuid4()}"
    url = f"{rabbitmq_server.url}?prefix={name}"
    letters = f"{name}:dead-letters"

    async def bury() -> None:
        async with await aio_pika.connect(rabbitmq_server.url) as connection:
            channel = await connection.channel(on_return_raises=True)
            await channel.declare_queue(letters, durable=True, arguments={"x-queue-type": "quorum"})
            for body in (b"1", b"2", b"3"):
                # Whoever reads the queue refuses all: here that is the queue of dead letters.
                headers: dict[str, Any] = {REASON: "no object", QUEUE: letters}
                message = aio_pika.Message(body, headers=headers)
                await channel.default_exchange.publish(message, letters)

    asyncio.run(bury())
    assert "3 dead letters sent again" in _say("replay", "--all", "--broker", url)
    assert len(json.loads(_say("list", "--json", "--broker", url))) == 3


def test_of_kafka(kafka_server: Kafka) -> None:
    topic = f"test-{uuid4()}"
    words = ("--broker", f"kafka://{kafka_server.bootstrap}/?partitions=1", "--topic", topic)
    assert "no dead letters" in _say("list", *words)
    publisher = Publisher(parse(words[1]), Presence("Kafka"))
    for body in (b"\xff", b"{}"):
        headers = {REASON: "no JSON", FROM: f"{topic}-0-1", "other": "kept"}
        publisher.put(f"{topic}--dead-letters", "key", body, headers)
    publisher.close()
    found = json.loads(_say("list", "--json", *words))
    assert [each["body"] for each in found] == ["\\xff", "{}"]
    assert found[0]["queue"] == topic
    assert "1 dead letter sent again" in _say("replay", found[1]["id"], *words)
    assert test_kafka.read_one(kafka_server, topic) == (b"{}", {"other": b"kept"})


def test_which_broker() -> None:
    assert "amqp:// and kafka://" in _say("list", "--broker", "redis://host", code=1)
    assert "name dead letters by their ids" in _say("replay", code=2)
    unreachable = _say("list", "--broker", "amqp://user:secret-word@127.0.0.1:1/", code=1)
    assert "RabbitMQ at 127.0.0.1:1" in unreachable
    assert "secret-word" not in unreachable
