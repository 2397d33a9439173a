"""FastStream over Kafka: a message, and another one back by a topic of answers."""

from __future__ import annotations

import asyncio
import os

# By name: the environment of the checks does without the peers.
from importlib import import_module
from typing import Any
from uuid import uuid4

from benchmarks.jobs.apps.seam import InTasks, broker_url

faststream: Any = import_module("faststream")
kafka: Any = import_module("faststream.kafka")
broker = kafka.KafkaBroker(broker_url())
app = faststream.FastStream(broker)
_waiting: dict[str, asyncio.Future[None]] = {}


if os.environ.get("BENCHMARK_WORKER"):

    @broker.subscriber("nothing", group_id="nothing", auto_offset_reset="earliest")
    @broker.publisher("nothing-done")
    async def nothing(number: str) -> str:
        """Do nothing, and say so."""
        return number

else:

    @broker.subscriber("nothing-done", auto_offset_reset="latest")
    async def done(number: str) -> None:
        """Wake who waits."""
        future = _waiting.pop(number, None)
        if future is not None and not future.done():
            future.set_result(None)


async def _submit() -> asyncio.Future[None]:
    number = uuid4().hex
    future = _waiting[number] = asyncio.get_running_loop().create_future()
    await broker.publish(number, "nothing")
    return future


async def _wait(future: asyncio.Future[None]) -> None:
    await asyncio.wait_for(future, 30)


async def _begin() -> None:
    await broker.start()
    # Partitions are assigned some time after that.
    while True:
        future = await _submit()
        try:
            await asyncio.wait_for(asyncio.shield(future), 1)
        except TimeoutError:
            continue
        return


PEER = InTasks(submit=_submit, wait=_wait, begin=_begin, end=broker.stop)
