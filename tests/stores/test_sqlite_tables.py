"""Files that an earlier onecopy has written."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from onecopy.jobs import Event, Failure, Job, Lease, Progress
from onecopy.stores import Filter
from onecopy.stores.packing import pack_job, searched
from onecopy.stores.sqlite import SQLiteStore
from onecopy.stores.sqlite_schema import OURS
from onecopy.stores.sqlite_tables import MIGRATIONS, packed
from onecopy.testing._stores.jobs import NOW, make_job, run_open

JOBS = [
    make_job(
        id="queued",
        arguments='{"long": "' + "x" * 5000 + '"}',
        expires_at=NOW + 1 / 3,
        due_at=NOW + 1 / 7,
        idempotency_key="k",
        fingerprint="f",
        callbacks=("https://example.com/a", "https://example.com/b"),
    ),
    make_job(
        id="running",
        status="running",
        attempt=2,
        max_attempts=3,
        started_at=NOW + 1,
        timeout=0.1,
        cancelling=True,
        lease=Lease("token", "worker 1", NOW + 31),
        progress=Progress(1, None, "a lone surrogate \udce9"),
        failure=Failure("E", "of the first attempt", "Traceback\n"),
        version=7,
    ),
    make_job(
        id="succeeded",
        status="succeeded",
        attempt=1,
        started_at=NOW + 1,
        finished_at=NOW + 2,
        keep=float("inf"),
        result=json.dumps("y" * 5000),
        version=2,
    ),
]


def write_version_3(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("".join(MIGRATIONS[:3]))
        connection.execute(f"PRAGMA application_id = {OURS}")
        connection.execute("PRAGMA user_version = 3")
        for job in JOBS:
            row = columns_of(job)
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            inserted = connection.execute(
                f"INSERT INTO jobs ({names}) VALUES ({marks})", (*row.values(),)
            )
            seq = inserted.lastrowid
            connection.execute("INSERT INTO arguments VALUES (?, ?)", (seq, job.arguments))
            event = (seq, 0, job.created_at, "accepted", json.dumps({"task": job.task}))
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", event)
        connection.execute(
            "INSERT INTO figures VALUES ('default', 'resize', 1, 1, 1, 0, 0, 0, 0, 0)"
        )


def columns_of(job: Job) -> dict[str, Any]:
    row = asdict(job)
    for name in ("arguments", "ordering_key", "held"):
        del row[name]
    lease = row.pop("lease")
    if lease is not None:
        row |= {"token": lease.token, "worker": lease.worker, "lease_until": lease.until}
    for name in ("progress", "failure"):
        row[name] = None if row[name] is None else json.dumps(asdict(row[name]))
    row["callbacks"] = json.dumps(job.callbacks) if job.callbacks else None
    row["remove_at"] = None if job.finished_at is None else job.finished_at + job.keep
    return row


def write_version_5(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_function("packed", -1, packed)
        connection.executescript("".join(MIGRATIONS[:5]))
        connection.execute(f"PRAGMA application_id = {OURS}")
        connection.execute("PRAGMA user_version = 5")
        for job in JOBS[1:]:
            row = (job.id, job.task, job.queue, job.priority, job.created_at, *searched(job))
            connection.execute(
                "INSERT INTO jobs (id, task, queue, priority, created_at, status, due_at, "
                "expires_at, worker, lease_until, remove_at, job) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, pack_job(job)),
            )


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    write_version_3(tmp_path / "jobs.db")
    return SQLiteStore(tmp_path / "jobs.db")


def test_jobs_that_were_rows_of_many_columns(store: SQLiteStore) -> None:
    async def scenario() -> None:
        assert await store.find(Filter()) == JOBS[::-1]
        assert await store.running("worker 1") == [JOBS[1]]
        assert await store.accept([make_job(idempotency_key="k", fingerprint="f")]) == [JOBS[0]]
        (stats,) = await store.stats()
        assert stats.counts == {"queued": 1, "running": 1, "succeeded": 1}
        (claimed,) = await store.claim("w", ["default"], now=NOW + 0.2, until=NOW + 9)
        assert claimed.arguments == JOBS[0].arguments

    run_open(store, scenario)


def test_events_that_were_json(store: SQLiteStore) -> None:
    async def scenario() -> None:
        accepted = Event("running", 0, NOW, "accepted", {"task": "resize"})
        assert await store.events({"running": -1}) == [accepted]

    run_open(store, scenario)


def test_jobs_from_before_there_were_ordering_keys(tmp_path: Path) -> None:
    write_version_5(tmp_path / "jobs.db")
    store = SQLiteStore(tmp_path / "jobs.db")

    async def scenario() -> None:
        assert await store.find(Filter()) == JOBS[:0:-1]
        await store.accept([make_job(id=name, ordering_key="k") for name in "ab"])
        (claimed,) = await store.claim("w", ["default"], now=NOW, until=NOW + 9, limit=9)
        assert claimed.id == "a"

    run_open(store, scenario)
