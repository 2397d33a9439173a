"""What is left behind, and by whom: sweeper, identity, policy, settling."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec.structs
import pytest

from onecopy.engines.local import LocalEngine
from onecopy.errors import JobCancelled, Retry
from onecopy.execution.attempt import Outcome, describe, settle, sound
from onecopy.execution.identity import WorkerName
from onecopy.execution.policy import RetryPolicy
from onecopy.execution.runtime import Runtime
from onecopy.execution.sweeper import LEASE, Sweeper, mark_of
from onecopy.jobs import Cancelled, Fail, Failure, Job, Lease, Progress, Succeed, new_id
from onecopy.stores import change_one
from onecopy.stores.memory import MemoryStore

GONE = str(replace(WorkerName.own(), started="1"))
SUPERVISED = str(replace(WorkerName.own(os.getpid()), started="1"))
NO_WAIT = RetryPolicy(backoff=0.0)


def _run(
    folder: Path, scenario: Callable[[Sweeper, MemoryStore], Coroutine[Any, Any, None]]
) -> None:
    async def whole() -> None:
        store = MemoryStore()
        runtime = Runtime(store, LocalEngine(str(folder)), str(folder))
        await runtime.open()
        await scenario(Sweeper(runtime, lambda task: NO_WAIT), store)
        await runtime.close()

    asyncio.run(whole())


async def _running(store: MemoryStore, worker: str, *, attempts: int = 2) -> Job:
    now = time.time()
    job = Job(
        id=new_id(), task="t", arguments="{}", created_at=now, due_at=now, max_attempts=attempts
    )
    await store.accept([job])
    (claimed,) = await store.claim(worker, ["default"], now=now, until=now + LEASE)
    return claimed


async def _look(store: MemoryStore, job: Job) -> Job:
    (found,) = await store.get([job.id])
    return found


def test_leases_of_the_living_are_lengthened_and_of_the_dead_ended(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        living = await _running(store, str(WorkerName.own()))
        dead = await _running(store, GONE)
        last = await _running(store, GONE, attempts=1)
        elsewhere = await _running(store, "another host/boot#1@1")
        now = time.time() + LEASE + 1
        await sweeper.sweep(now)
        found = await _look(store, living)
        assert found.lease is not None
        assert found.lease.until == now + LEASE
        assert (await _look(store, dead)).status == "queued"
        found = await _look(store, last)
        assert (found.status, found.failure) == (
            "failed",
            Failure("WorkerLost", "its worker is gone"),
        )
        assert (await _look(store, elsewhere)).status == "queued"

    _run(tmp_path, scenario)


def test_the_dead_that_nobody_tells_of_are_buried(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        dead = await _running(store, GONE)
        orphan = await _running(store, f"{GONE}<1@2")
        living = await _running(store, str(WorkerName.own()))
        elsewhere = await _running(store, "another host/boot#1@1")
        await sweeper.bury()
        assert (await _look(store, dead)).status == "queued"
        assert (await _look(store, orphan)).status == "queued"
        assert (await _look(store, living)).status == "running"
        assert (await _look(store, elsewhere)).status == "running"

    _run(tmp_path, scenario)


def test_the_dead_of_a_living_supervisor_are_left_to_it_for_a_lease(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        told, untold = await _running(store, SUPERVISED), await _running(store, SUPERVISED)
        overdue = time.time() + LEASE + 1
        for now in (overdue, overdue + LEASE - 1):
            await sweeper.bury(now)
            await sweeper.sweep(now)
        for job in (told, untold):
            found = await _look(store, job)
            assert (found.status, found.attempt) == ("running", 1)
        failure = Failure("WorkerLost", "killed: its task did not end when its time was over")
        await sweeper.lose(told, failure, overdue)
        await sweeper.bury(overdue + LEASE)
        assert (await _look(store, told)).failure == failure
        found = await _look(store, untold)
        assert found.failure == Failure("WorkerLost", "its worker is gone")

    _run(tmp_path, scenario)


def test_a_worker_that_is_lost_loses_all_its_attempts_and_no_other(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        lost = [await _running(store, GONE) for _ in range(3)]
        other = await _running(store, str(WorkerName.own()))
        failure = Failure("WorkerLost", "its worker exited with code 5")
        await asyncio.gather(*(sweeper.lose_worker(GONE, failure) for _ in range(2)))
        for job in lost:
            found = await _look(store, job)
            assert (found.status, found.attempt, found.failure) == ("queued", 1, failure)
        assert (await _look(store, other)).status == "running"

    _run(tmp_path, scenario)


def test_what_a_lost_worker_had_not_begun_is_given_back_and_does_not_count(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        begun, waiting = [await _running(store, GONE, attempts=1) for _ in range(2)]
        assert begun.lease is not None
        failure = Failure("WorkerLost", "its worker exited with code 5")
        await sweeper.lose_worker(GONE, failure, [mark_of(begun.lease.token)])
        found = await _look(store, begun)
        assert (found.status, found.attempt, found.failure) == ("failed", 1, failure)
        found = await _look(store, waiting)
        assert (found.status, found.attempt, found.failure) == ("queued", 0, None)

    _run(tmp_path, scenario)


def test_expired_jobs_fail(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        job = Job(id=new_id(), task="t", arguments="{}", created_at=1.0, due_at=1.0, expires_at=2.0)
        await store.accept([job])
        await sweeper.sweep(3.0)
        found = await _look(store, job)
        assert found.failure is not None
        assert (found.status, found.failure.type) == ("failed", "Expired")

    _run(tmp_path, scenario)


async def _accepted(store: MemoryStore, at: float, delay: float = 0.0) -> Job:
    job = Job(id=new_id(), task="t", arguments="{}", created_at=at, due_at=at + delay)
    await store.accept([job])
    return job


@pytest.mark.parametrize("at_start", [False, True], ids=["while it runs", "before the start"])
def test_jobs_do_not_wait_for_a_clock_that_was_set_back(tmp_path: Path, at_start: bool) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        late = 1_800_000_000.0
        if not at_start:
            await sweeper.sweep(late)
        at_once = await _accepted(store, late)
        delayed = await _accepted(store, late, 60.0)
        running = await _running_at(store, late)
        early = late - 3600.0
        if not at_start:  # the newest job does not tell
            await _accepted(store, early - 1)
        await sweeper.sweep(early)
        await sweeper.sweep(early + 1)
        assert (await _look(store, at_once)).due_at == early
        assert (await _look(store, delayed)).due_at == early + 60.0
        assert [event.kind for event in await store.events({at_once.id: -1}, limit=9)] == [
            "accepted",
            "requeued",
        ]
        claimed = await store.claim("w", ["default"], now=early + 1, until=early + 31, limit=9)
        assert at_once.id in {job.id for job in claimed}
        assert await _look(store, running) == running, "its worker ends it, whatever the clock says"

    _run(tmp_path, scenario)


async def _running_at(store: MemoryStore, at: float) -> Job:
    job = Job(id=new_id(), task="t", arguments="{}", created_at=at, due_at=at, priority=9)
    await store.accept([job])
    (claimed,) = await store.claim(
        str(WorkerName.own()), ["default"], now=at, until=at + LEASE, limit=1
    )
    return claimed


def test_a_retry_does_not_wait_for_a_clock_that_was_set_back(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        accepted, late = 1_800_000_000.0, 1_800_003_600.0
        job = Job(
            id=new_id(),
            task="t",
            arguments="{}",
            created_at=accepted,
            due_at=accepted,
            max_attempts=2,
        )
        await store.accept([job])
        (running,) = await store.claim("w", ["default"], now=late, until=late + 30)
        assert running.lease is not None
        failed = Fail(running.lease.token, Failure("ValueError", ""), late + 60.0)
        await change_one(store, job.id, failed, now=late + 5)
        await sweeper.sweep(late + 6)
        for seconds in (0.0, 1.0):
            await sweeper.sweep(accepted + 9 + seconds)
            assert (await _look(store, job)).due_at == accepted + 69.0

    _run(tmp_path, scenario)


def test_a_clock_that_goes_on_changes_no_job(tmp_path: Path) -> None:
    async def scenario(sweeper: Sweeper, store: MemoryStore) -> None:
        now = 1_800_000_000.0
        at_once, delayed = await _accepted(store, now + 0.9), await _accepted(store, now, 60.0)
        for seconds in (0.0, 1.0, 7200.0):
            await sweeper.sweep(now + seconds)
        assert [await _look(store, job) for job in (at_once, delayed)] == [at_once, delayed]

    _run(tmp_path, scenario)


def test_names_of_workers() -> None:
    own = WorkerName.own()
    assert WorkerName.parse(str(own)) == own
    assert own.alive() is True
    assert replace(own, started="1").alive() is False
    assert replace(own, host="other/boot").alive() is None
    assert not own.supervised()
    child_of_this = WorkerName.own(os.getpid())
    assert WorkerName.parse(str(child_of_this)) == child_of_this
    assert child_of_this.supervised()
    assert not replace(child_of_this, supervisor=(os.getpid(), "1")).supervised()
    assert not replace(child_of_this, host="other/boot").supervised()
    assert own.host.endswith(Path("/proc/self/ns/pid").readlink().name.strip("pid:[]"))
    for text in ("", "host", "host#x@1", "host#1@", "host#1"):
        assert WorkerName.parse(text) is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    name = replace(own, pid=child.pid, started=stat[19])
    assert name.alive() is True
    child.communicate(b"\n")
    assert name.alive() is False


def test_delays_double_up_to_an_hour() -> None:
    policy = RetryPolicy(backoff=2.0)
    for attempt, longest in ((1, 2), (2, 4), (3, 8), (100, 3600)):
        for _ in range(20):
            assert longest / 2 <= policy.delay(attempt) <= longest
    assert RetryPolicy(backoff=lambda attempt: attempt * 10).delay(3) == 30
    assert RetryPolicy(backoff=lambda attempt: -1).delay(3) == 0
    assert RetryPolicy(retry_on=(KeyError,)).wants(KeyError())
    assert not RetryPolicy(retry_on=(KeyError,)).wants(ValueError())
    assert not RetryPolicy().wants(SystemExit())


def _settle(outcome: Outcome) -> object:
    job = Job(id="j", task="t", arguments="{}", created_at=0, due_at=0, attempt=1)
    job = msgspec.structs.replace(job, status="running", lease=Lease("token", "w", 30.0))
    return settle(job, outcome, NO_WAIT, 100.0)


def test_settling() -> None:
    assert _settle(Outcome("[1]")) == Succeed("token", "[1]")
    cancelled = JobCancelled("j")
    assert _settle(Outcome(error=cancelled, interrupted=True)) == Cancelled("token")
    assert isinstance(_settle(Outcome(error=JobCancelled("another"))), Fail)
    retry = _settle(Outcome(error=Retry(after=7)))
    assert isinstance(retry, Fail)
    assert retry.retry_at == 107.0


@pytest.mark.parametrize(
    "progress", [Progress(float("nan")), Progress(1, float("inf")), Progress(10**400)]
)
def test_progress_that_makes_no_sense(progress: Progress) -> None:
    assert sound(progress) is None


def test_texts_that_no_store_takes() -> None:
    assert sound(Progress(1, 2, "\ud800")) == Progress(1, 2, "\\ud800")
    assert describe(ValueError("a\0b\udcff" + "x" * 100_000)).message.startswith("a\\x00b\\udcff")
