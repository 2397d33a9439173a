"""FastStream over Kafka: a message, and its answer in a topic that the client alone reads.

Kafka has no requests: a client knows the answer by the correlation of its message.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future

# By name: the environment of the checks does without the peers.
from importlib import import_module
from typing import Any, Final, cast
from uuid import uuid4

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks import loops
from benchmarks.jobs.apps.seam import InTasks, broker_url

_QUESTIONS: Final = "nothing"
_ANSWERS: Final = f"answers-{uuid4()}"
_PATIENCE: Final = 30

faststream: Any = import_module("faststream")
confluent: Any = import_module("faststream.confluent")
_bootstrap = broker_url().removeprefix("kafka://").partition("/")[0]
broker = confluent.KafkaBroker(_bootstrap, logger=None)
app = faststream.FastStream(broker, logger=None)
_asked: dict[str, asyncio.Future[None]] = {}


def _make(*topics: str) -> None:
    """Make topics; whoever is second finds the first one there."""
    admin = AdminClient({"bootstrap.servers": _bootstrap})
    new = [NewTopic(topic, num_partitions=1) for topic in topics]
    # Its stub does not say what the futures have.
    made = cast("dict[str, Future[None]]", admin.create_topics(new))  # pyright: ignore[reportUnknownMemberType]
    for topic in topics:
        made[topic].exception(_PATIENCE)


async def _nothing() -> bool:
    """Do nothing, and say so."""
    return True


async def _answered(message: Any) -> None:  # noqa: ANN401 - FastStream's
    if (asked := _asked.pop(message.correlation_id, None)) is not None:
        asked.set_result(None)


if "BENCHMARK_WORKER" in os.environ:
    _make(_QUESTIONS)
    broker.subscriber(_QUESTIONS, group_id="worker", auto_offset_reset="earliest")(_nothing)
else:
    _make(_QUESTIONS, _ANSWERS)
    only = [confluent.TopicPartition(_ANSWERS, 0)]
    listen: Any = broker.subscriber(partitions=only, auto_offset_reset="earliest", no_reply=True)
    message: Any = import_module("faststream.confluent.annotations").KafkaMessage
    _answered.__annotations__["message"] = message
    listen(_answered)


async def _submit() -> asyncio.Future[None]:
    name = uuid4().hex
    asked = _asked[name] = asyncio.get_running_loop().create_future()
    await broker.publish(None, _QUESTIONS, correlation_id=name, reply_to=_ANSWERS)
    return asked


async def _wait(answer: asyncio.Future[None]) -> None:
    async with asyncio.timeout(_PATIENCE):
        await answer


PEER = InTasks(submit=_submit, wait=_wait, begin=broker.start, end=broker.stop)


if __name__ == "__main__":
    loops.run(app.run())
