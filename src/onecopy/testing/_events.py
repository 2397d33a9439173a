"""The tests of `EventsContract`, and what they need."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, Protocol

import pytest

from onecopy.execution.runtime import Runtime
from onecopy.jobs import (
    Advance,
    Cancel,
    Cancelled,
    Change,
    Elsewhere,
    Fail,
    Failure,
    Job,
    Line,
    Log,
    Progress,
    Release,
    Requeue,
    Succeed,
    new_id,
)
from onecopy.representation import LARGEST_RESULT, rfc3339, write_event
from onecopy.stores import change_one

type Told = dict[str, Any]
"""An event as on the wire."""

LONG: Final = 30.0
"""Seconds in which what is to happen happens, however slow the machine is."""


class Transport(Protocol):
    """A way on which events come to who follows jobs.

    runtime: where the jobs are, to change them.
    """

    runtime: Runtime

    def follow(self, after: Mapping[str, int]) -> AsyncGenerator[Told]:
        """Yield the events of jobs, each after a number, until all have ended.

        Raises KeyError if there is no such job.
        """
        ...


type Connect = Callable[[], AbstractAsyncContextManager[Transport]]


class Life:
    """Has jobs accepted, and lets happen to them what a worker would."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def job(self) -> str:
        """Return the id of a new job."""
        now = time.time()
        job = Job(
            id=new_id(),
            task="work",
            arguments="{}",
            queue=new_id(),  # so that a claim gets this one
            max_attempts=3,
            created_at=now,
            due_at=now,
        )
        await self.runtime.accept([job])
        return job.id

    async def begin(self, job: str) -> str:
        """Begin an attempt; return its token."""
        now = time.time()
        store = self.runtime.store
        [known] = await store.get([job])
        [claimed] = await store.claim("w", [known.queue], now=now, until=now + 60)
        await self.runtime.engine.tell([job])
        assert claimed.id == job
        assert claimed.lease is not None
        return claimed.lease.token

    async def change(self, job: str, *changes: Change) -> None:
        """Let changes happen one after the other."""
        for change in changes:
            await self.runtime.change(job, change)

    async def whole(self, job: str) -> None:
        """Let all happen to a new job that can, and let it fail."""
        token = await self.begin(job)
        line = Line(time.time(), "INFO", "app", "it begins: ä ☃")
        await self.change(job, Log(token, [line]), Advance(token, Progress(1, 3, "one")))
        await self.change(job, Fail(token, Failure("E", "once more"), time.time()))
        token = await self.begin(job)
        await self.change(job, Release(token))
        token = await self.begin(job)
        await self.change(job, Elsewhere(token, time.time() + 60))
        await self.change(job, Fail(token, Failure("E", "for good")))

    async def expected(self, job: str, after: int = -1) -> list[Told]:
        """Return the events of a job as they have to arrive."""
        events = await self.runtime.store.events({job: after})
        [known] = await self.runtime.store.get([job])
        return [json.loads(write_event(event, known)) for event in events]


async def all_of(transport: Transport, after: Mapping[str, int]) -> list[Told]:
    """Return what is told until the end."""
    return [event async for event in transport.follow(after)]


def run(connect: Connect, scenario: Callable[[Transport, Life], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in an event loop of its own."""

    async def whole() -> None:
        async with asyncio.timeout(LONG), connect() as transport:
            await scenario(transport, Life(transport.runtime))

    asyncio.run(whole())


def numbers(events: Sequence[Told]) -> list[int]:
    """Return the numbers of events."""
    return [event["number"] for event in events]


class EventsContract:
    """Inherit it, with a fixture `connect`: each call gives a transport for an `async with`."""

    def test_all_that_happens_is_told_in_order_as_it_happens(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            async with aclosing(transport.follow({job: -1})) as events:
                told = [await anext(events)]
                token = await life.begin(job)
                told.append(await anext(events))
                for done in range(3):
                    await life.change(job, Advance(token, Progress(done, 3)))
                    told.append(await anext(events))
                await life.change(job, Succeed(token, '{"ä": [1, null]}'))
                told += [event async for event in events]
            kinds = ["accepted", "claimed", "progress", "progress", "progress", "succeeded"]
            assert [event["kind"] for event in told] == kinds
            assert numbers(told) == [*range(6)]
            assert told == await life.expected(job)
            assert told[-1]["result"] == {"ä": [1, None]}

        run(connect, scenario)

    def test_an_event_says_all_that_belongs_to_it(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            await life.whole(job)
            told = await all_of(transport, {job: -1})
            [accepted, claimed, log, progress, retry, *_, elsewhere, failed] = told
            [as_stored, *_] = await life.runtime.store.events({job: -1})
            at = rfc3339(as_stored.at)
            assert accepted == {
                "job": job,
                "number": 0,
                "kind": "accepted",
                "at": at,
                "status": "queued",
                "task": "work",
                "due_at": at,
            }
            assert (claimed["status"], claimed["attempt"]) == ("running", 1)
            assert log["lines"][0]["message"] == "it begins: ä ☃"
            assert log["lines"][0]["at"].endswith("Z")
            assert progress["progress"] == {"done": 1, "total": 3, "message": "one"}
            assert retry["error"] == {"type": "E", "message": "once more"}
            assert elsewhere["until"].endswith("Z")
            assert failed["error"] == {"type": "E", "message": "for good"}
            assert "result" not in failed

        run(connect, scenario)

    def test_who_comes_after_the_end_is_told_all(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            await life.whole(job)
            told = await all_of(transport, {job: -1})
            assert told == await life.expected(job)
            assert numbers(told) == [*range(len(told))]

        run(connect, scenario)

    def test_resuming_after_each_number_gives_exactly_the_rest(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            await life.whole(job)
            whole = await life.expected(job)
            for number in range(-1, len(whole)):
                assert await all_of(transport, {job: number}) == whole[number + 1 :]

        run(connect, scenario)

    def test_resuming_while_it_goes_on(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            token = await life.begin(job)
            told: list[Told] = []
            for done in range(5):
                await life.change(job, Advance(token, Progress(done)), Advance(token, Progress()))
                async with aclosing(transport.follow({job: len(told) - 1})) as events:
                    told += [await anext(events), await anext(events)]
            await life.change(job, Succeed(token, "1"))
            told += await all_of(transport, {job: len(told) - 1})
            assert told == await life.expected(job)

        run(connect, scenario)

    def test_a_number_that_was_never_reached_counts_as_the_last(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            async with aclosing(transport.follow({job: 99})) as events:
                first = asyncio.ensure_future(anext(events))
                # Whether it is listened to already cannot be seen.
                await asyncio.sleep(0.3)
                await life.change(job, Cancel())
                assert (await first)["number"] == 1
            assert await all_of(transport, {job: 99}) == []

        run(connect, scenario)

    def test_an_unknown_job_is_an_error(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            for after in (-1, 0, 7):
                with pytest.raises(KeyError):
                    await all_of(transport, {new_id(): after})

        run(connect, scenario)

    def test_several_jobs_are_told_side_by_side(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            jobs = [await life.job() for _ in range(5)]
            await life.change(jobs[0], Cancel())
            following = asyncio.create_task(all_of(transport, dict.fromkeys(jobs, -1)))
            await asyncio.gather(*(life.whole(job) for job in jobs[1:]))
            told = await following
            for job in jobs:
                of_job = [event for event in told if event["job"] == job]
                assert of_job == await life.expected(job)

        run(connect, scenario)

    def test_several_jobs_are_resumed_each_after_its_own_number(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            jobs = [await life.job() for _ in range(3)]
            await asyncio.gather(*(life.whole(job) for job in jobs))
            after = {jobs[0]: 3, jobs[1]: -1, jobs[2]: 9}
            told = await all_of(transport, after)
            for job, number in after.items():
                of_job = [event for event in told if event["job"] == job]
                assert of_job == await life.expected(job, number)

        run(connect, scenario)

    def test_a_job_that_runs_again_goes_on(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            await life.whole(job)
            first = await all_of(transport, {job: -1})
            await life.change(job, Requeue())
            following = asyncio.create_task(all_of(transport, {job: first[-1]["number"]}))
            anew = asyncio.create_task(all_of(transport, {job: -1}))
            token = await life.begin(job)
            await life.change(job, Cancel(), Cancelled(token))
            whole = await life.expected(job)
            assert await following == whole[len(first) :]
            assert await anew == whole
            assert [event["kind"] for event in whole[len(first) :]] == [
                "requeued", "claimed", "cancelling", "cancelled",
            ]  # fmt: skip

        run(connect, scenario)

    def test_a_long_history_arrives_whole(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            token = await life.begin(job)
            some = [Advance(token, Progress(done, None, "x" * 50)) for done in range(2500)]
            await asyncio.gather(*(life.change(job, each) for each in some))
            following = asyncio.create_task(all_of(transport, {job: -1}))
            await life.change(job, Succeed(token, "null"))
            assert await following == await life.expected(job)

        run(connect, scenario)

    def test_all_who_follow_are_told_the_same(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            all_at_once = [
                asyncio.create_task(all_of(transport, {job: number})) for number in (-1, 0, -1, 0)
            ]
            await life.whole(job)
            whole = await life.expected(job)
            told = await asyncio.gather(*all_at_once)
            assert told == [whole, whole[1:], whole, whole[1:]]

        run(connect, scenario)

    def test_a_change_that_nobody_told_is_found(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            job = await life.job()
            async with aclosing(transport.follow({job: -1})) as events:
                await anext(events)
                await change_one(life.runtime.store, job, Cancel(), now=time.time())
                assert [event["kind"] async for event in events] == ["cancelled"]

        run(connect, scenario)

    def test_a_result_that_is_too_large_is_left_out(self, connect: Connect) -> None:
        async def scenario(transport: Transport, life: Life) -> None:
            for size in (LARGEST_RESULT, LARGEST_RESULT + 1):
                job = await life.job()
                token = await life.begin(job)
                await life.change(job, Succeed(token, json.dumps("x" * (size - 2))))
                [last] = await all_of(transport, {job: 1})
                assert ("result" in last) is (size == LARGEST_RESULT)

        run(connect, scenario)
