"""The tests of `EngineContract`, and what they need."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from onecopy.engines import Engine, Rung
from onecopy.jobs import Job, new_id

type Connect = Callable[[], Engine]

LONG: Final = 20.0
"""Seconds in which what is to happen happens, however slow the machine is."""
_QUEUES: Final = ("default", "slow")


@asynccontextmanager
async def opened(connect: Connect, count: int) -> AsyncGenerator[list[Engine]]:
    """Open as many engines, and close them after the block."""
    engines = [connect() for _ in range(count)]
    for engine in engines:
        await engine.open()
    try:
        yield engines
    finally:
        for engine in engines:
            await engine.close()


class Follower:
    """Follows the changes of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.heard: list[str] = []
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for job in self._engine.changes():
            self.heard.append(job)

    async def hear(self, sender: Engine, job: str) -> None:
        """Have a change told until it is heard: from when on it follows is not known."""
        async with asyncio.timeout(LONG):
            while job not in self.heard:
                await sender.tell([job])
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Follow no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; nobody tells when."""
    ends = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < ends, "it does not happen"
        await asyncio.sleep(0.005)


def due_job(queue: str = "default") -> Job:
    """Return a new job that is due."""
    now = time.time()
    return Job(id=new_id(), task="work", arguments="{}", queue=queue, created_at=now, due_at=now)


async def ring_until(
    sender: Engine, waiting: "asyncio.Task[Sequence[Rung] | None]"
) -> Sequence[Rung] | None:
    """Ring until a worker wakes: from when on it waits is not known."""
    async with asyncio.timeout(LONG):
        while not waiting.done():
            await sender.ring([due_job()])
            await asyncio.sleep(0.01)
    return waiting.result()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in an event loop of its own."""
    asyncio.run(scenario())


class EngineContract:
    """Inherit it, with a fixture `connect`: each call returns an engine, not open."""

    def test_a_ring_wakes_a_waiting_worker(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 2) as (web, worker):
                waiting = asyncio.create_task(worker.wait_for_ring(_QUEUES, LONG))
                assert await ring_until(web, waiting) is not None

        run(scenario)

    def test_nobody_rings(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 1) as (worker,):
                began = time.monotonic()
                assert await worker.wait_for_ring(_QUEUES, 0.2) is None
                assert 0.15 < time.monotonic() - began < LONG

        run(scenario)

    def test_ringing_and_telling_where_nobody_listens(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 1) as (web,):
                await web.ring([due_job() for _ in range(1000)])
                await web.ring([due_job("a queue that nobody has")])
                await web.tell(["job"])

        run(scenario)

    def test_everybody_who_follows_hears_of_a_change(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 3) as (first, second, worker):
                followers = [Follower(first), Follower(second), Follower(worker)]
                for follower in followers:
                    await follower.hear(worker, "job 1")
                await worker.tell(["job 2"])
                await until(lambda: all("job 2" in each.heard for each in followers))
                for follower in followers:
                    await follower.stop()

        run(scenario)

    def test_who_is_busy_for_a_moment_hears_of_all_changes(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 2) as (worker, web):
                follower = Follower(web)
                await follower.hear(worker, "first")
                jobs = [f"job-{number}" for number in range(300)]
                for job in jobs:  # In one turn of the loop, if nothing here waits.
                    await worker.tell([job])
                await until(lambda: set(jobs) <= set(follower.heard))
                await follower.stop()

        run(scenario)

    def test_who_stops_following_disturbs_nobody(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 2) as (web, worker):
                leaves, stays = Follower(web), Follower(web)
                await leaves.hear(worker, "job 1")
                await stays.hear(worker, "job 1")
                await leaves.stop()
                await stays.hear(worker, "job 2")
                assert "job 2" not in leaves.heard
                again = Follower(web)
                await again.hear(worker, "job 3")
                await again.stop()
                await stays.stop()

        run(scenario)

    def test_a_wait_that_is_cancelled_disturbs_no_later_one(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 2) as (web, worker):
                waiting = asyncio.create_task(worker.wait_for_ring(_QUEUES, LONG))
                await asyncio.sleep(0.05)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                later = asyncio.create_task(worker.wait_for_ring(_QUEUES, LONG))
                assert await ring_until(web, later) is not None

        run(scenario)

    def test_closing_twice_before_opening_and_opening_again(self, connect: Connect) -> None:
        async def scenario() -> None:
            engine = connect()
            await engine.close()
            await engine.open()
            await engine.close()
            await engine.close()
            await engine.open()
            await engine.ring([due_job()])
            await engine.close()

        run(scenario)

    def test_several_event_loops(self, connect: Connect) -> None:
        for _ in range(2):
            self.test_a_ring_wakes_a_waiting_worker(connect)

    def test_a_ring_that_names_jobs_names_each_once(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 2) as (web, worker):
                if not worker.names_jobs:
                    return
                jobs = [due_job() for _ in range(5)]
                await web.ring(jobs)
                heard = await hear(worker, len(jobs))
                assert sorted(heard) == sorted(Rung(job.id, job.task) for job in jobs)
                assert await worker.wait_for_ring(_QUEUES, 0.5, limit=5) is None

        run(scenario)

    def test_what_was_named_and_not_claimed_is_named_again(self, connect: Connect) -> None:
        async def scenario() -> None:
            async with opened(connect, 2) as (web, stays):
                if not web.names_jobs:
                    return
                job = due_job()
                gone = connect()
                await gone.open()
                await web.ring([job])
                assert await gone.wait_for_ring(_QUEUES, LONG) == [Rung(job.id, job.task)]
                await gone.close()
                assert await hear(stays, 1) == [Rung(job.id, job.task)]

        run(scenario)


async def hear(worker: Engine, count: int) -> list[Rung]:
    """Wait for rings until so many jobs were named, and claim them."""
    heard: list[Rung] = []
    async with asyncio.timeout(LONG):
        while len(heard) < count:
            heard += await worker.wait_for_ring(_QUEUES, LONG, limit=count - len(heard)) or ()
            await worker.claimed()
    return heard
