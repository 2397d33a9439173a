"""The Redis engine keeps the contract."""

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onecopy.engines import Engine
from onecopy.engines.redis import RedisEngine
from onecopy.engines.urls import open_engine, own_engine
from onecopy.redis_address import RedisAddress
from onecopy.testing import EngineContract
from onecopy.testing._engines import LONG, Follower, due_job, opened, ring_until, run
from servers.process import HOST
from servers.redis import Redis
from tests.proxy import Proxy
from tests.servers import started


def connect_to(url: str) -> Callable[[], RedisEngine]:
    """What makes engines that hear of each other, and of no others."""
    address = RedisAddress.parse(f"{url}?prefix={secrets.token_hex(6)}", "engine")
    return lambda: RedisEngine(address)


class TestBesideAnotherStore(EngineContract):
    """Rings go through the server, changes by the store's own engine."""

    @pytest.fixture
    def connect(self, redis_server: Redis, tmp_path: Path) -> Callable[[], Engine]:
        store = f"sqlite:///{tmp_path}/jobs.db"
        url = f"{redis_server.url}?prefix={secrets.token_hex(6)}"
        return lambda: open_engine(url, own_engine(store, str(tmp_path)), str(tmp_path))


def test_the_engine_of_the_store_is_its_own(redis_server: Redis, tmp_path: Path) -> None:
    own = own_engine(redis_server.url, str(tmp_path))
    assert isinstance(own, RedisEngine)
    assert open_engine(redis_server.url, own, str(tmp_path)) is own
    other = open_engine(f"{redis_server.url}?prefix=other", own, str(tmp_path))
    assert isinstance(other, RedisEngine)
    assert other is not own


SECRET = "s3cret-word"


class TestRedisEngine(EngineContract):
    @pytest.fixture
    def connect(self, redis_server: Redis) -> Callable[[], RedisEngine]:
        return connect_to(redis_server.url)


def test_one_ring_wakes_one_worker(redis_server: Redis) -> None:
    connect = connect_to(redis_server.url)

    async def scenario() -> None:
        async with opened(connect, 4) as (web, *workers):
            waiting = [
                asyncio.create_task(worker.wait_for_ring(["a", "b"], 1)) for worker in workers
            ]
            await asyncio.sleep(0.3)  # until all of them stand in the line
            await web.ring([due_job("b"), due_job("a")])
            assert [await each for each in waiting].count(None) == 1

    run(scenario)


def test_a_ring_that_nobody_waits_for_is_heard_by_the_next_and_by_one_alone(
    redis_server: Redis,
) -> None:
    connect = connect_to(redis_server.url)

    async def scenario() -> None:
        async with opened(connect, 2) as (web, worker):
            assert await worker.wait_for_ring(["a"], 0.05) is None
            await web.ring([due_job("a")])
            await web.close()
            assert await worker.wait_for_ring(["other", "a"], LONG) == ()
            assert await worker.wait_for_ring(["a"], 0.05) is None

    run(scenario)


def test_rings_do_not_pile_up(redis_server: Redis) -> None:
    connect = connect_to(redis_server.url)

    async def scenario() -> None:
        async with opened(connect, 2) as (web, worker):
            # Connecting may take longer than a ring is noted.
            waiting = asyncio.create_task(worker.wait_for_ring(["a", "default"], LONG))
            await ring_until(web, waiting)
            await web.ring([due_job("a") for _ in range(1000)])
            await web.close()
            heard = 0
            while await worker.wait_for_ring(["a"], 0.3) is not None:
                heard += 1
            assert 0 < heard <= 64

    run(scenario)


def test_while_the_server_is_away_nobody_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with opened(connect, 2) as (web, worker):
            follower = Follower(web)
            await follower.hear(worker, "before")
            await asyncio.to_thread(server.kill)
            began = time.monotonic()
            await web.ring([due_job()])
            await web.tell(["meanwhile"])
            assert time.monotonic() - began < 0.5
            assert await worker.wait_for_ring(["default"], 0.2) is None
            await asyncio.to_thread(server.start)
            await follower.hear(worker, "after")
            waiting = asyncio.create_task(worker.wait_for_ring(["default"], LONG))
            assert await ring_until(web, waiting) == ()
            await follower.stop()

    with started(Redis(tmp_path / "redis", password=SECRET)) as server:
        connect = connect_to(server.url)
        run(scenario)
    said = [record.message for record in caplog.records]
    assert not any(SECRET in each for each in said)
    for words in ("until it is back", "/0 is back"):
        assert 1 <= sum(each.endswith(words) for each in said) <= 2, "once for each of the engines"


def test_connections_that_are_cut(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with opened(connect, 2) as (web, worker):
            follower = Follower(web)
            for number in range(3):
                await follower.hear(worker, f"job {number}")
                proxy.cut()
                waiting = asyncio.create_task(worker.wait_for_ring(["default"], LONG))
                assert await ring_until(web, waiting) == ()
            await follower.stop()

    with Proxy(redis_server.port) as proxy:
        connect = connect_to(f"redis://{HOST}:{proxy.port}/0")
        run(scenario)
