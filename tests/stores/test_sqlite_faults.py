"""What can happen to the SQLite store's file, its disk, and the processes that use it."""

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from onecopy.jobs import Event, Job, accepted, new_id
from onecopy.stores import Filter, Unavailable, lanes, sqlite_group, sqlite_rows, sqlite_schema
from onecopy.stores.sqlite import SQLiteStore
from onecopy.testing._stores.jobs import NOW, Child, ids_of, make_job, run_open
from tests.disks import make_room, mount
from tests.stores.filling import Filling

# Accepts jobs, 16 callers at once, and prints the id of each when it was answered.
ACCEPT_FOR_EVER = """
import asyncio, sys
from onecopy.testing._stores.jobs import make_job
from onecopy.stores.sqlite import SQLiteStore

async def accept(store):
    while True:
        (job, other) = await store.accept([make_job(arguments="x" * 1500) for _ in "12"])
        sys.stdout.write(f"{job.id} {other.id}\\n")
        sys.stdout.flush()

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    await asyncio.gather(*(accept(store) for _ in range(16)))

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs.db"


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def write(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


async def accept_one(store: SQLiteStore) -> Job:
    (job,) = await store.accept([make_job()])
    return job


def test_processes_killed_while_they_accept(path: Path) -> None:
    """Whatever was answered is there, nothing is there by half, and nobody waits for the dead."""
    answered: list[str] = []
    for lines in (40, 400, 900):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", ACCEPT_FOR_EVER, path], stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        first, second = writers
        assert first.stdout is not None
        assert second.stdout is not None
        answered += [each for _ in range(lines) for each in first.stdout.readline().split()]
        first.kill()
        answered += [each for each in first.stdout.read().split() if len(each) == 24]
        answered += [each for _ in range(20) for each in second.stdout.readline().split()]
        second.kill()
        for writer in writers:
            writer.communicate()

    store = SQLiteStore(path)

    async def scenario() -> None:
        found = await store.get(answered)
        assert sorted(ids_of(found)) == sorted(answered)
        (stats,) = await store.stats()
        (count,) = ask(path, "SELECT count(*) FROM jobs")[0]
        assert stats.counts == {"queued": count}
        await store.accept([make_job(arguments="x" * 1500)])

    run_open(store, scenario)
    assert len(answered) >= 2680
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    for table in ("texts", "events"):
        assert ask(path, f"SELECT seq FROM jobs EXCEPT SELECT job FROM {table}") == []
        assert ask(path, f"SELECT job FROM {table} EXCEPT SELECT seq FROM jobs") == []
    (pairs, single) = ask(path, "SELECT count(*) / 2, count(*) % 2 FROM jobs")[0]
    assert single == 1, f"{pairs} pairs and the last job: a call is accepted whole or not at all"


def test_ten_processes_open_a_new_store_at_once(path: Path) -> None:
    async def work(number: int) -> list[str]:
        store = SQLiteStore(path)
        await store.open()
        await asyncio.gather(*(accept_one(store) for _ in range(20)))
        claimed: list[str] = []
        while some := await store.claim(
            f"worker {number}", ["default"], now=NOW, until=NOW + 30, limit=3
        ):
            claimed += ids_of(some)
        await store.close()
        return claimed

    children = [Child(lambda n=n: asyncio.run(work(n))) for n in range(10)]
    claimed = [job for child in children for job in child.result()]
    assert len(claimed) == len(set(claimed)) == 200


def test_a_child_of_a_dead_writer_does_not_hold_its_lock(path: Path) -> None:
    """The writer dies in a transaction; children that it forked before live on."""
    store = SQLiteStore(path)
    reading, writing = os.pipe()

    def die_with_children() -> None:
        os.close(writing)
        dying = threading.Event()

        def accept_or_die(job: Job) -> Event:
            if dying.is_set():
                os.kill(os.getpid(), signal.SIGKILL)
            return accepted(job)

        async def storm() -> None:
            await store.open()
            while True:
                await asyncio.gather(*(accept_one(store) for _ in range(16)))

        sqlite_group.accepted = accept_or_die
        thread = threading.Thread(target=lambda: asyncio.run(storm()), daemon=True)
        thread.start()
        for _ in range(25):
            Child(lambda: os.read(reading, 1))
        dying.set()
        thread.join()

    with pytest.raises(AssertionError, match="-9"):
        Child(die_with_children).wait()

    async def scenario() -> None:
        await asyncio.wait_for(accept_one(store), 10)

    run_open(store, scenario)
    os.close(writing)
    os.close(reading)


def test_a_forked_child_inherits_nothing_of_the_file(path: Path) -> None:
    """SQLite keeps locks and connections in memory: a child must not even have them."""
    store = SQLiteStore(path)

    async def use() -> None:
        await accept_one(store)
        await store.get([])
        await store.stats()

    def open_files() -> list[str]:
        links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
        targets = [os.readlink(link) for link in links if os.path.exists(link)]
        return [target for target in targets if target.startswith(str(path))]

    asyncio.run(store.open())
    asyncio.run(use())
    assert len(open_files()) >= 7
    assert Child(open_files).result() == []
    asyncio.run(use())
    asyncio.run(store.close())
    assert open_files() == []


def test_forking_while_it_is_in_use(path: Path) -> None:
    store = SQLiteStore(path)

    async def storm(until: threading.Event) -> int:
        count = 0
        while not until.is_set():
            await asyncio.gather(*(accept_one(store) for _ in range(8)), store.stats())
            count += 8
        return count

    async def few() -> int:
        await asyncio.gather(*(accept_one(store) for _ in range(5)))
        return len(await store.find(Filter(limit=3)))

    asyncio.run(store.open())
    over = threading.Event()
    accepted: list[int] = []
    thread = threading.Thread(target=lambda: accepted.append(asyncio.run(storm(over))))
    thread.start()
    for _ in range(10):
        assert Child(lambda: asyncio.run(few())).result() == 3
    over.set()
    thread.join()
    asyncio.run(store.close())
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT count(*) FROM jobs") == [(accepted[0] + 50,)]


def test_the_file_is_for_this_user_alone(path: Path) -> None:
    store = SQLiteStore(path)

    async def scenario() -> None:
        await accept_one(store)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        assert set(modes.values()) == {0o600}, modes
        assert len(modes) == 4

    run_open(store, scenario)
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_newer_schema_is_refused(path: Path) -> None:
    run_open(store := SQLiteStore(path), lambda: accept_one(store))
    write(path, "PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match=r"newer onecopy \(schema 99.*upgrade onecopy here"):
        asyncio.run(SQLiteStore(path).open())


def test_an_older_schema_is_migrated_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SQLiteStore(path)
    job = run_open(store, lambda: accept_one(store))
    more = (*sqlite_schema.MIGRATIONS, "ALTER TABLE jobs ADD COLUMN colour TEXT;")
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", more)

    async def look() -> list[str]:
        later = SQLiteStore(path)
        await later.open()
        found = ids_of(await later.get([job.id]))
        await later.close()
        return found

    children = [Child(lambda: asyncio.run(look())) for _ in range(4)]
    assert [child.result() for child in children] == [[job.id]] * 4
    assert ask(path, "PRAGMA user_version") == [(len(more),)]
    assert ask(path, "SELECT colour FROM jobs") == [(None,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteStore(path)
    run_open(store, lambda: accept_one(store))
    spoiled = "ALTER TABLE jobs ADD COLUMN colour TEXT; ALTER TABLE missing ADD COLUMN x TEXT;"
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS, spoiled))
        with pytest.raises(Unavailable, match="no such table"):
            asyncio.run(SQLiteStore(path).open())
    run_open(store, lambda: accept_one(store))


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    write(path, "CREATE TABLE theirs (x)")
    with pytest.raises(Unavailable, match="another program's database"):
        asyncio.run(SQLiteStore(path).open())
    assert ask(path, "SELECT name FROM sqlite_master") == [("theirs",)]


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, " * 1000)
    with pytest.raises(Unavailable, match="no SQLite database: move it away"):
        asyncio.run(SQLiteStore(path).open())


def test_a_damaged_file(path: Path) -> None:
    store = SQLiteStore(path)

    async def accept_many() -> None:
        await store.accept([make_job() for _ in range(500)])

    run_open(store, accept_many)
    ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        behind_schema = 32 * 4096
        file.seek(behind_schema)
        file.write(b"\xff" * (path.stat().st_size - behind_schema))

    async def scenario() -> None:
        with pytest.raises(Unavailable, match="it is damaged: move it"):
            await store.claim("w", ["default"], now=NOW, until=NOW + 9, limit=99)
        with pytest.raises(Unavailable, match="it is damaged"):
            await store.get([new_id() for _ in range(500)])  # a part of the index is sound

    run_open(store, scenario)


def test_a_folder_that_is_deleted_while_it_is_open(path: Path) -> None:
    """Nothing is accepted into a file that nobody will ever find."""
    store = SQLiteStore(path)

    async def scenario() -> None:
        await accept_one(store)
        shutil.rmtree(path.parent)
        for call in (accept_one(store), store.get([new_id()]), store.stats()):
            with pytest.raises(Unavailable, match=r"it is gone: put it back.*jobs\.db"):
                await call
        assert not path.parent.exists()
        await store.open()
        await accept_one(store)
        assert len(await store.find(Filter())) == 1

    run_open(store, scenario)


def test_a_file_that_is_replaced_while_it_is_open(path: Path) -> None:
    store = SQLiteStore(path)

    async def scenario() -> None:
        await accept_one(store)
        await store.stats()
        shutil.rmtree(path.parent)
        other = SQLiteStore(path)
        await other.open()
        theirs = await accept_one(other)
        mine = await accept_one(store)
        for each in (store, other):
            assert len(await each.get([theirs.id, mine.id])) == 2
            assert len(await each.find(Filter())) == 2
        await other.close()

    run_open(store, scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_file_of_another_user(path: Path) -> None:
    run_open(store := SQLiteStore(path), lambda: accept_one(store))

    def open_as_nobody() -> str:
        os.setuid(65534)
        try:
            asyncio.run(SQLiteStore(path).open())
        except Unavailable as error:
            return str(error)
        return "it opened"

    assert "give this user the right to" in Child(open_as_nobody).result()


def test_a_full_disk(small_disk: Path) -> None:
    """What is answered is there; what is refused is not; with room again it goes on."""
    store = SQLiteStore(small_disk / "jobs.db")
    filling = Filling(store)

    async def scenario() -> None:
        await filling.until_it_is_full()
        filling.must_all_say("the disk is full: make room")
        await filling.must_be_right()
        make_room(small_disk)
        filling.accepted.append((await accept_one(store)).id)
        await filling.must_be_right()

    run_open(store, scenario)
    assert ask(small_disk / "jobs.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_disk_that_becomes_read_only(small_disk: Path) -> None:
    store = SQLiteStore(small_disk / "jobs.db")

    async def scenario() -> None:
        job = await accept_one(store)
        await store.close()
        assert mount(small_disk, "-o", "remount,ro") == 0
        with pytest.raises(Unavailable, match=os.strerror(errno.EROFS)):
            await store.open()
        assert mount(small_disk, "-o", "remount,rw") == 0
        await store.open()
        assert await store.get([job.id]) == [job]

    run_open(store, scenario)


def test_a_stopped_process_that_holds_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers are told within a bounded time, and what was refused is not done later."""
    monkeypatch.setattr(lanes, "PATIENCE", 0.2)
    store = SQLiteStore(path)

    async def scenario() -> None:
        await accept_one(store)
        with (path.parent / "jobs.db-lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(Unavailable, match="is a process stopped that uses it"):
                await accept_one(store)
            assert len(await store.find(Filter())) == 1
        await accept_one(store)
        assert len(await store.find(Filter())) == 2

    run_open(store, scenario)


def test_a_call_cancelled_before_its_turn_is_not_done(path: Path) -> None:
    store = SQLiteStore(path)

    async def scenario() -> None:
        await accept_one(store)
        with (path.parent / "jobs.db-lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(accept_one(store), 0.05)
        await accept_one(store)
        assert len(await store.find(Filter())) == 2

    run_open(store, scenario)


def test_an_event_loop_that_ends_before_its_answer(path: Path) -> None:
    """Nobody waits for the answer any more; those of other loops get theirs."""
    store = SQLiteStore(path)
    asyncio.run(store.open())
    with (path.parent / "jobs.db-lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # a task is left alone on purpose
        task = loop.create_task(accept_one(store))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    job = asyncio.run(accept_one(store))
    assert asyncio.run(store.get([job.id])) == [job]
    asyncio.run(store.close())
    assert not task.done()


def test_reading_does_not_wait_for_writers(path: Path) -> None:
    store = SQLiteStore(path)

    async def scenario() -> None:
        job = await accept_one(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE jobs SET priority = 5")
            began = time.monotonic()
            assert await store.get([job.id]) == [job]
            assert len(await store.find(Filter())) == 1
            assert time.monotonic() - began < 5
            other.execute("ROLLBACK")

    run_open(store, scenario)


def test_values_that_cannot_be_written_spoil_no_other_call(path: Path) -> None:
    store = SQLiteStore(path)
    unwritable = [make_job(task="\udce9"), make_job(priority=2**70), make_job(due_at=float("nan"))]

    async def scenario() -> None:
        jobs = [make_job() for _ in range(9)]
        calls = [store.accept([job]) for job in (*jobs[:5], *unwritable, *jobs[5:])]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        kinds = [type(answer) for answer in answers[5:8]]
        assert kinds == [UnicodeEncodeError, OverflowError, sqlite3.IntegrityError]
        assert answers[:5] + answers[8:] == [[job] for job in jobs]
        (stats,) = await store.stats()
        assert stats.counts == {"queued": 9}

    run_open(store, scenario)


def test_using_it_before_it_is_open(path: Path) -> None:
    with pytest.raises(Unavailable, match=r"jobs\.db is not open"):
        asyncio.run(SQLiteStore(path).get([]))
    assert not path.parent.exists()


@pytest.mark.parametrize("delay", [0, 3600])
def test_a_claim_and_an_acceptance_cost_the_same_in_a_long_queue(
    path: Path, monkeypatch: pytest.MonkeyPatch, delay: int
) -> None:
    """Counted in steps of SQLite's machine; `delay`: with jobs before them that are not due."""
    steps = 0
    connect = sqlite_schema.connect

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def connect_and_count(path: str) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_progress_handler(count, 1)
        return connection

    monkeypatch.setattr(sqlite_schema, "connect", connect_and_count)
    store = SQLiteStore(path, synchronous="normal")

    async def cost() -> list[int]:
        nonlocal steps
        costs: list[int] = []
        for call in (
            lambda: store.accept([make_job()], max_queued=10**6),
            lambda: store.claim("w", ["default"], now=NOW, until=NOW + 9),
            lambda: store.next_due(["default"]),
            lambda: store.overdue(now=NOW),
            store.stats,
        ):
            steps = 0
            await call()
            costs.append(steps)
        return costs

    async def scenario() -> None:
        waiting = [make_job(priority=n % 3, due_at=NOW + delay) for n in range(10)]
        await store.accept(waiting)
        short = await cost()
        await store.accept([make_job(priority=n % 3, due_at=NOW + delay) for n in range(5000)])
        for few, many in zip(short, await cost(), strict=True):
            assert many <= few + 20

    run_open(store, scenario)


def test_a_word_that_is_no_way_to_write(path: Path) -> None:
    with pytest.raises(ValueError, match="full or normal, not 'of'"):
        SQLiteStore(path, synchronous="of")  # pyright: ignore[reportArgumentType]


def test_what_was_done_before_the_disk_failed_is_answered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a spoiled group each is done by itself; a fault in the middle fails those not done."""
    store = SQLiteStore(path)
    jobs = [make_job(), make_job(priority=2**70), make_job(task="faulty"), make_job()]

    insert_jobs = sqlite_rows.insert_jobs

    def fail_at_third(cursor: sqlite3.Cursor, new: Mapping[int, Job]) -> None:
        if [job.task for job in new.values()] == ["faulty"]:
            raise sqlite3.OperationalError("disk I/O error")
        insert_jobs(cursor, new)

    monkeypatch.setattr(sqlite_group, "insert_jobs", fail_at_third)

    async def scenario() -> None:
        calls = [store.accept([job]) for job in jobs]
        first, spoiled, faulty, last = await asyncio.gather(*calls, return_exceptions=True)
        assert first == [jobs[0]]
        assert isinstance(spoiled, OverflowError)
        assert isinstance(faulty, Unavailable)
        assert isinstance(last, Unavailable)
        assert faulty is not last
        assert await store.find(Filter()) == [jobs[0]]

    run_open(store, scenario)


@pytest.mark.parametrize(("synchronous", "syncs"), [("full", 2), ("normal", 0)])
def test_what_is_answered_was_brought_to_the_disk(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    synchronous: Literal["full", "normal"],
    syncs: int,
) -> None:
    synced: list[str] = []

    def sync(path: str) -> None:
        synced.append(path)
        if len(synced) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = SQLiteStore(path, synchronous=synchronous)

    async def scenario() -> None:
        monkeypatch.setattr(sqlite_schema, "sync", sync)
        await store.accept([make_job()])
        await store.overdue(now=NOW)
        assert len(synced) == (1 if syncs else 0)
        failed = await asyncio.gather(store.accept([make_job()]), return_exceptions=True)
        assert [type(each) for each in failed] == [Unavailable if syncs else list]
        assert len(synced) == syncs

    run_open(store, scenario)
