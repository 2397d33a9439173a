"""What a job worker says while it can claim nothing."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, override

import pytest

from onecopy.engines.local import LocalEngine
from onecopy.execution.queues import Queues
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Job
from onecopy.server import claims
from onecopy.stores import Unavailable
from onecopy.stores.memory import MemoryStore
from onecopy.testing._engines import until


class Away(MemoryStore):
    """A store that answers, or says why it does not."""

    reason: str | None = None
    asked = 0

    @override
    async def claim(
        self,
        worker: str,
        queues: Sequence[str],
        *,
        now: float,
        until: float,
        limit: int = 1,
        without: Sequence[str] = (),
    ) -> list[Job]:
        self.asked += 1
        if self.reason is not None:
            raise Unavailable(self.reason)
        return []


def _new_claims(runtime: Runtime) -> claims.Claims:
    """The claims of a worker that has nothing to do."""
    passing_over = SimpleNamespace(tasks=(), most=int)
    attempts: Any = SimpleNamespace(
        on_free=[], on_room=[], passing_over=passing_over, knows=None, give_back=None
    )
    places: Any = SimpleNamespace(for_jobs=lambda: 1)
    return claims.Claims(runtime, "worker", Queues.parse("default"), attempts, places)


def test_why_nothing_can_be_claimed_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claims, "_LOOK_EVERY", 0.005)
    store = Away()

    async def more() -> None:
        enough = store.asked + 5
        await until(lambda: store.asked >= enough)

    async def scenario() -> None:
        runtime = Runtime(store, LocalEngine(str(tmp_path)), str(tmp_path))
        await runtime.open()
        worker = _new_claims(runtime)
        running = asyncio.create_task(worker.run())
        for reason in ("it is away", "it is full", None, "it is full"):
            store.reason = reason
            await more()
        worker.stop()
        await running
        await runtime.close()

    asyncio.run(scenario())
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"cannot claim: {why}" for why in ("it is away", "it is full", "it is full")]
