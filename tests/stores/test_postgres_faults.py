"""What goes wrong around the PostgreSQL store, and what it makes of it."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import trustme

from onecopy.errors import OptionError
from onecopy.jobs import Advance, Cancel, Progress, Succeed
from onecopy.postgres_address import PostgresAddress
from onecopy.stores import Filter, Unavailable, change_one, postgres_connections
from onecopy.stores.postgres import PostgresStore
from onecopy.stores.urls import open_store
from onecopy.testing._stores.jobs import (
    NOW,
    Child,
    claim_one,
    ids_of,
    make_job,
    run_open,
    token_of,
)
from servers.postgres import Postgres
from tests.disks import make_room
from tests.proxy import Proxy
from tests.stores.filling import Filling


def _store(url: str) -> PostgresStore:
    return PostgresStore(PostgresAddress.parse(url, "store"))


def _at(url: str, port: int) -> str:
    """The same URL by way of another port."""
    return url.replace(f":{url.rpartition(':')[2].partition('/')[0]}/", f":{port}/")


def _opening_fails(url: str) -> str:
    async def scenario() -> str:
        store = _store(url)
        with pytest.raises(Unavailable) as caught:
            await store.open()
        await store.close()
        return str(caught.value)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("onecopy:", "onecopy:x"), "the password is wrong"),
        (("onecopy:", "nobody:"), "the password is wrong|no such user"),
        (("/onecopy?", "/nothing?"), "there is no such database: createdb"),
        (("127.0.0.1", "no-such-host.invalid"), "there is no such host"),
        (("?", "?sslmode=require&"), "see sslmode and sslrootcert"),
        (("?", "?options=-c%20default_transaction_read_only%3Don&"), "it is a standby"),
    ],
)
def test_what_keeps_it_from_opening_is_said(
    postgres_server: Postgres, postgres_url: str, wrong: tuple[str, str], words: str
) -> None:
    said = _opening_fails(postgres_url.replace(*wrong, 1))
    assert any(each in said for each in words.split("|")), said
    assert postgres_server.password not in said
    assert "127.0.0.1" in said or "no-such-host" in said


def test_nobody_listens_there(postgres_url: str) -> None:
    began = time.monotonic()
    assert "no server is there: start it" in _opening_fails(_at(postgres_url, 1))
    assert time.monotonic() - began < 5


def test_an_authority_that_is_unknown(
    postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    ours, others = trustme.CA(), trustme.CA()
    certificate = ours.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(postgres_server.data / "server.crt")
    key = postgres_server.data / "server.key"
    certificate.private_key_pem.write_to_path(key)
    if (user := postgres_server.user()) is not None:
        shutil.chown(key, user)
        shutil.chown(postgres_server.data / "server.crt", user)
    key.chmod(0o600)
    for name, authority in (("ours", ours), ("others", others)):
        authority.cert_pem.write_to_path(tmp_path / name)

    def with_root(name: str) -> str:
        return f"{postgres_url}&sslmode=verify-full&sslrootcert={quote(str(tmp_path / name))}"

    with psycopg.connect(postgres_server.superuser_url, autocommit=True) as superuser:
        superuser.execute("ALTER SYSTEM SET ssl = on")
        superuser.execute("SELECT pg_reload_conf()")
        try:
            said = _opening_fails(with_root("others"))
            assert "see sslmode and sslrootcert" in said
            run_open(_store(with_root("ours")), _nothing)
        finally:
            superuser.execute("ALTER SYSTEM RESET ssl")
            superuser.execute("SELECT pg_reload_conf()")


async def _nothing() -> None:
    """Do nothing."""


def test_a_newer_schema_is_refused(postgres_server: Postgres, postgres_url: str) -> None:
    run_open(_store(postgres_url), _nothing)
    schema = postgres_url.rpartition("=")[2]
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"UPDATE {schema}.version SET version = 99".encode())
    assert "written by a newer onecopy (schema 99" in _opening_fails(postgres_url)


def test_ten_processes_make_the_schema_at_once(postgres_url: str) -> None:
    async def opened() -> int:
        store = _store(postgres_url)
        await store.open()
        await store.accept([make_job()])
        await store.close()
        return 1

    children = [Child(lambda: asyncio.run(opened())) for _ in range(10)]
    assert [child.result() for child in children] == [1] * 10


def test_what_is_not_durable_is_said(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    run_open(_store(postgres_url), _nothing)
    assert caplog.text == ""
    url = f"{postgres_url}&options=-c%20synchronous_commit%3Doff"
    with caplog.at_level(logging.WARNING, "onecopy.store"):
        run_open(_store(url), _nothing)
    assert "is set to synchronous_commit=off: a crash of it takes what" in caplog.text


def test_no_client_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onecopy.stores.postgres", None)
    with pytest.raises(OptionError, match=r"pip install 'onecopy\[postgres\]'"):
        open_store("postgresql://user:secret@host/database")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:secret@host/db?schema=a-b", "schema is a plain name"),
        ("postgresql://u:secret@host/db?connections=0", "connections is a number"),
        ("postgresql://u:secret@host/db?speed=11", "invalid .*speed"),
    ],
)
def test_urls_that_cannot_be(url: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_no_message_of_ours_has_the_password() -> None:
    address = PostgresAddress.parse("postgresql://u:secret@h:1/d?password=hidden", "store")
    assert "secret" not in repr(address) + address.name
    assert "hidden" not in repr(address) + address.name


def test_arguments_and_results_of_a_megabyte(postgres_url: str) -> None:
    text = '"' + "ü" * 1_000_000 + '"'
    store = _store(postgres_url)

    async def scenario() -> None:
        job = make_job(arguments=text)
        await store.accept([job])
        claimed = await claim_one(store)
        assert claimed.arguments == text
        done = await change_one(store, job.id, Succeed(token_of(claimed), text), now=NOW)
        assert await store.get([job.id]) == [done]
        assert done.result == text

    run_open(store, scenario)


def test_a_name_that_a_database_cannot_hold_disturbs_no_other(postgres_url: str) -> None:
    store = _store(postgres_url)

    async def scenario() -> None:
        calls = [store.accept([make_job(task=name)]) for name in ("a", "b\0", "c\ud800", "d")]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(each, Exception) for each in answers] == [False, True, True, False]
        assert not any(isinstance(each, Unavailable) for each in answers)

    run_open(store, scenario)


async def _until_it_works(call: Callable[[], Awaitable[object]]) -> None:
    """Call until the store is not away any more."""
    async with asyncio.timeout(60):
        while True:
            try:
                await call()
                return
            except Unavailable:
                await asyncio.sleep(0.05)


def test_a_server_that_is_killed_under_load_and_started_again(
    postgres_server: Postgres, postgres_url: str
) -> None:
    """Whatever was accepted is there; what was not was refused at once; nothing hangs."""
    store = _store(postgres_url)
    accepted: list[str] = []
    refused: list[Exception] = []
    stopping = asyncio.Event()

    async def load() -> None:
        while not stopping.is_set():
            job = make_job()
            try:
                await store.accept([job])
                accepted.append(job.id)
            except Unavailable as error:
                refused.append(error)
                await asyncio.sleep(0.01)

    async def scenario() -> None:
        loads = [asyncio.create_task(load()) for _ in range(8)]
        await _until(lambda: len(accepted) > 50)
        postgres_server.kill()
        await _until(lambda: len(refused) > 20)
        before = len(accepted)
        await asyncio.to_thread(postgres_server.start)
        await _until(lambda: len(accepted) > before + 50)
        stopping.set()
        await asyncio.gather(*loads)
        found = await store.find(Filter(limit=100_000))
        assert set(accepted) <= {job.id for job in found}
        assert "the store postgresql://onecopy@127.0.0.1:" in str(refused[0])

    try:
        run_open(store, scenario)
    finally:
        if not postgres_server.answers():
            postgres_server.start()


def test_a_full_disk(postgres_server: Postgres, postgres_url: str, small_disk: Path) -> None:
    """Of a tablespace: what is answered is kept, and all goes on once there is room."""
    store = _store(f"{postgres_url}&options=-c%20default_tablespace%3Dsmall")
    filling = Filling(store)

    async def scenario() -> None:
        await filling.until_it_is_full()
        filling.must_all_say("the disk is full: make room, nothing else needs to be done")
        await filling.must_be_right()
        make_room(small_disk)
        filling.accepted += ids_of(await store.accept([make_job()]))
        await filling.must_be_right()
        count = len(filling.accepted)
        claimed = await store.claim("w", ["default"], now=NOW, until=NOW + 9, limit=count)
        assert sorted(ids_of(claimed)) == sorted(filling.accepted)

    with _tablespace(postgres_server, small_disk, postgres_url.rpartition("=")[2]):
        run_open(store, scenario)


@contextlib.contextmanager
def _tablespace(server: Postgres, folder: Path, schema: str) -> Generator[None]:
    """Have the tablespace `small` in a folder; drop it at the end, with a schema that is in it."""
    if (user := server.user()) is not None:
        shutil.chown(folder, user)
    with psycopg.connect(server.superuser_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE TABLESPACE small LOCATION '{folder}'".encode())
        superuser.execute("GRANT CREATE ON TABLESPACE small TO PUBLIC")
        try:
            yield
        finally:
            superuser.execute(f"DROP SCHEMA {schema} CASCADE".encode())
            superuser.execute("DROP TABLESPACE small")


async def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "it does not happen"
        await asyncio.sleep(0.01)


def test_each_change_happens_once_though_connections_are_cut(
    postgres_server: Postgres, postgres_url: str
) -> None:
    """Whether a transaction was committed when its connection was cut is found out."""

    async def scenario(store: PostgresStore, proxy: Proxy) -> None:
        loop = asyncio.get_running_loop()
        job = make_job()
        await store.accept([job])
        token = token_of(await claim_one(store))
        for number in range(24):
            loop.call_later(number % 12 * 0.0005, proxy.cut)
            change = Advance(token, Progress(number))
            await _until_it_works(lambda change=change: change_one(store, job.id, change, now=NOW))
        history = await store.events({job.id: -1})
        assert [event.number for event in history] == [*range(26)]
        assert [event.data["progress"]["done"] for event in history[2:]] == [*range(24)]

    with Proxy(postgres_server.port) as proxy:
        store = _store(_at(postgres_url, proxy.port))
        run_open(store, lambda: scenario(store, proxy))


def test_a_server_that_hangs_is_waited_for_for_a_time(
    postgres_server: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connections, "PATIENCE", 0.5)
    store = _store(f"{postgres_url}&connect_timeout=2")

    async def scenario() -> None:
        job = make_job()
        await store.accept([job])
        pids = [postgres_server.pid, *postgres_server.children()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await change_one(store, job.id, Cancel(), now=NOW)
            assert time.monotonic() - began < 15
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        await _until_it_works(lambda: store.accept([make_job()]))

    run_open(store, scenario)
