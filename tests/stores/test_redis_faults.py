"""What can happen to a Redis server, to the way there, and to what it is told."""

import asyncio
import json
import logging
import secrets
import subprocess
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path

import pytest

from onecopy.errors import OptionError
from onecopy.jobs import Cancel, Job, NotAllowed, Succeed
from onecopy.redis_address import RedisAddress
from onecopy.stores import Filter, Unavailable, change_one, redis_link
from onecopy.stores.redis import RedisStore
from onecopy.stores.urls import open_store
from onecopy.testing._engines import until
from onecopy.testing._stores.jobs import (
    NOW,
    claim_one,
    ids_of,
    kinds_of,
    make_job,
    one,
    run_open,
    token_of,
)
from servers.process import HOST
from servers.redis import DURABLE, Redis
from servers.tls import Tls
from tests.disks import make_room
from tests.proxy import Proxy
from tests.running import DEADLINE
from tests.servers import started
from tests.stores.filling import Filling

SECRET = "s3cret-word"


def store_at(url: str) -> RedisStore:
    mark = "&" if "?" in url else "?"
    address = RedisAddress.parse(f"{url}{mark}prefix={secrets.token_hex(6)}", "store")
    return RedisStore(address)


def refusal(url: str) -> str:
    """What is said when a store at a URL is opened."""

    async def nothing() -> None:
        raise AssertionError("it was opened")

    with pytest.raises(Unavailable) as refused:
        run_open(store_at(url), nothing)
    assert SECRET not in str(refused.value)
    return str(refused.value)


def tell(server: Redis, *words: str) -> None:
    subprocess.run(["redis-cli", "-p", str(server.port), *words], check=True, capture_output=True)


async def until_answer[T](ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> None:
    """Ask until the answer is as it is to be."""
    async with asyncio.timeout(DEADLINE):
        while not holds(await ask()):  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.01)


@pytest.fixture
def proxy(redis_server: Redis) -> Generator[Proxy]:
    with Proxy(redis_server.port) as between:
        yield between


@pytest.fixture
def store(proxy: Proxy) -> RedisStore:
    """A store behind the proxy."""
    return store_at(f"redis://{HOST}:{proxy.port}/0")


# The server.


class Load:
    """Callers that accept jobs, and note what was answered."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.answered: list[str] = []
        self.refused: list[str] = []

    async def run(self) -> None:
        while True:
            job = make_job()
            try:
                await self._store.accept([job])
            except Unavailable as error:
                self.refused.append(str(error))
                await asyncio.sleep(0.01)
            else:
                self.answered.append(job.id)

    async def more(self, what: list[str], count: int) -> None:
        """Wait until so many more were noted."""
        enough = len(what) + count
        await until(lambda: len(what) >= enough)


async def kill_twice(server: Redis, store: RedisStore) -> Load:
    load = Load(store)
    callers = [asyncio.create_task(load.run()) for _ in range(8)]
    for _ in range(2):
        await load.more(load.answered, 200)
        await asyncio.to_thread(server.kill)
        await load.more(load.refused, 1)
        await asyncio.to_thread(server.start)
    await load.more(load.answered, 50)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return load


def test_a_server_killed_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        load = await kill_twice(server, store)
        assert {job.id for job in await store.get(load.answered)} == set(load.answered)
        for job in load.answered[:50]:
            assert [event.kind for event in await store.events({job: -1})] == ["accepted"]
        assert f"redis://{HOST}:{server.port}/0 cannot be reached" in load.refused[0]

    with started(Redis(tmp_path / "redis")) as server:
        store = store_at(server.url)
        run_open(store, scenario)


def test_a_server_that_is_not_there(redis_server: Redis) -> None:
    with Proxy(redis_server.port) as gone:
        port = gone.port
    words = refusal(f"redis://:{SECRET}@{HOST}:{port}/3")
    assert words == (
        f"the Redis server redis://{HOST}:{port}/3 cannot be reached: Connection refused; "
        "is it running, is the URL right?"
    )


def test_wrong_passwords(tmp_path: Path) -> None:
    with started(Redis(tmp_path / "redis", password=SECRET)) as server:
        run_open(store_at(server.url), lambda: asyncio.sleep(0))
        place = f"{HOST}:{server.port}"
        assert "does not accept user and password" in refusal(f"redis://:{SECRET}x@{place}")
        assert "does not accept user and password" in refusal(f"redis://me:{SECRET}@{place}")
        assert "it wants a password" in refusal(f"redis://{place}")


def test_tls(redis_server: Redis, tls: Tls) -> None:
    url = redis_server.tls_url
    store = store_at(f"{url}?ca={tls.authority}")
    job = make_job()
    run_open(store, lambda: store.accept([job]))
    assert "certificate verify failed" in refusal(url)
    assert "`?ca=` names a file of authorities" in refusal(url)
    assert "`?ca=` names a file of authorities" in refusal(f"{url}?ca=/nothing")
    assert "cannot be reached" in refusal(url.replace("rediss:", "redis:"))


def test_a_server_without_memory_takes_no_jobs_and_ends_those_it_has(tmp_path: Path) -> None:
    async def scenario() -> None:
        job = make_job()
        await store.accept([job])
        tell(server, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable, match="no memory left: raise maxmemory"):
            await store.accept([make_job()])
        token = token_of(await claim_one(store))
        await change_one(store, job.id, Succeed(token, "1"), now=NOW)
        assert await kinds_of(store, job) == ["accepted", "claimed", "succeeded"]
        tell(server, "CONFIG", "SET", "maxmemory", "0")
        await store.accept([make_job()])

    with started(Redis(tmp_path / "redis")) as server:
        store = store_at(server.url)
        run_open(store, scenario)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """Nothing can be written any more, until there is room."""
    options = ("--appendonly", "yes", "--appendfsync", "everysec", "--dir", str(small_disk))

    async def scenario() -> None:
        await filling.until_it_is_full()
        filling.must_all_say("its disk is full: make room, nothing else needs to be done")
        await filling.must_be_right()
        with pytest.raises(Unavailable, match="its disk is full"):
            await claim_one(store)
        make_room(small_disk)
        enough = len(filling.accepted) + 1
        await until_answer(
            lambda: filling.accept(make_job()), lambda _: len(filling.accepted) >= enough
        )
        server.kill()
        server.start()
        await filling.must_be_right()
        assert (await claim_one(store)).id in filling.accepted

    with started(Redis(tmp_path / "redis", options)) as server:
        store = store_at(server.url)
        filling = Filling(store)
        run_open(store, scenario)


def test_a_full_disk_of_a_server_that_syncs_always(small_disk: Path, tmp_path: Path) -> None:
    """It ends, rather than to answer what it has not written; it is to be started again."""

    async def scenario() -> None:
        await filling.until_it_is_full()
        filling.must_all_say("cannot be reached")
        assert not server.answers()
        server.stop()
        make_room(small_disk)
        server.start()
        await filling.must_be_kept()
        await store.accept([make_job()])

    with started(Redis(tmp_path / "redis", (*DURABLE, "--dir", str(small_disk)))) as server:
        store = store_at(server.url)
        filling = Filling(store)
        run_open(store, scenario)


def test_a_replica(tmp_path: Path) -> None:
    async def scenario() -> None:
        tell(server, "REPLICAOF", HOST, "1")
        with pytest.raises(Unavailable, match="a replica, which cannot be written: name the prim"):
            await store.accept([make_job()])
        tell(server, "REPLICAOF", "NO", "ONE")
        await store.accept([make_job()])

    with started(Redis(tmp_path / "redis")) as server:
        store = store_at(server.url)
        run_open(store, scenario)


def test_scripts_that_somebody_flushes(redis_server: Redis) -> None:
    store = store_at(redis_server.url)

    async def scenario() -> None:
        job = make_job()
        tell(redis_server, "SCRIPT", "FLUSH")
        await store.accept([job])
        tell(redis_server, "SCRIPT", "FLUSH")
        assert (await claim_one(store)).id == job.id

    run_open(store, scenario)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (DURABLE, []),
        ((), ["writes no append-only file"]),
        (("--appendonly", "yes"), ["once a second: a power cut"]),
        (
            (*DURABLE, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"),
            ["deletes keys when its memory is full (maxmemory-policy allkeys-lru)"],
        ),
        (("--rename-command", "CONFIG", ""), ["cannot be known"]),
    ],
)
def test_what_could_lose_jobs_is_said_once_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], words: list[str]
) -> None:
    with started(Redis(tmp_path / "redis", options)) as server, caplog.at_level(logging.WARNING):
        stores = [RedisStore(RedisAddress.parse(server.url, "store")) for _ in range(2)]
        told, again = (run_open(store, store.concerns) for store in stores)
        assert [word for word, concern in zip(words, told, strict=True) if word in concern] == words
        assert told == again
        assert [record.message for record in caplog.records] == [
            f"the Redis server {server.url} {concern}" for concern in told
        ]


def test_a_store_that_a_newer_onecopy_has_written(redis_server: Redis) -> None:
    prefix = secrets.token_hex(6)
    url = f"{redis_server.url}?prefix={prefix}"
    run_open(RedisStore(RedisAddress.parse(url, "store")), lambda: asyncio.sleep(0))
    run_open(RedisStore(RedisAddress.parse(url, "store")), lambda: asyncio.sleep(0))
    tell(redis_server, "SET", f"{{{prefix}}}format", "99")
    store = RedisStore(RedisAddress.parse(url, "store"))
    with pytest.raises(Unavailable, match="written by a newer onecopy"):
        run_open(store, lambda: asyncio.sleep(0))


# The way to it.


def after_each_cut(proxy: Proxy, cut: Callable[[], None], store: RedisStore) -> None:
    """Whole lives of jobs, in which each call's connection is cut."""

    async def scenario() -> None:
        await store.find(Filter(limit=1))
        for _ in range(3):
            job = make_job()
            cut()
            assert await store.accept([job]) == [job]
            cut()
            claimed = await claim_one(store)
            assert claimed.id == job.id
            cut()
            done = await change_one(store, job.id, Succeed(token_of(claimed), "1"), now=NOW)
            assert done.status == "succeeded"
            cut()
            assert await one(store, job) == done
            cut()
            assert await kinds_of(store, job) == ["accepted", "claimed", "succeeded"]
            cut()
            assert ids_of(await store.find(Filter(limit=1))) == [job.id]
        assert proxy.connections > 12

    run_open(store, scenario)


def test_connections_that_are_cut_between_calls(proxy: Proxy, store: RedisStore) -> None:
    after_each_cut(proxy, proxy.cut, store)


@pytest.mark.parametrize("what", ["drop_answers", "truncate_answers", "drop_questions"])
def test_connections_that_are_cut_in_the_middle_of_each_call(
    proxy: Proxy, store: RedisStore, what: str
) -> None:
    """What was done and not answered is neither done twice nor lost."""
    after_each_cut(proxy, lambda: setattr(proxy, what, 1), store)


def test_a_claim_in_doubt_is_made_by_the_next(
    proxy: Proxy, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was too late: nobody but that worker would run the job as long as it lives."""
    monkeypatch.setattr(redis_link, "ANSWER", 0.3)

    async def scenario() -> None:
        first, second = make_job(), make_job()
        await store.accept([first, second])
        proxy.delay = 0.5
        with pytest.raises(Unavailable, match="did not answer in time"):
            await claim_one(store)
        proxy.delay = 0.0
        await until_answer(lambda: store.running("worker 1"), lambda jobs: len(jobs) == 1)
        assert (await claim_one(store)).id == first.id
        assert (await claim_one(store)).id == second.id
        assert await store.claim("worker 1", ["default"], now=NOW, until=NOW + 30) == []

    run_open(store, scenario)


def test_an_outcome_in_doubt_is_not_refused_when_it_is_told_again(
    proxy: Proxy, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "ANSWER", 0.3)

    async def scenario() -> None:
        job = make_job()
        await store.accept([job])
        claimed = await claim_one(store)
        outcome = Succeed(token_of(claimed), "1")
        proxy.delay = 0.5
        with pytest.raises(Unavailable, match="did not answer in time"):
            await change_one(store, job.id, outcome, now=NOW)
        proxy.delay = 0.0
        await until_answer(lambda: one(store, job), lambda found: found.final)
        assert (await change_one(store, job.id, outcome, now=NOW + 1)).status == "succeeded"
        assert await kinds_of(store, job) == ["accepted", "claimed", "succeeded"]
        with pytest.raises(NotAllowed):
            await change_one(store, job.id, outcome, now=NOW + 1)

    run_open(store, scenario)


def test_a_server_that_says_nothing_keeps_nobody_waiting(
    proxy: Proxy, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "ANSWER", 0.3)

    async def scenario() -> None:
        proxy.delay = 60.0
        began = time.monotonic()
        calls = (store.accept([make_job()]) for _ in range(20))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        assert time.monotonic() - began < 15
        proxy.delay = 0.0
        await store.accept([make_job()])

    run_open(store, scenario)


# What it is told.


def test_large_arguments_and_results(redis_server: Redis) -> None:
    store = store_at(redis_server.url)
    large = json.dumps("x" * 1_000_000)
    jobs = [make_job(arguments=large) for _ in range(5)]

    async def scenario() -> None:
        assert await store.accept(jobs) == jobs
        claimed = await store.claim("w", ["default"], now=NOW, until=NOW + 9, limit=5)
        assert [job.arguments for job in claimed] == [large] * 5
        ends = [(job.id, Succeed(token_of(job), large)) for job in claimed]
        for job in await store.change(ends, now=NOW):
            assert isinstance(job, Job)
            assert (job.result, job.arguments) == (large, large)
        assert {job.result for job in await store.find(Filter())} == {large}

    run_open(store, scenario)


def test_stores_with_prefixes_of_their_own_do_not_see_each_other(redis_server: Redis) -> None:
    one_store, other = store_at(redis_server.url), store_at(redis_server.url)

    async def scenario() -> None:
        await other.open()
        job = make_job(idempotency_key="k")
        await one_store.accept([job])
        assert await other.get([job.id]) == []
        assert await other.claim("w", ["default"], now=NOW, until=NOW + 9) == []
        assert await other.accept([make_job(idempotency_key="k")]) != [job]
        with pytest.raises(KeyError):
            await change_one(other, job.id, Cancel(), now=NOW)
        await other.close()

    run_open(one_store, scenario)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://", "it names no host"),
        (f"redis://:{SECRET}@/1", "it names no host"),
        (f"redis://:{SECRET}@h/jobs", "'jobs' is no number of a database"),
        (f"redis://:{SECRET}@h:seven", "its port is no number"),
        (f"redis://:{SECRET}@h?speed=11", "an option that there is not: speed"),
        (f"redis://:{SECRET}@h?ca=file", "an option that there is not: ca"),
        (f"redis://:{SECRET}@h?prefix=a{{b", "prefix is a name without braces"),
    ],
)
def test_urls_that_name_no_server(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as refused:
        open_store(url)
    assert SECRET not in str(refused.value)


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:

    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr("onecopy.stores.urls.find_spec", nothing)
    with pytest.raises(OptionError, match=r"pip install 'onecopy\[redis\]'"):
        open_store("redis://h")
