"""Who follows jobs in one process, over the local engine."""

import asyncio
import json
import logging
import os
import time
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, override

import pytest

from onecopy.engines import Engine
from onecopy.engines.local import LocalEngine
from onecopy.engines.urls import own_engine
from onecopy.execution.events import News, events_of
from onecopy.execution.hub import Hub
from onecopy.execution.runtime import Runtime
from onecopy.jobs import Advance, Cancel, Event, Job, Progress, Succeed, new_id
from onecopy.stores import Store, Unavailable, change_one
from onecopy.stores.memory import MemoryStore
from onecopy.stores.sqlite import SQLiteStore
from onecopy.stores.urls import open_store
from onecopy.testing import EventsContract
from onecopy.testing.events import Told, Transport
from servers.redis import Redis


class Counting(MemoryStore):
    """Counts how often it is asked, and may be away."""

    asked = 0
    away = False

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable("away")

    @override
    async def get(self, jobs: Sequence[str]) -> list[Job]:
        self._ask()
        return await super().get(jobs)

    @override
    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        self._ask()
        return await super().events(after, limit=limit)


class InProcess:
    """Follows in the process that has the jobs."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def follow(self, after: Mapping[str, int]) -> AsyncGenerator[Told]:
        listener = Noting()
        for job, number in after.items():
            self.runtime.follow(job, number, listener)
        left = len(after)
        while left:
            news = await listener.heard.get()
            if isinstance(news, Exception):
                raise news
            for text in news.texts:
                yield json.loads(text)
            left -= news.over


class Noting:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[News | Exception] = asyncio.Queue()
        self.room = True

    def tell(self, job: str, news: News) -> bool:
        self.heard.put_nowait(news)
        return self.room

    def fail(self, job: str, error: Exception) -> None:
        self.heard.put_nowait(error)

    async def kinds(self) -> list[str]:
        news = await self.heard.get()
        assert isinstance(news, News)
        return [event.kind for event in news.events]


@asynccontextmanager
async def opened(
    store: Store, folder: Path, engine: Engine | None = None
) -> AsyncGenerator[Runtime]:
    runtime = Runtime(store, engine or LocalEngine(str(folder)), str(folder))
    await runtime.open()
    try:
        yield runtime
    finally:
        await runtime.close()


class TestInOneProcess(EventsContract):
    @pytest.fixture(params=["memory", "sqlite"])
    def connect(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Callable[[], AbstractAsyncContextManager[Transport]]:
        @asynccontextmanager
        async def connect() -> AsyncGenerator[Transport]:
            path = tmp_path / f"{new_id()}.sqlite3"
            store = MemoryStore() if request.param == "memory" else SQLiteStore(path)
            async with opened(store, tmp_path) as runtime:
                yield InProcess(runtime)

        return connect


def _on(url: str, folder: Path) -> Callable[[], AbstractAsyncContextManager[Transport]]:
    @asynccontextmanager
    async def connect() -> AsyncGenerator[Transport]:
        async with opened(open_store(url), folder, own_engine(url, str(folder))) as runtime:
            yield InProcess(runtime)

    return connect


class TestOnPostgreSQL(EventsContract):
    @pytest.fixture
    def connect(
        self, postgres_url: str, tmp_path: Path
    ) -> Callable[[], AbstractAsyncContextManager[Transport]]:
        return _on(postgres_url, tmp_path)


class TestOnRedis(EventsContract):
    @pytest.fixture
    def connect(
        self, redis_server: Redis, tmp_path: Path
    ) -> Callable[[], AbstractAsyncContextManager[Transport]]:
        return _on(f"{redis_server.url}?prefix={new_id()}", tmp_path)


def _run(folder: Path, scenario: Callable[[Runtime, Counting], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        store = Counting()
        async with asyncio.timeout(30), opened(store, folder) as runtime:
            await scenario(runtime, store)

    asyncio.run(whole())


async def _begun(runtime: Runtime) -> tuple[str, str]:
    """Return a running job and its token."""
    now = time.time()
    job = Job(id=new_id(), task="work", arguments="{}", created_at=now, due_at=now)
    await runtime.accept([job])
    [claimed] = await runtime.store.claim("w", ["default"], now=now, until=now + 60)
    assert claimed.lease is not None
    return job.id, claimed.lease.token


def test_many_listeners_share_one_subscription_and_each_query(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        jobs = [await _begun(runtime) for _ in range(100)]
        listeners = [Noting() for _ in range(1000)]
        for number, listener in enumerate(listeners):
            runtime.follow(jobs[number % 100][0], -1, listener)
        for listener in listeners:
            assert await listener.kinds() == ["accepted", "claimed"]
        assert store.asked <= 3
        assert len([name for name in os.listdir(tmp_path) if name.startswith("ear-")]) == 1
        store.asked = 0
        await runtime.change(jobs[0][0], Advance(jobs[0][1], Progress(1)))
        for listener in listeners[::100]:
            assert await listener.kinds() == ["progress"]
        assert all(listener.heard.empty() for listener in listeners[1:100])
        # One for the change, and one for what nothing was heard of.
        assert store.asked <= 3

    _run(tmp_path, scenario)


def test_ten_thousand_jobs_cost_few_queries_a_second_and_each_has_its_turn(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        asked: list[int] = []
        events = store.events

        async def count(after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
            asked.append(len(after))
            return await events(after, limit=limit)

        store.events = count
        listener = Noting()
        now = time.time()
        jobs = [
            Job(id=new_id(), task="work", arguments="{}", created_at=now, due_at=now + 60)
            for _ in range(3000)
        ]
        await runtime.accept(jobs)
        for job in jobs:
            runtime.follow(job.id, -1, listener)
        for _ in jobs:
            assert await listener.kinds() == ["accepted"]
        asked.clear()
        await asyncio.sleep(1.1)
        assert sum(asked) <= 1500
        assert len(asked) <= 6
        await change_one(store, jobs[-1].id, Cancel(), now=now)  # And nobody is told.
        assert await listener.kinds() == ["cancelled"]

    _run(tmp_path, scenario)


def test_a_slow_listener_keeps_nobody_waiting_and_misses_nothing(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        job, token = await _begun(runtime)
        slow, quick = Noting(), Noting()
        slow.room = False
        place = runtime.follow(job, 1, slow)
        runtime.follow(job, 1, quick)
        assert (await slow.kinds(), await quick.kinds()) == ([], [])
        for done in range(2000):
            await runtime.change(job, Advance(token, Progress(done)))
        heard = 0
        while heard < 2000:
            heard += len(await quick.kinds())
        assert slow.heard.empty()
        await runtime.change(job, Succeed(token, "1"))
        heard = 0
        while heard < 2001:
            assert slow.heard.empty(), "nothing is told to who has no room"
            place.resume()
            heard += len(await slow.kinds())

    _run(tmp_path, scenario)


def test_a_listener_stays_while_the_store_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        job, token = await _begun(runtime)
        async with aclosing(runtime.events(job)) as events:
            assert [(await anext(events)).kind, (await anext(events)).kind] == [
                "accepted",
                "claimed",
            ]
            store.away = True
            came_meanwhile = asyncio.create_task(anext(runtime.events(job, 1)))
            await runtime.change(job, Advance(token, Progress(1)))
            await asyncio.sleep(1)
            assert not came_meanwhile.done()
            store.away = False
            assert (await anext(events)).kind == "progress"
            assert (await came_meanwhile).kind == "progress"

    with caplog.at_level(logging.WARNING):
        _run(tmp_path, scenario)
    assert "events wait for the store: away" in caplog.text


def test_closing_tells_who_follows_and_who_waits(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        job, _ = await _begun(runtime)
        events = runtime.events(job, 1)
        following = asyncio.ensure_future(anext(events))
        waiting = asyncio.create_task(runtime.wait(job, None))
        await asyncio.sleep(0.1)
        await runtime.close()
        for each in (following, waiting):
            with pytest.raises(Unavailable, match="closed meanwhile"):
                await each

    _run(tmp_path, scenario)


def test_who_follows_no_more_is_told_no_more(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        job, token = await _begun(runtime)
        stays, leaves = Noting(), Noting()
        place = runtime.follow(job, 1, leaves)
        runtime.follow(job, 1, stays)
        await leaves.kinds()
        await stays.kinds()
        place.stop()
        place.stop()
        place.resume()
        await runtime.change(job, Succeed(token, "1"))
        assert await stays.kinds() == ["succeeded"]
        assert leaves.heard.empty()

    _run(tmp_path, scenario)


def test_a_listener_that_fails_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Noting):
        @override
        def tell(self, job: str, news: News) -> bool:
            raise RuntimeError("out of order")

    async def scenario(runtime: Runtime, store: Counting) -> None:
        job, token = await _begun(runtime)
        sound = Noting()
        runtime.follow(job, 1, Failing())
        runtime.follow(job, 1, sound)
        assert await sound.kinds() == []
        await runtime.change(job, Succeed(token, "1"))
        assert await sound.kinds() == ["succeeded"]

    _run(tmp_path, scenario)
    assert caplog.text.count("RuntimeError: out of order") == 1


def test_changes_that_cannot_be_heard_of_are_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Deaf(LocalEngine):
        @override
        async def changes(self) -> AsyncGenerator[str]:
            raise OSError("no ear")
            yield ""

    async def scenario() -> None:
        runtime = Runtime(MemoryStore(), Deaf(str(tmp_path)), str(tmp_path))
        await runtime.open()
        job, token = await _begun(runtime)
        events = runtime.events(job, 1)
        following = asyncio.ensure_future(anext(events))
        await runtime.change(job, Succeed(token, "1"))
        assert (await following).kind == "succeeded"
        await runtime.close()

    asyncio.run(scenario())
    assert "changes of jobs are not heard of: no ear" in caplog.text


def test_a_job_that_is_deleted_after_its_end_was_missed(tmp_path: Path) -> None:
    async def scenario(runtime: Runtime, store: Counting) -> None:
        job, token = await _begun(runtime)
        listener = Noting()
        runtime.follow(job, -1, listener)
        assert await listener.kinds() == ["accepted", "claimed"]
        await change_one(store, job, Succeed(token, "1"), now=time.time())
        await store.forget([job])
        error = await listener.heard.get()
        assert isinstance(error, KeyError)

    _run(tmp_path, scenario)


def test_nothing_is_asked_or_heard_of_while_nobody_follows(tmp_path: Path) -> None:
    async def scenario() -> None:
        store, engine = Counting(), LocalEngine(str(tmp_path))
        runtime = Runtime(store, engine, str(tmp_path))
        await runtime.open()
        shared = Hub(store, engine.changes, look_again=0.02, linger=0.5)
        before = asyncio.all_tasks()
        for _ in range(2):
            job, token = await _begun(runtime)
            await runtime.change(job, Succeed(token, "1"))
            kinds = [event.kind async for event in events_of(shared.follow, job, 1)]
            assert kinds == ["succeeded"]
            assert len(asyncio.all_tasks() - before) == 2
            store.asked = 0
            await asyncio.sleep(0.2)
            assert store.asked == 0
            while asyncio.all_tasks() - before:  # noqa: ASYNC110  they do not say so
                await asyncio.sleep(0.01)
            assert [name for name in os.listdir(tmp_path) if name.startswith("ear-")] == []
        await shared.close()
        await runtime.close()

    asyncio.run(scenario())
