"""`onecopy store`: jobs move from one store into another, and nothing of them is lost."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from onecopy.cli.store import command
from onecopy.deliveries import Tried, Try
from onecopy.jobs import Advance, Cancel, Fail, Failure, Job, Progress, Requeue, Succeed
from onecopy.stores import DeliveryFilter, Filter, Store, change_one
from onecopy.stores.urls import open_store
from onecopy.testing._stores.jobs import make_job, token_of
from servers.redis import Redis


def _store(folder: Path, *words: str, fails: bool = False) -> str:
    """Run a command; return what it says."""
    with contextlib.chdir(folder), patch.dict(os.environ):  # which it sets
        done = CliRunner().invoke(command, words)
    assert (done.exit_code != 0) is fails, done.output
    return done.output


async def _fill(store: Store) -> dict[str, Job]:
    """Have jobs of all kinds, in the order of their acceptance."""
    now = time.time()

    def job(**given: Any) -> Job:  # noqa: ANN401  any field of a job
        return make_job(created_at=now, due_at=now, **given)

    jobs = {
        "succeeded": job(arguments='{"long": "' + "x" * 5000 + '"}', callbacks=("https://a.b/c",)),
        "failed": job(max_attempts=2),
        "again": job(),
        "cancelled": job(idempotency_key="k", fingerprint="f"),
        "later": job(priority=7, expires_at=now + 900),
        "queued": job(queue="other", task="send"),
    }
    await store.accept([*jobs.values()])

    async def claim() -> tuple[str, str]:
        [claimed] = await store.claim("w", ["default"], now=now, until=now + 30)
        return claimed.id, token_of(claimed)

    await change_one(store, jobs["cancelled"].id, Cancel(), now=now)
    await change_one(store, jobs["later"].id, Cancel(), now=now)
    await change_one(store, jobs["later"].id, Requeue(), now=now)
    await change_one(store, jobs["later"].id, Cancel(), now=now + 1)
    id_, token = await claim()
    await change_one(store, id_, Advance(token, Progress(1, 2, "half")), now=now)
    await change_one(store, id_, Succeed(token, '"' + "y" * 5000 + '"'), now=now + 2)
    for _ in range(2):
        id_, token = await claim()
        assert id_ == jobs["failed"].id
        await change_one(store, id_, Fail(token, Failure("E", "\udce9"), now - 1), now=now)
    [receiver] = await store.deliveries.due(now=now + 3)
    [taken] = await store.deliveries.take({receiver: 1}, now=now + 3, until=now + 9)
    tried = Tried(taken.token or "", Try(now, 500, "no", 0.1), now + 60)
    await store.deliveries.change(taken.id, tried, now=now + 3)
    return jobs


async def _all_of(store: Store) -> list[object]:
    """Return all that a store tells of what it has."""
    jobs = await store.find(Filter(limit=1000))
    deliveries = await store.deliveries.find(DeliveryFilter())
    return [
        jobs,
        [await store.events({job.id: -1}) for job in jobs],
        [await store.deliveries.get(each.id) for each in deliveries],
        await store.stats(),
    ]


def _with[T](url: str, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    async def whole() -> T:
        store = open_store(url)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(whole())


@pytest.fixture(params=["postgres", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """An empty store on a server."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    server: Redis = request.getfixturevalue("redis_server")
    return f"{server.url}?prefix={secrets.token_hex(6)}"


def test_from_sqlite_to_a_server_and_back(tmp_path: Path, server_url: str) -> None:
    old, back = "sqlite:///old.db", "sqlite:///back.db"
    here = f"sqlite:///{tmp_path}/"
    jobs = _with(here + "old.db", _fill)
    before = _with(here + "old.db", _all_of)
    said = _store(tmp_path, "copy", old, server_url)
    assert "6 jobs and 1 webhooks are there, 6 jobs of them put there now" in said
    assert _with(server_url, _all_of) == before
    assert "0 jobs of them put there now" in _store(tmp_path, "copy", old, server_url)
    _store(tmp_path, "copy", server_url, back)
    assert _with(here + "back.db", _all_of) == before

    async def goes_on(store: Store) -> None:
        cancelled = jobs["cancelled"]
        [known] = await store.accept([make_job(idempotency_key="k", fingerprint="f")])
        assert known.id == cancelled.id
        now = time.time() + 5
        claimed = await store.claim("w", ["default", "other"], now=now, until=now + 9, limit=9)
        assert [job.id for job in claimed] == [jobs["again"].id, jobs["queued"].id]

    _with(server_url, goes_on)
    assert "queued" not in _store(tmp_path, "check", server_url)


def test_what_changed_since_is_copied_once_more(tmp_path: Path, server_url: str) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    jobs = _with(url, _fill)
    _store(tmp_path, "copy", url, server_url)

    async def change(store: Store) -> None:
        await change_one(store, jobs["again"].id, Cancel(), now=time.time())
        await store.accept([make_job()])

    _with(url, change)
    assert "2 jobs of them put there now" in _store(tmp_path, "copy", url, server_url)
    assert _with(server_url, _all_of) == _with(url, _all_of)


def test_what_workers_hold_is_not_copied(tmp_path: Path, server_url: str) -> None:
    url = f"sqlite:///{tmp_path}/old.db"

    async def claim(store: Store) -> None:
        await store.accept([make_job()])
        await store.claim("w", ["default"], now=2e9, until=3e9)

    _with(url, claim)
    assert "workers hold 1 jobs" in _store(tmp_path, "copy", url, server_url, fails=True)
    _store(tmp_path, "copy", "--force", url, server_url)
    assert _with(server_url, _all_of) == _with(url, _all_of)
    assert "1 running" in _store(tmp_path, "check", server_url)


def test_a_key_that_is_of_another_job_there(tmp_path: Path, server_url: str) -> None:
    urls = (f"sqlite:///{tmp_path}/old.db", server_url)

    async def accept(store: Store) -> None:
        await store.accept([make_job(idempotency_key="k", fingerprint="f")])

    for url in urls:
        _with(url, accept)
    assert "'k'" in _store(tmp_path, "copy", *urls, fails=True)
    assert "'k'" in _store(tmp_path, "copy", *reversed(urls), fails=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "sqlite:///none.db"), "no file none.db"),
        (("copy", "sqlite:///none.db", "memory://"), "no file none.db"),
        (("migrate", "postgresql://u:secret@127.0.0.1:1/d"), "no server is there"),
    ],
)
def test_stores_that_are_not_there(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    answer = _store(tmp_path, *words, fails=True)
    assert said in answer
    assert "secret" not in answer


def test_tables_are_made(tmp_path: Path, postgres_url: str) -> None:
    assert "is up to date" in _store(tmp_path, "migrate", postgres_url)
    assert "jobs: none" in _store(tmp_path, "check", postgres_url)
    concerned = f"{postgres_url}&options=-c%20synchronous_commit%3Doff"
    assert "synchronous_commit" in _store(tmp_path, "check", concerned, fails=True)
