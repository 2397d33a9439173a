"""Changes of jobs, and their history."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from onecopy.jobs import (
    Advance,
    Cancel,
    Cancelled,
    Change,
    Expire,
    Fail,
    Failure,
    Job,
    NotAllowed,
    Progress,
    Release,
    Requeue,
    Succeed,
    apply,
    new_id,
)
from onecopy.stores import Filter, IdempotencyConflict, Store, change_one
from onecopy.testing._stores.jobs import (
    NOW,
    ODD_TEXT,
    claim_one,
    kinds_of,
    make_job,
    one,
    run_open,
    token_of,
)


class Changing:
    def test_every_change_is_as_the_state_machine_says(self, store: Store) -> None:
        """Walks of jobs through all statuses; after each step the record is the pure result."""
        failure = Failure("ValueError", ODD_TEXT, "Traceback\n")
        walks: list[list[Callable[[str], Change]]] = [
            [lambda token: Succeed(token, '{"a": 1}')],
            [lambda token: Fail(token, failure)],
            [lambda token: Fail(token, failure, NOW), lambda token: Succeed(token, "1")],
            [lambda token: Fail(token, failure, NOW), lambda token: Fail(token, failure, NOW)],
            [Release, lambda token: Succeed(token, "null")],
            [lambda token: Advance(token, Progress(3, 10, ODD_TEXT)), Release, Release],
            [lambda _: Cancel(), Cancelled],
            [lambda _: Cancel(), lambda _: Cancel(), lambda token: Succeed(token, "1")],
            [lambda _: Cancel(), Release],
            [lambda token: Fail(token, failure), lambda _: Requeue(), Release],
        ]

        async def walk(steps: Sequence[Callable[[str], Change]]) -> None:
            job = make_job(max_attempts=2, queue=new_id())
            await store.accept([job])
            for number, step in enumerate(steps):
                if job.status == "queued":
                    (job,) = await store.claim("w", [job.queue], now=NOW + number, until=NOW + 99)
                change = step(job.lease.token if job.lease is not None else "")
                expected = apply(job, change, NOW + number)
                assert await change_one(store, job.id, change, now=NOW + number) == expected
                assert await one(store, job) == expected
                job = expected
            assert [event.number for event in await store.events({job.id: -1})] == [
                *range(job.version + 1)
            ]

        async def scenario() -> None:
            for steps in walks:
                await walk(steps)

        run_open(store, scenario)

    def test_many_changes_in_one_call(self, store: Store) -> None:
        """Each by itself, in their order: what one is refused hinders no other."""
        first, second = make_job(), make_job(max_attempts=2)

        async def scenario() -> None:
            await store.accept([first, second])
            claimed = {
                job.id: job
                for job in await store.claim("w", ["default"], now=NOW, until=NOW + 9, limit=2)
            }
            tokens = {job: token_of(claimed[job]) for job in claimed}
            advance = Advance(tokens[second.id], Progress(1))
            fail = Fail(tokens[second.id], Failure("E", "e"), NOW)
            answers = await store.change(
                [
                    (first.id, Succeed(tokens[first.id], "1")),
                    ("unknown", Cancel()),
                    (second.id, advance),
                    (first.id, Succeed(tokens[first.id], "2")),
                    (second.id, fail),
                ],
                now=NOW + 1,
            )
            advanced = apply(claimed[second.id], advance, NOW + 1)
            assert [each for each in answers if isinstance(each, Job)] == [
                apply(claimed[first.id], Succeed(tokens[first.id], "1"), NOW + 1),
                advanced,
                apply(advanced, fail, NOW + 1),
            ]
            assert isinstance(answers[1], KeyError)
            assert isinstance(answers[3], NotAllowed)
            assert await one(store, first) == answers[0]
            assert await one(store, second) == answers[4]
            assert await kinds_of(store, first) == ["accepted", "claimed", "succeeded"]
            assert await kinds_of(store, second) == ["accepted", "claimed", "progress", "retry"]
            assert await store.change([], now=NOW) == []

        run_open(store, scenario)

    def test_a_queued_job_is_cancelled_or_expires(self, store: Store) -> None:
        jobs = [make_job(), make_job(expires_at=NOW + 1)]

        async def scenario() -> None:
            await store.accept(jobs)
            cancelled = await change_one(store, jobs[0].id, Cancel(), now=NOW + 1)
            expired = await change_one(store, jobs[1].id, Expire(), now=NOW + 1)
            assert (cancelled.status, expired.status) == ("cancelled", "failed")
            assert await store.claim("w", ["default"], now=NOW, until=NOW + 9) == []

        run_open(store, scenario)

    def test_an_old_token_is_refused_and_changes_nothing(self, store: Store) -> None:
        job = make_job(max_attempts=5)

        async def scenario() -> None:
            await store.accept([job])
            old = token_of(await claim_one(store))
            await change_one(store, job.id, Fail(old, Failure("Lost", "lost"), NOW), now=NOW)
            current = await claim_one(store, worker="worker 2")
            history = await store.events({job.id: -1})
            for change in (
                Succeed(old, "1"),
                Fail(old, Failure("E", "e")),
                Release(old),
                Cancelled(old),
                Advance(old, Progress(1)),
                Succeed("", "1"),
            ):
                with pytest.raises(NotAllowed):
                    await change_one(store, job.id, change, now=NOW)
            assert await one(store, job) == current
            assert await store.events({job.id: -1}) == history

        run_open(store, scenario)

    def test_an_unknown_job_is_a_key_error(self, store: Store) -> None:
        async def scenario() -> None:
            with pytest.raises(KeyError):
                await change_one(store, "unknown", Cancel(), now=NOW)
            assert await store.get(["unknown"]) == []
            assert await store.events({"unknown": -1}) == []

        run_open(store, scenario)

    def test_what_changes_nothing_is_not_recorded(self, store: Store) -> None:
        job = make_job()

        async def scenario() -> None:
            await store.accept([job])
            cancelled = await change_one(store, job.id, Cancel(), now=NOW)
            assert await change_one(store, job.id, Cancel(), now=NOW + 5) == cancelled
            assert await kinds_of(store, job) == ["accepted", "cancelled"]

        run_open(store, scenario)

    def test_an_attempt_ends_once_whoever_ends_it(self, store: Store) -> None:
        job = make_job()

        async def scenario() -> None:
            await store.accept([job])
            token = token_of(await claim_one(store))
            ends = (change_one(store, job.id, Succeed(token, str(n)), now=NOW) for n in range(20))
            answers = await asyncio.gather(*ends, return_exceptions=True)
            (won,) = [answer for answer in answers if isinstance(answer, Job)]
            assert sum(isinstance(answer, NotAllowed) for answer in answers) == 19
            assert await one(store, job) == won
            assert await kinds_of(store, job) == ["accepted", "claimed", "succeeded"]

        run_open(store, scenario)

    def test_refused_calls_do_not_spoil_those_made_at_the_same_time(self, store: Store) -> None:
        jobs = [make_job() for _ in range(30)]

        async def scenario() -> None:
            await store.accept([make_job(id="taken", idempotency_key="k", fingerprint="a")])
            calls: list[Awaitable[object]] = []
            for job in jobs:
                calls += [
                    store.accept([job]),
                    store.accept([make_job(idempotency_key="k", fingerprint="b")]),
                    change_one(store, "unknown", Cancel(), now=NOW),
                    change_one(store, "taken", Succeed("no token", "1"), now=NOW),
                ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert answers[0::4] == [[job] for job in jobs]
            for refused, kind in ((1, IdempotencyConflict), (2, KeyError), (3, NotAllowed)):
                assert all(isinstance(answer, kind) for answer in answers[refused::4])
            assert len(await store.find(Filter())) == 31

        run_open(store, scenario)

    def test_texts_of_failures_may_hold_anything(self, store: Store) -> None:
        """An exception's text may hold what UTF-8, or a database's text, cannot."""
        job = make_job()
        failure = Failure("E", "a lone surrogate \udce9, a NUL \0, a quote '", "\ud800\n\0")

        async def scenario() -> None:
            await store.accept([job])
            token = token_of(await claim_one(store))
            await change_one(
                store, job.id, Advance(token, Progress(1, 2, failure.message)), now=NOW
            )
            await change_one(store, job.id, Fail(token, failure), now=NOW)
            assert (await one(store, job)).failure == failure
            *_, last = await store.events({job.id: -1})
            assert last.data["error"]["message"] == failure.message

        run_open(store, scenario)


class Recording:
    def test_the_history_is_complete_and_in_order(self, store: Store) -> None:
        job = make_job(max_attempts=2)

        async def scenario() -> None:
            await store.accept([job])
            token = token_of(await claim_one(store, now=NOW + 1))
            await change_one(store, job.id, Advance(token, Progress(1, 2)), now=NOW + 2)
            await change_one(store, job.id, Fail(token, Failure("E", "why"), NOW + 9), now=NOW + 3)
            token = token_of(await claim_one(store, now=NOW + 10))
            await change_one(store, job.id, Cancel(), now=NOW + 11)
            await change_one(store, job.id, Cancelled(token), now=NOW + 12)
            history = await store.events({job.id: -1})
            assert [(event.number, event.at - NOW, event.kind) for event in history] == [
                (0, 0, "accepted"),
                (1, 1, "claimed"),
                (2, 2, "progress"),
                (3, 3, "retry"),
                (4, 10, "claimed"),
                (5, 11, "cancelling"),
                (6, 12, "cancelled"),
            ]
            assert {event.job for event in history} == {job.id}
            assert history[1].data == {"attempt": 1, "worker": "worker 1"}
            assert history[3].data["error"]["message"] == "why"
            assert await store.events({job.id: 4}) == history[5:]
            assert await store.events({job.id: 6}) == []

        run_open(store, scenario)

    def test_history_stays_complete_when_many_change_one_job(self, store: Store) -> None:
        job = make_job()

        async def scenario() -> None:
            await store.accept([job])
            token = token_of(await claim_one(store))
            await asyncio.gather(
                *(
                    change_one(store, job.id, Advance(token, Progress(n)), now=NOW)
                    for n in range(40)
                )
            )
            assert [event.number for event in await store.events({job.id: -1})] == [*range(42)]
            assert (await one(store, job)).version == 41

        run_open(store, scenario)

    def test_what_is_answered_stays_when_the_store_is_closed(self, store: Store) -> None:
        job = make_job()

        async def accept() -> None:
            await store.accept([job])

        async def look() -> None:
            assert await store.get([job.id]) == [job]
            assert await kinds_of(store, job) == ["accepted"]

        run_open(store, accept)
        run_open(store, look)
