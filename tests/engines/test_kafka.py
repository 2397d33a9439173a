"""The Kafka engine on a real Kafka."""

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from hypothesis import given
from hypothesis import strategies as st

from onecopy.engines import Rung
from onecopy.engines.kafka import KafkaEngine
from onecopy.engines.kafka_letters import FROM, REASON
from onecopy.engines.kafka_prefix import Prefix
from onecopy.engines.local import LocalEngine
from onecopy.engines.outbox import MOST
from onecopy.engines.urls import open_engine
from onecopy.errors import OptionError
from onecopy.testing import EngineContract
from onecopy.testing._engines import LONG, Connect, due_job, hear, opened, until
from servers.kafka import Kafka
from servers.tls import Tls
from tests.engines.refusals import said_of_refusal
from tests.servers import started


class TestKafkaEngine(EngineContract):
    @pytest.fixture
    def connect(self, kafka_server: Kafka, tmp_path: Path) -> Connect:
        url = f"kafka://{kafka_server.bootstrap}/test-{uuid4()}?partitions=2"
        return lambda: KafkaEngine(url, LocalEngine(str(tmp_path)))


@given(st.permutations(range(8)))
def test_nothing_is_committed_before_what_is_not_settled(order: list[int]) -> None:
    prefix = Prefix()
    for offset in range(8):
        prefix.delivered(offset)
    settled: set[int] = set()
    committed = 0
    for offset in order:
        settled.add(offset)
        committed = prefix.settle(offset) or committed
        assert committed == next((each for each in range(9) if each not in settled), 9)
    assert prefix.unsettled == 0
    assert prefix.settle(3) is None


def read_one(server: Kafka, topic: str) -> tuple[bytes | None, dict[str, Any]]:
    """Return value and headers of the first message of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": str(uuid4()),
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    ends = time.monotonic() + LONG
    try:
        while time.monotonic() < ends:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                return message.value(), dict(message.headers() or ())
    finally:
        consumer.close()
    raise AssertionError("there is none")


def test_what_cannot_be_read_is_a_dead_letter_with_its_reason(
    kafka_server: Kafka, tmp_path: Path
) -> None:
    topic = f"test-{uuid4()}"

    async def scenario() -> None:
        url = f"kafka://{kafka_server.bootstrap}/{topic}?partitions=1"
        engine = KafkaEngine(url, LocalEngine(str(tmp_path)))
        await engine.open()
        first, second = due_job(), due_job()
        await engine.ring([first])
        assert await engine.wait_for_ring(["default"], LONG) == [Rung(first.id, first.task)]
        await engine.claimed()
        producer = Producer({"bootstrap.servers": kafka_server.bootstrap})
        producer.produce(topic, b"\xff\x00", headers={"what": b"ever", "nothing": None})
        producer.flush(LONG)
        await engine.ring([second])
        assert await engine.wait_for_ring(["default"], LONG) == [Rung(second.id, second.task)]
        value, headers = await asyncio.to_thread(read_one, kafka_server, f"{topic}--dead-letters")
        assert value == b"\xff\x00"
        assert headers["what"] == b"ever"
        assert b"no CloudEvent" in (headers[REASON] or b"")
        assert headers[FROM] == f"{topic}-0-1".encode()
        await engine.close()

    asyncio.run(scenario())


def test_rings_while_no_broker_is_there_wait_for_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        url = "kafka://127.0.0.1:1/x?security.protocol=PLAINTEXT"
        engine = KafkaEngine(url, LocalEngine(str(tmp_path)))
        await engine.open()
        began = time.monotonic()
        await engine.ring([due_job() for _ in range(2 * MOST)])
        assert time.monotonic() - began < 10
        assert await engine.wait_for_ring(["default"], 0.1) is None
        await until(lambda: "until it is back" in caplog.text)
        await engine.close()

    asyncio.run(scenario())
    said = [each.getMessage() for each in caplog.records if each.name == "onecopy.engine"]
    assert sum("Jobs are accepted all the same" in line for line in said) == 1
    assert sum("as fast as jobs come" in line for line in said) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka://onecopy:open-sesame@{tls}/x", "certificate verify failed"),
        (
            "kafka://onecopy:secret-word@{tls}/x?ssl.ca.location={authority}",
            "Authentication failed: Invalid username or password",
        ),
        ("kafka://{tls}/x", r"none of the brokers answers \(is security.protocol right\?\)"),
        ("kafka://127.0.0.1:1/x", "Connection refused"),
    ],
)
def test_brokers_that_refuse_are_said_once_and_no_password(
    url: str,
    said: str,
    kafka_server: Kafka,
    tls: Tls,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    where = url.format(tls=f"127.0.0.1:{kafka_server.tls_port}", authority=tls.authority)
    line = said_of_refusal(lambda own: KafkaEngine(where, own), tmp_path, caplog)
    assert re.search(said, line)
    assert not re.search("secret-word|open-sesame", caplog.text)


def test_an_authority_and_a_user_that_are_named(
    kafka_server: Kafka, tls: Tls, tmp_path: Path
) -> None:
    place = f"onecopy:open-sesame@127.0.0.1:{kafka_server.tls_port}/test-{uuid4()}"
    url = f"kafka://{place}?partitions=1&ssl.ca.location={tls.authority}"

    async def scenario() -> None:
        async with opened(lambda: KafkaEngine(url, LocalEngine(str(tmp_path))), 2) as engines:
            job = due_job()
            await engines[0].ring([job])
            assert await hear(engines[1], 1) == [Rung(job.id, job.task)]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "kafka:",
        "kafka:///topic",
        "kafka://host/a/b",
        "kafka://host/..",
        "kafka://host/topic?partitions=x",
        "kafka://host/?a=1",
        "kafka://host/?no.such=property",
        "kafka://user:secret-word@host/?ssl.ca.location=/nothing",
    ],
)
def test_urls_that_cannot_be(url: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="it would be kafka://host:port") as refused:
        open_engine(url, LocalEngine(str(tmp_path)), str(tmp_path))
    assert "secret-word" not in str(refused.value)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onecopy.engines.kafka")
    monkeypatch.delitem(sys.modules, "onecopy.engines.kafka_reader")
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(OptionError, match=r"pip install 'onecopy\[kafka\]'"):
        open_engine("kafka://host/", LocalEngine(str(tmp_path)), str(tmp_path))


def test_brokers_without_the_new_protocol_of_groups(tmp_path: Path) -> None:
    with started(
        Kafka(tmp_path / "kafka", ["group.coordinator.rebalance.protocols=classic"])
    ) as old:

        async def scenario() -> None:
            engine = KafkaEngine(f"{old.url}?partitions=1", LocalEngine(str(tmp_path)))
            await engine.open()
            job = due_job()
            await engine.ring([job])
            assert await engine.wait_for_ring(["default"], LONG) == [Rung(job.id, job.task)]
            await engine.close()

        asyncio.run(scenario())
