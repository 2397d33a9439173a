"""Jobs that are submitted in a transaction of the user's own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from onecopy import OneCopy
from onecopy.errors import IdempotencyMismatch, QueueIsFull, TransactionUnusable
from onecopy.execution.background import finish
from onecopy.execution.connect import close_here, runtime_here
from onecopy.jobs import Job
from onecopy.tasks import Task
from tests.running import wait_until


@pytest.fixture
def url(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the database, which is this environment's store too."""
    monkeypatch.setenv("ONECOPY_STORE", postgres_url)
    monkeypatch.setenv("ONECOPY_STATE_DIR", str(tmp_path))
    return postgres_url.partition("?")[0]


@pytest.fixture
def task() -> Task[[int], int]:
    shared = OneCopy()

    @shared.task(max_queued=3)
    def double(number: int) -> int:
        return 2 * number

    return double


async def _job(job: str) -> Job | None:
    return await (await runtime_here()).job(job)


def _run(scenario: Any) -> None:  # noqa: ANN401  a coroutine function
    async def whole() -> None:
        try:
            await scenario()
        finally:
            await close_here()

    asyncio.run(whole())


@contextmanager
def _background() -> Generator[None]:
    """The runtime of code without an event loop is closed after the test."""
    try:
        yield
    finally:
        finish(close_here())


def test_psycopg(url: str, task: Task[[int], int]) -> None:
    async def scenario() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TEMPORARY TABLE orders (number integer)")
            await connection.commit()
            for end, there in ((connection.rollback, False), (connection.commit, True)):
                await connection.execute("INSERT INTO orders VALUES (1)")
                job = await task.options(connection=connection).submit(1)
                assert await _job(job.id) is None
                await end()
                assert (await _job(job.id) is not None) is there
            cursor = await connection.execute("SELECT count(*) FROM orders")
            assert await cursor.fetchone() == (1,)

    _run(scenario)


def test_psycopg_that_blocks(url: str, task: Task[[int], int]) -> None:
    with _background(), psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            job = task.options(connection=connection).submit_sync(1)
            assert finish(_job(job.id)) is None
        assert finish(_job(job.id)) is not None


def test_sqlalchemy(url: str, task: Task[[int], int]) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with _background():
        for commit in (False, True):
            with Session(engine) as session:
                job = task.options(connection=session).submit_sync(1)
                if commit:
                    session.commit()
            assert (finish(_job(job.id)) is not None) is commit
        with engine.begin() as connection:
            job = task.options(connection=connection).submit_sync(2)
        assert finish(_job(job.id)) is not None
    engine.dispose()


def test_sqlalchemy_with_an_event_loop(url: str, task: Task[[int], int]) -> None:
    async def scenario() -> None:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        for commit in (False, True):
            async with AsyncSession(engine) as session:
                job = await task.options(connection=session).submit(1)
                if commit:
                    await session.commit()
            assert (await _job(job.id) is not None) is commit
        async with engine.connect() as connection:
            job = await task.options(connection=connection).submit(1)
            await connection.commit()
        assert await _job(job.id) is not None
        await engine.dispose()

    _run(scenario)


def test_what_is_refused_leaves_the_transaction_as_it_was(url: str, task: Task[[int], int]) -> None:
    async def scenario() -> None:
        first = await task.options(idempotency_key="k").submit(1)
        async with await psycopg.AsyncConnection.connect(url) as connection:
            inside = task.options(connection=connection, idempotency_key="k")
            assert (await inside.submit(1)).id == first.id
            with pytest.raises(IdempotencyMismatch):
                await inside.submit(2)
            for number in (2, 3):
                await task.options(connection=connection).submit(number)
            with pytest.raises(QueueIsFull):
                await task.options(connection=connection).submit(4)
            await connection.commit()
        assert len(await (await runtime_here()).store.stats()) == 1

    _run(scenario)


def test_workers_hear_of_it_once_it_is_committed(url: str, task: Task[[int], int]) -> None:
    async def scenario() -> None:
        engine = (await runtime_here()).engine
        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert await engine.wait_for_ring(["default"], 0.3) is None
            await task.options(connection=connection).submit(1)
            assert await engine.wait_for_ring(["default"], 0.3) is None
            await connection.commit()
            assert await engine.wait_for_ring(["default"], 20) is not None

    _run(scenario)


def test_connections_that_cannot_be_used(url: str, task: Task[[int], int]) -> None:
    async def scenario() -> None:
        with pytest.raises(TransactionUnusable, match="dict is no connection"):
            await task.options(connection={}).submit(1)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            with pytest.raises(TransactionUnusable, match="begin a transaction"):
                await task.options(connection=connection).submit(1)
            with pytest.raises(TransactionUnusable, match="await submit"):
                await asyncio.to_thread(task.options(connection=connection).submit_sync, 1)

    with _background():
        _run(scenario)


def test_a_store_elsewhere(
    tmp_path: Path, task: Task[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONECOPY_STORE", f"sqlite:///{tmp_path}/jobs.db")
    monkeypatch.setenv("ONECOPY_STATE_DIR", str(tmp_path))

    async def scenario() -> None:
        with pytest.raises(TransactionUnusable, match=r"only PostgreSQL's is \(ONECOPY_STORE\)"):
            await task.options(connection=object()).submit(1)

    _run(scenario)


_KILLED = """
import asyncio, os, psycopg, sys, time
from onecopy import OneCopy
shared = OneCopy()
@shared.task
def double(number: int) -> int: return 2 * number
async def main():
    connection = await psycopg.AsyncConnection.connect(sys.argv[1])
    job = await double.options(connection=connection).submit(1)
    print(job.id, flush=True)
    time.sleep(60)
asyncio.run(main())
"""


def test_a_process_that_is_killed_before_it_commits(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, url], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    job = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    schema = os.environ["ONECOPY_STORE"].rpartition("=")[2]
    with psycopg.connect(url, autocommit=True) as connection:

        def is_over() -> bool:
            asked = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND mode <> %s"
            row = connection.execute(asked, (f"{schema}.jobs", "AccessShareLock")).fetchone()
            return row == (0,)

        wait_until(is_over)
        found = connection.execute(f"SELECT id FROM {schema}.jobs".encode()).fetchall()
    assert job
    assert found == []


def test_a_long_transaction_keeps_nobody_waiting(url: str) -> None:
    """Neither others who count, nor those who fold what it has counted."""
    shared = OneCopy()

    @shared.task
    def plain(number: int) -> int:
        return number

    async def scenario() -> None:
        store = (await runtime_here()).store
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await plain.options(connection=connection).submit(1)
            cursor = await connection.execute("SELECT pg_backend_pid() % 64")
            row = await cursor.fetchone()
            assert row is not None
            for number in range(8):
                await plain.submit(number)
            schema = os.environ["ONECOPY_STORE"].rpartition("=")[2]
            async with await psycopg.AsyncConnection.connect(url) as other:
                # As a connection of the same slot would: it waits for nobody.
                await other.execute("SET lock_timeout = '2s'")
                add = f"INSERT INTO {schema}.figures (queue, task, slot) VALUES (%s, %s, %s)"
                add += " ON CONFLICT (queue, task, slot) DO UPDATE SET queued = figures.queued"
                await other.execute(add.encode(), ("default", plain.name, row[0]))
                await other.commit()
            await store.prune(now=0)
            await connection.commit()
        await store.prune(now=0)
        [figures] = await store.stats()
        assert figures.counts == {"queued": 9}
        async with await psycopg.AsyncConnection.connect(url) as connection:
            cursor = await connection.execute(
                f"SELECT count(*) FROM {schema}.figures WHERE slot < 0".encode()
            )
            assert await cursor.fetchone() == (0,)

    _run(scenario)
