"""Brokers that refuse: what is said of it, and what becomes of jobs meanwhile."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onecopy.engines import Engine
from onecopy.engines.local import LocalEngine
from onecopy.execution.runtime import Runtime
from onecopy.stores.memory import MemoryStore
from onecopy.testing._engines import due_job, until


def said_of_refusal(
    open_engine: Callable[[Engine], Engine], folder: Path, caplog: pytest.LogCaptureFixture
) -> str:
    """Accept a job and wait for one, where the broker refuses; return the one line that is said.

    Clients of brokers may say all they can: no password is to be in it.
    """
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        engine = open_engine(LocalEngine(str(folder)))
        runtime = Runtime(MemoryStore(), engine, str(folder))
        await runtime.open()
        job = due_job()
        began = time.monotonic()
        await runtime.accept([job])
        assert time.monotonic() - began < 1, "who accepts waits for no broker"
        assert await engine.wait_for_ring(["default"], 0.1) is None
        await until(lambda: "until it is back" in caplog.text)
        assert await engine.wait_for_ring(["default"], 0.5) is None
        claimed = await runtime.store.claim("w", ["default"], now=time.time(), until=job.due_at + 9)
        assert [each.id for each in claimed] == [job.id]
        await runtime.close()

    asyncio.run(scenario())
    (line,) = [each.getMessage() for each in caplog.records if "onecopy" in each.name]
    assert "Jobs are accepted all the same" in line
    return line
