"""Several versions of onecopy with one store: older ones, newer ones, and many at once."""

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest

from onecopy.jobs import Advance, Cancel, Claim, Job, Lease, Progress, Succeed
from onecopy.stores import (
    Outdated,
    Store,
    Unavailable,
    change_one,
    postgres_schema,
    redis_format,
    sqlite_schema,
)
from onecopy.stores.urls import open_store
from onecopy.testing._stores.jobs import (
    NOW,
    Child,
    claim_one,
    ids_of,
    make_job,
    one,
    run_open,
    token_of,
)
from servers.postgres import Postgres
from servers.redis import Redis

_MANY: Final = 10


@dataclass(frozen=True)
class Place:
    """Where a store is that several versions use.

    upgrade: has the code of this process be of a newer version. cut: all connections there are.
    """

    url: str
    upgrade: Callable[[pytest.MonkeyPatch], None]
    cut: Callable[[], None]

    def open_by_a_newer_one(self) -> None:
        """Have another process, of a newer version, open the store and close it again."""

        def newer() -> None:
            self.upgrade(pytest.MonkeyPatch())
            run_open(open_store(self.url), _nothing)

        Child(newer).wait()


async def _nothing() -> None:
    """Do nothing."""


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(f"on_{request.param}")


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Place:
    def upgrade(patch: pytest.MonkeyPatch) -> None:
        more = "ALTER TABLE jobs ADD COLUMN colour TEXT;"
        patch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, more))

    def cut() -> None:
        """Have this process connect anew, as it does after a fork."""
        Child(lambda: None).wait()

    return Place(f"sqlite:///{tmp_path}/jobs.sqlite3", upgrade, cut)


@pytest.fixture
def on_redis(redis_server: Redis, request: pytest.FixtureRequest) -> Place:
    def upgrade(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(redis_format, "FORMAT", redis_format.FORMAT + 1)

    def cut() -> None:
        words = ["redis-cli", "-p", str(redis_server.port), "CLIENT", "KILL", "TYPE", "normal"]
        subprocess.run(words, check=True, capture_output=True)

    return Place(f"{redis_server.url}?prefix={request.node.nodeid.encode().hex()}", upgrade, cut)


@pytest.fixture
def on_postgres(postgres_server: Postgres, postgres_url: str) -> Place:
    def upgrade(patch: pytest.MonkeyPatch) -> None:
        more = "ALTER TABLE jobs ADD COLUMN colour text"
        patch.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS, more))

    def cut() -> None:
        with psycopg.connect(postgres_server.superuser_url, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'onecopy'"
            )

    return Place(postgres_url, upgrade, cut)


async def _takes_nothing(store: Store, waiting: Job) -> None:
    """See that a process neither accepts, claims, cancels nor delivers more, and says why."""
    lease = Lease("token", "worker 1", NOW + 30)
    for call in (
        store.accept([make_job()]),
        store.accept([make_job(idempotency_key="k")], max_queued=9),
        store.claim("worker 1", ["default"], now=NOW, until=NOW + 30),
        change_one(store, waiting.id, Claim(lease), now=NOW),
        change_one(store, waiting.id, Cancel(), now=NOW),
        store.deliveries.take({"https://receiver.example": 1}, now=NOW, until=NOW + 30),
    ):
        with pytest.raises(Outdated, match="was written by a newer onecopy"):
            await call
    assert await one(store, waiting) == waiting


def test_a_process_that_runs_while_the_store_becomes_newer_takes_no_more_and_ends_what_it_runs(
    place: Place,
) -> None:
    store = open_store(place.url)

    async def scenario() -> None:
        first, second, waiting = (make_job() for _ in range(3))
        await store.accept([first, second, waiting])
        tokens = [token_of(await claim_one(store)) for _ in range(2)]
        await asyncio.to_thread(place.open_by_a_newer_one)
        await _takes_nothing(store, waiting)
        await change_one(store, first.id, Advance(tokens[0], Progress(1)), now=NOW)
        await store.extend(["worker 1"], until=NOW + 60)
        ended, refused = await asyncio.gather(
            store.change([(first.id, Succeed(tokens[0], "1"))], now=NOW),
            store.change([(waiting.id, Cancel())], now=NOW),
            return_exceptions=True,
        )
        assert isinstance(refused, Outdated)
        assert isinstance(ended, list)
        assert [each.status for each in ended if isinstance(each, Job)] == ["succeeded"]
        place.cut()
        done = await change_one(store, second.id, Succeed(tokens[1], "2"), now=NOW)
        assert done.status == "succeeded"
        await _takes_nothing(store, waiting)

    run_open(store, scenario)
    with pytest.raises(Outdated, match="was written by a newer onecopy"):
        run_open(store, _nothing)


def _take_one(url: str) -> str:
    """Open a store, begin a job of it and end it, and accept another one; return its id."""
    store = open_store(url)

    async def scenario() -> str:
        (job,) = await store.claim("worker 1", ["default"], now=NOW, until=NOW + 30)
        await change_one(store, job.id, Succeed(token_of(job), "1"), now=NOW)
        await store.accept([make_job(queue="other", ordering_key="k")])
        return job.id

    return run_open(store, scenario)


def _all_at_once(url: str, jobs: list[str]) -> None:
    """Have many processes open a store at once, and each take one of its jobs."""
    children = [Child(lambda: _take_one(url)) for _ in jobs]
    assert sorted(child.result() for child in children) == sorted(jobs)
    store = open_store(url)

    async def scenario() -> None:
        assert {job.status for job in await store.get(jobs)} == {"succeeded"}
        history = await store.events(dict.fromkeys(jobs, -1))
        assert [event.kind for event in history].count("accepted") == len(jobs)
        stats = {each.queue: each.counts for each in await store.stats()}
        assert stats == {"default": {"succeeded": len(jobs)}, "other": {"queued": len(jobs)}}

    run_open(store, scenario)


async def _accept_many(store: Store) -> list[str]:
    return ids_of(await store.accept([make_job() for _ in range(_MANY)]))


def test_an_older_schema_of_postgres_is_migrated_while_many_processes_start(
    postgres_server: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:1])
        run_open(open_store(postgres_url), _nothing)
    current = open_store(f"{postgres_url}_current")
    jobs = run_open(current, lambda: _accept_many(current))
    schema = postgres_url.rpartition("=")[2]
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        for table in ("jobs", "events", "figures"):
            _copy(connection, f"{schema}_current.{table}", f"{schema}.{table}")
        _all_at_once(postgres_url, jobs)
        found = connection.execute(f"SELECT version FROM {schema}.version".encode()).fetchall()
    assert found == [(len(postgres_schema.MIGRATIONS),)]


def _copy(connection: psycopg.Connection, source: str, target: str) -> None:
    """Copy those columns of a table that an older form of it has."""
    asked = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    names = ", ".join(name for (name,) in connection.execute(asked, (target,)).fetchall())
    connection.execute(
        f"INSERT INTO {target} ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {names} FROM {source}".encode()
    )
    if "seq" in names.split(", "):
        last = f"SELECT setval(pg_get_serial_sequence(%s, 'seq'), (SELECT max(seq) FROM {target}))"
        connection.execute(last.encode(), (target,))


def test_an_older_form_of_redis_is_taken_over_while_many_processes_start(
    on_redis: Place, redis_server: Redis
) -> None:
    store = open_store(on_redis.url)
    jobs = run_open(store, lambda: _accept_many(store))
    key = f"{{{on_redis.url.rpartition('=')[2]}}}format"
    tell = ["redis-cli", "-p", str(redis_server.port)]
    subprocess.run([*tell, "SET", key, "1"], check=True, capture_output=True)
    _all_at_once(on_redis.url, jobs)
    found = subprocess.run([*tell, "GET", key], check=True, capture_output=True, text=True).stdout
    assert int(found) == redis_format.FORMAT


def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(postgres_url)
    run_open(store, lambda: _accept_many(store))
    spoiled = "ALTER TABLE jobs ADD COLUMN colour text; ALTER TABLE missing ADD COLUMN x text"
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS, spoiled))
        with pytest.raises(Unavailable, match='relation "missing" does not exist'):
            run_open(open_store(postgres_url), _nothing)
    run_open(store, lambda: _accept_many(store))
