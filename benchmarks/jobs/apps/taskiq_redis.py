"""taskiq with Redis: a stream as broker, which acknowledges, and its result backend."""

from __future__ import annotations

# By name: the environment of the checks does without the peers.
from importlib import import_module
from typing import Any

from benchmarks.jobs.apps.seam import InTasks, redis_url

# Seconds between two looks of a waiter. taskiq's own 0.2 would be all that is measured.
LOOK_EVERY = 0.005

redis: Any = import_module("taskiq_redis")
broker = redis.RedisStreamBroker(redis_url()).with_result_backend(
    redis.RedisAsyncResultBackend(redis_url())
)


@broker.task
async def nothing() -> bool:
    """Do nothing, and say so."""
    return True


async def _wait(task: Any) -> None:  # noqa: ANN401 - taskiq's
    await task.wait_result(check_interval=LOOK_EVERY)


PEER = InTasks(submit=nothing.kiq, wait=_wait, begin=broker.startup, end=broker.shutdown)
