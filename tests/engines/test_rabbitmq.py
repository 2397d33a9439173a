"""The RabbitMQ engine on a real RabbitMQ."""

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from msgspec.structs import replace

from onecopy.engines import Rung
from onecopy.engines.local import LocalEngine
from onecopy.engines.outbox import MOST
from onecopy.engines.rabbitmq import RabbitMQEngine
from onecopy.engines.rabbitmq_letters import FROM, REASON
from onecopy.engines.urls import open_engine
from onecopy.errors import OptionError
from onecopy.testing import EngineContract
from onecopy.testing._engines import LONG, Connect, due_job, hear, opened, until
from servers.rabbitmq import RabbitMQ
from servers.tls import Tls
from tests.engines.refusals import said_of_refusal


class TestRabbitMQEngine(EngineContract):
    @pytest.fixture
    def connect(self, rabbitmq_server: RabbitMQ, tmp_path: Path) -> Connect:
        url = f"{rabbitmq_server.url}?prefix=test-{uuid4()}"
        return lambda: RabbitMQEngine(url, LocalEngine(str(tmp_path)))


def _engine(server: RabbitMQ, folder: Path, prefix: str) -> RabbitMQEngine:
    return RabbitMQEngine(f"{server.url}?prefix={prefix}", LocalEngine(str(folder)))


async def _send(server: RabbitMQ, queue: str, body: bytes, headers: dict[str, Any]) -> None:
    connection = await aio_pika.connect(server.url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.default_exchange.publish(aio_pika.Message(body, headers=headers), queue)


async def get_one(server: RabbitMQ, queue: str) -> AbstractIncomingMessage:
    connection = await aio_pika.connect(server.url)
    async with connection:
        channel = await connection.channel()
        found = await channel.get_queue(queue)
        async with asyncio.timeout(LONG), found.iterator() as messages:
            async for message in messages:
                await message.ack()
                return message
    raise AssertionError("there is none")


def test_what_cannot_be_read_is_a_dead_letter_with_its_reason(
    rabbitmq_server: RabbitMQ, tmp_path: Path
) -> None:
    prefix = f"test-{uuid4()}"

    async def scenario() -> None:
        engine = _engine(rabbitmq_server, tmp_path, prefix)
        await engine.open()
        first = due_job()
        await engine.ring([first])
        assert await engine.wait_for_ring(["default"], LONG) == [Rung(first.id, first.task)]
        await engine.claimed()
        await _send(rabbitmq_server, f"{prefix}.default", b"\xff\x00", {"what": "ever"})
        job = due_job()
        await engine.ring([job])
        assert await engine.wait_for_ring(["default"], LONG) == [Rung(job.id, job.task)]
        letter = await get_one(rabbitmq_server, f"{prefix}:dead-letters")
        assert letter.body == b"\xff\x00"
        assert letter.headers["what"] == "ever"
        assert "no CloudEvent" in str(letter.headers[REASON])
        assert letter.headers[FROM] == f"{prefix}.default"
        await engine.close()

    asyncio.run(scenario())


def test_jobs_of_a_higher_level_are_heard_first(rabbitmq_server: RabbitMQ, tmp_path: Path) -> None:
    prefix = f"test-{uuid4()}"

    async def scenario() -> None:
        engine = _engine(rabbitmq_server, tmp_path, prefix)
        await engine.open()
        jobs = [replace(due_job(), priority=priority) for priority in (-5, 0, 7)]
        await engine.ring(jobs)
        await until(lambda: rabbitmq_server.control("list_queues").count(f"{prefix}.default") == 3)
        heard: list[Rung] = []
        while len(heard) < 3:
            heard += await engine.wait_for_ring(["default"], LONG, limit=1) or ()
            await engine.claimed()
            await asyncio.sleep(0.02)  # A job takes a while; meanwhile more is heard.
        assert heard[-1].job == jobs[0].id
        await engine.close()

    asyncio.run(scenario())


def test_a_worker_that_is_busy_holds_no_message(rabbitmq_server: RabbitMQ, tmp_path: Path) -> None:
    prefix = f"test-{uuid4()}"

    async def scenario() -> None:
        async with opened(lambda: _engine(rabbitmq_server, tmp_path, prefix), 2) as (busy, idle):
            jobs = [due_job() for _ in range(8)]
            await busy.ring(jobs)
            first = await busy.wait_for_ring(["default"], LONG, limit=4)
            assert first is not None
            await busy.claimed()
            rest: list[Rung] = []
            while len(rest) < len(jobs) - len(first):
                rest += await idle.wait_for_ring(["default"], LONG, limit=8) or ()
                await idle.claimed()
            assert sorted([*first, *rest]) == sorted(Rung(job.id, job.task) for job in jobs)

    asyncio.run(scenario())


def test_a_full_disk_keeps_nobody_waiting(rabbitmq_server: RabbitMQ, tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = _engine(rabbitmq_server, tmp_path, f"test-{uuid4()}")
        await engine.open()
        before = due_job()
        await engine.ring([before])
        assert await engine.wait_for_ring(["default"], LONG) == [Rung(before.id, before.task)]
        await engine.claimed()
        rabbitmq_server.control("set_disk_free_limit", "100000GB")
        began = time.monotonic()
        jobs = [due_job() for _ in range(2 * MOST)]
        await engine.ring(jobs)
        assert time.monotonic() - began < 5
        assert await engine.wait_for_ring(["default"], 0.3) is None
        rabbitmq_server.control("set_disk_free_limit", "10MB")
        assert await engine.wait_for_ring(["default"], LONG) == [Rung(jobs[0].id, jobs[0].task)]
        await engine.close()

    try:
        asyncio.run(scenario())
    finally:
        rabbitmq_server.control("set_disk_free_limit", "10MB")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://somebody:secret-word@{plain}/%2F", "login was refused|ACCESS_REFUSED"),
        ("amqp://onecopy:open-sesame@{plain}/nowhere", "virtual host"),
        ("amqp://onecopy:secret-word@127.0.0.1:1/%2F", "refused|Errno"),
        ("{tls}", r"certificate verify failed.*`\?cafile=` names a file of authorities"),
        ("{tls}?cafile=/nothing", r"No such file.*`\?cafile=` names a file of authorities"),
    ],
)
def test_a_broker_that_refuses_is_said_once_and_no_password(
    url: str,
    said: str,
    rabbitmq_server: RabbitMQ,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = f"127.0.0.1:{rabbitmq_server.port}"
    where = url.format(plain=place, tls=rabbitmq_server.tls_url)
    line = said_of_refusal(lambda own: RabbitMQEngine(where, own), tmp_path, caplog)
    assert re.search(said, line)
    assert not re.search("secret-word|open-sesame", caplog.text)


def test_an_authority_that_is_named(rabbitmq_server: RabbitMQ, tls: Tls, tmp_path: Path) -> None:
    url = f"{rabbitmq_server.tls_url}?cafile={tls.authority}&prefix=test-{uuid4()}"

    async def scenario() -> None:
        async with opened(lambda: RabbitMQEngine(url, LocalEngine(str(tmp_path))), 2) as engines:
            job = due_job()
            await engines[0].ring([job])
            assert await hear(engines[1], 1) == [Rung(job.id, job.task)]

    asyncio.run(scenario())


def test_urls(tmp_path: Path) -> None:
    own = LocalEngine(str(tmp_path))
    for url in ("amqp://", "amqp:", "amqp://host:port/"):
        with pytest.raises(OptionError, match="amqp://user:password@host/vhost"):
            open_engine(url, own, str(tmp_path))
    with pytest.raises(OptionError, match="'ampq' is no engine"):
        open_engine("ampq://user:secret-word@host/", own, str(tmp_path))


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("onecopy.engines.rabbitmq")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    with pytest.raises(OptionError, match=r"pip install 'onecopy\[rabbitmq\]'"):
        open_engine("amqp://host/", LocalEngine(str(tmp_path)), str(tmp_path))
