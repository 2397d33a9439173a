"""Who waits for jobs, over the local engine."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from onecopy.engines.local import LocalEngine
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Cancel, Event, Job, new_id
from onecopy.stores import Unavailable, change_one
from onecopy.stores.memory import MemoryStore


class Counting(MemoryStore):
    """Counts how often it is asked, and may be away."""

    asked = 0
    away = False

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable("away")

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        self._ask()
        return await super().get(jobs)

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        self._ask()
        return await super().events(after, limit=limit)


def _job() -> Job:
    now = time.time()
    return Job(id=new_id(), task="work", arguments="{}", created_at=now, due_at=now)


def _run(folder: Path, scenario: Callable[[Runtime, Counting], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        store = Counting()
        runtime = Runtime(store, LocalEngine(str(folder)), str(folder))
        await runtime.open()
        try:
            async with asyncio.timeout(30):
                await scenario(runtime, store)
        finally:
            await runtime.close()

    asyncio.run(whole())


def test_many_who_wait_cost_one_query_a_second(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        (job,) = await runtime.accept([_job()])
        waits = [asyncio.create_task(runtime.wait(job.id, 20)) for _ in range(200)]
        await asyncio.sleep(0.1)
        assert store.asked <= 202, "one look of each at the start, and one for all"
        store.asked = 0
        await asyncio.sleep(1.5)
        assert store.asked <= 2
        began = time.monotonic()
        await runtime.cancel(job.id)
        assert {found.status for found in await asyncio.gather(*waits)} == {"cancelled"}
        assert time.monotonic() - began < 0.9, "told, and not found by the next look"
        assert store.asked <= 4

    _run(tmp_path, scenario)


def test_a_word_that_was_lost_is_made_up_for(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        (job,) = await runtime.accept([_job()])
        waiting = asyncio.create_task(runtime.wait(job.id, None))
        await asyncio.sleep(0.1)
        store.away = True
        await change_one(store, job.id, Cancel(), now=time.time())  # And nobody is told.
        await asyncio.sleep(1.2)
        assert not waiting.done()
        store.away = False
        assert (await waiting).status == "cancelled"

    _run(tmp_path, scenario)


def test_the_wait_is_over(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        (job,) = await runtime.accept([_job()])
        assert (await runtime.wait(job.id, 0.1)).status == "queued"
        assert (await runtime.wait(job.id, 0)).status == "queued"
        with pytest.raises(KeyError):
            await runtime.wait("unknown", 5)

    _run(tmp_path, scenario)


def test_a_job_that_is_deleted_while_somebody_waits(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        (job,) = await runtime.accept([_job()])
        waiting = asyncio.create_task(runtime.wait(job.id, None))
        await asyncio.sleep(0.1)
        await change_one(store, job.id, Cancel(), now=time.time())
        assert await store.prune(now=time.time() + 1e9) == 1
        with pytest.raises(KeyError):
            await waiting

    _run(tmp_path, scenario)


def test_who_waits_for_what_was_just_accepted_needs_no_look(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        (first,) = await runtime.accept([_job()])
        waiting = asyncio.create_task(runtime.wait(first.id, None))
        await asyncio.sleep(0.1)
        await runtime.cancel(first.id)
        assert (await waiting).status == "cancelled"  # so words are heard

        (job, ended) = await runtime.accept([_job(), _job()])
        before = store.asked
        waiting = asyncio.create_task(runtime.wait(job.id, None))
        await asyncio.sleep(0)
        assert store.asked == before
        await runtime.cancel(ended.id)
        await runtime.cancel(job.id)
        assert (await waiting).status == "cancelled"
        assert (await runtime.wait(ended.id, 20)).status == "cancelled"

    _run(tmp_path, scenario)
