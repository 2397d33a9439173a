"""What the scripts of the Redis store say by themselves, to its engine."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from onecopy.engines import Ended
from onecopy.engines.redis import RedisEngine
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Advance, Fail, Failure, Job, Progress, Requeue, Succeed
from onecopy.redis_address import RedisAddress
from onecopy.stores import change_one
from onecopy.stores.redis import RedisStore
from onecopy.testing._engines import LONG, Follower, run, until
from onecopy.testing._stores.jobs import NOW, claim_one, make_job, token_of
from servers.redis import Redis


class Asked(RedisStore):
    """A store that notes which jobs it is asked for."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        self.asked: list[str] = []

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        self.asked += jobs
        return await super().get(jobs)


@asynccontextmanager
async def runtime_at(url: str) -> AsyncGenerator[tuple[Runtime, Asked, RedisEngine]]:
    """A runtime whose engine is not told what its store tells."""
    address = RedisAddress.parse(url, "store")
    store, engine = Asked(address), RedisEngine(address)
    runtime = Runtime(store, engine, "/nowhere", store_tells=True, store_rings=True)
    await runtime.open()
    try:
        yield runtime, store, engine
    finally:
        await runtime.close()


@pytest.fixture
def url(redis_server: Redis) -> str:
    return f"{redis_server.url}?prefix={secrets.token_hex(6)}"


def test_accepting_rings_for_what_is_due(url: str) -> None:
    async def scenario() -> None:
        async with runtime_at(url) as (runtime, _, engine):
            for due, rung in ((time.time(), ()), (time.time() + 60, None)):
                await runtime.accept([make_job(due_at=due)])
                assert await engine.wait_for_ring(["default"], 0.2) == rung

    run(scenario)


def test_a_worker_that_stands_in_the_line_is_woken(url: str) -> None:
    async def scenario() -> None:
        async with runtime_at(url) as (runtime, _, engine):
            waiting = asyncio.create_task(engine.wait_for_ring(["default"], LONG))
            await asyncio.sleep(0.2)  # until it stands there
            await runtime.accept([make_job(due_at=time.time())])
            assert await waiting == ()

    run(scenario)


def test_changes_are_told_and_ends_with_the_job(url: str) -> None:
    async def scenario() -> None:
        async with runtime_at(url) as (runtime, store, engine):
            follower = Follower(engine)
            await follower.hear(engine, "before")
            small, large = make_job(), make_job()
            for job, result in ((small, "1"), (large, "1" * 5000)):
                await runtime.accept([job])
                token = token_of(await claim_one(store))
                await change_one(store, job.id, Advance(token, Progress(1, 2)), now=NOW)
                await change_one(store, job.id, Succeed(token, result), now=NOW)
            await until(lambda: follower.heard.count(large.id) == 2)
            told = [each for each in follower.heard if each != "before"]
            assert told == [small.id, small.id, large.id, large.id]
            whole = [each.job if isinstance(each, Ended) else None for each in told]
            assert whole == [None, *await store.get([small.id]), None, None]
            await follower.stop()

    run(scenario)


def test_who_waits_is_told_how_a_job_ended_and_asks_no_more(url: str) -> None:
    async def scenario() -> None:
        async with runtime_at(url) as (runtime, store, _):
            async with asyncio.timeout(LONG):
                while True:  # until it hears of changes
                    store.asked.clear()
                    failed = await failed_job(runtime, store)
                    if failed.id not in store.asked:
                        break
            # One who waits after it was queued again is not told of that end.
            await runtime.change(failed.id, Requeue(), now=NOW)
            waiting = asyncio.create_task(runtime.wait(failed.id, LONG))
            token = token_of(await claim_one(store))
            await runtime.change(failed.id, Succeed(token, "1"), now=NOW)
            assert (await waiting).status == "succeeded"

    run(scenario)


async def failed_job(runtime: Runtime, store: RedisStore) -> Job:
    """Return a job that has failed, as somebody was told who waited for it."""
    job = make_job()
    await runtime.accept([job])
    waiting = asyncio.create_task(runtime.wait(job.id, LONG))
    token = token_of(await claim_one(store))
    await runtime.change(job.id, Fail(token, Failure("E", "no")), now=NOW)
    failed = await waiting
    assert failed.status == "failed"
    return failed
