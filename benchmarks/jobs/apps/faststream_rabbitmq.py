"""FastStream over RabbitMQ: a request, and its reply; nothing is kept of either."""

from __future__ import annotations

import os

# By name: the environment of the checks does without the peers.
from importlib import import_module
from typing import Any

from benchmarks import loops
from benchmarks.jobs.apps.seam import InTasks, broker_url

faststream: Any = import_module("faststream")
rabbit: Any = import_module("faststream.rabbit")
broker = rabbit.RabbitBroker(broker_url(), logger=None)
app = faststream.FastStream(broker, logger=None)


async def nothing() -> bool:
    """Do nothing, and say so."""
    return True


if "BENCHMARK_WORKER" in os.environ:  # A client that subscribes would answer itself.
    broker.subscriber("nothing")(nothing)


async def _submit() -> Any:  # noqa: ANN401 - FastStream's
    return await broker.request(None, "nothing", timeout=30)


async def _wait(answer: Any) -> None:  # noqa: ANN401 - FastStream's
    """It has been waited for: a request has no other way."""


PEER = InTasks(submit=_submit, wait=_wait, begin=broker.start, end=broker.stop)


if __name__ == "__main__":
    loops.run(app.run())
