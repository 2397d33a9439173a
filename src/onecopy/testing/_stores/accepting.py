"""Accepting and claiming."""

import asyncio
import json

import pytest

from onecopy.jobs import (
    Claim,
    Lease,
    Succeed,
    apply,
)
from onecopy.stores import Filter, IdempotencyConflict, QueueFull, Store, change_one
from onecopy.testing._stores.jobs import (
    NOW,
    ODD_TEXT,
    claim_one,
    ids_of,
    kinds_of,
    make_job,
    one,
    run_open,
    token_of,
)


class Accepting:
    def test_a_job_comes_back_as_it_was_accepted(self, store: Store) -> None:
        job = make_job(
            task=ODD_TEXT,
            arguments=json.dumps({"text": ODD_TEXT, "long": "x" * 100_000}, ensure_ascii=False),
            queue=ODD_TEXT,
            priority=-7,
            max_attempts=4,
            created_at=NOW + 1 / 3,
            due_at=NOW + 2 / 3,
            expires_at=NOW + 1e6,
            timeout=0.1,
            keep=1e9,
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            idempotency_key=ODD_TEXT,
            fingerprint="f" * 64,
        )

        async def scenario() -> None:
            assert await store.accept([job]) == [job]
            assert await store.get([job.id]) == [job]

        run_open(store, scenario)

    def test_many_are_answered_in_their_order(self, store: Store) -> None:
        jobs = [make_job() for _ in range(500)]

        async def scenario() -> None:
            assert await store.accept(jobs) == jobs
            assert sorted(ids_of(await store.get(ids_of(jobs)))) == sorted(ids_of(jobs))
            assert await store.accept([]) == []

        run_open(store, scenario)

    def test_a_full_queue_takes_none_of_a_call(self, store: Store) -> None:
        async def scenario() -> None:
            await store.accept([make_job(), make_job(due_at=NOW + 99)], max_queued=3)
            with pytest.raises(QueueFull):
                await store.accept([make_job(), make_job()], max_queued=3)
            assert len(await store.find(Filter())) == 2
            await store.accept([make_job(queue="other") for _ in range(3)], max_queued=3)
            await store.accept([make_job()], max_queued=3)
            with pytest.raises(QueueFull):
                await store.accept([make_job()], max_queued=3)

        run_open(store, scenario)

    def test_a_running_job_makes_room(self, store: Store) -> None:
        async def scenario() -> None:
            await store.accept([make_job()], max_queued=1)
            await claim_one(store)
            await store.accept([make_job()], max_queued=1)

        run_open(store, scenario)

    def test_a_full_queue_stays_within_its_bound_under_concurrency(self, store: Store) -> None:
        async def scenario() -> None:
            calls = (store.accept([make_job()], max_queued=10) for _ in range(40))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(answer, list) for answer in answers) == 10
            assert sum(isinstance(answer, QueueFull) for answer in answers) == 30
            assert len(await store.find(Filter())) == 10

        run_open(store, scenario)

    def test_a_key_seen_before_returns_its_job(self, store: Store) -> None:
        first = make_job(idempotency_key="order-17", fingerprint="a")
        again = make_job(idempotency_key="order-17", fingerprint="a")
        of_other_task = make_job(task="send", idempotency_key="order-17", fingerprint="b")

        async def scenario() -> None:
            await store.accept([first], max_queued=1)
            assert await store.accept([again], max_queued=1) == [first]
            assert await store.accept([of_other_task]) == [of_other_task]
            claimed = await claim_one(store)
            done = await change_one(store, first.id, Succeed(token_of(claimed), "1"), now=NOW)
            assert await store.accept([again]) == [done]
            assert await store.get([again.id]) == []

        run_open(store, scenario)

    def test_a_key_with_another_fingerprint_is_refused(self, store: Store) -> None:
        first = make_job(idempotency_key="order-17", fingerprint="a")
        other = make_job(idempotency_key="order-17", fingerprint="b")
        beside = make_job()

        async def scenario() -> None:
            await store.accept([first])
            with pytest.raises(IdempotencyConflict):
                await store.accept([beside, other])
            assert await store.get([beside.id, other.id]) == []
            with pytest.raises(IdempotencyConflict):
                await store.accept(
                    [beside, *(make_job(idempotency_key="k", fingerprint=f) for f in "cd")]
                )
            assert await store.get([beside.id]) == []

        run_open(store, scenario)

    def test_the_same_key_twice_in_one_call_is_one_job(self, store: Store) -> None:
        jobs = [make_job(idempotency_key="k", fingerprint="a") for _ in range(2)]

        async def scenario() -> None:
            assert await store.accept(jobs) == [jobs[0], jobs[0]]
            assert await store.find(Filter()) == [jobs[0]]

        run_open(store, scenario)

    def test_accepting_the_same_job_again_changes_nothing(self, store: Store) -> None:
        job = make_job()

        async def scenario() -> None:
            assert await store.accept([job, job]) == [job, job]
            claimed = await claim_one(store)
            assert await store.accept([job]) == [claimed]
            assert await kinds_of(store, job) == ["accepted", "claimed"]

        run_open(store, scenario)

    def test_one_key_accepted_by_many_at_once_is_one_job(self, store: Store) -> None:
        jobs = [make_job(idempotency_key="k", fingerprint="a") for _ in range(50)]

        async def scenario() -> None:
            answers = await asyncio.gather(*(store.accept([job]) for job in jobs))
            (only,) = {answer[0].id for answer in answers}
            assert ids_of(await store.find(Filter())) == [only]
            assert len(await store.events({only: -1})) == 1

        run_open(store, scenario)


class Claiming:
    def test_a_claim_begins_an_attempt(self, store: Store) -> None:
        job = make_job()

        async def scenario() -> None:
            await store.accept([job])
            (claimed,) = await store.claim("worker 1", ["default"], now=NOW + 1, until=NOW + 31)
            lease = Lease(token_of(claimed), "worker 1", NOW + 31)
            assert claimed == apply(job, Claim(lease), NOW + 1)
            assert len(lease.token) >= 16
            assert await one(store, job) == claimed
            assert await store.claim("worker 2", ["default"], now=NOW + 1, until=NOW + 31) == []

        run_open(store, scenario)

    def test_the_order_of_claims(self, store: Store) -> None:
        jobs = {
            "last queue": make_job(queue="slow", priority=100),
            "low": make_job(priority=-1, due_at=NOW - 50),
            "second": make_job(priority=5, due_at=NOW - 1),
            "third": make_job(priority=5, due_at=NOW - 1),
            "first": make_job(priority=5, due_at=NOW - 2),
            "top, not due": make_job(priority=9, due_at=NOW + 1),
            "other queue": make_job(queue="other", priority=9),
        }

        async def scenario() -> None:
            await store.accept([*jobs.values()])
            names: list[str] = []
            for limit in (1, 2, 9):
                claimed = await store.claim(
                    "w", ["default", "slow"], now=NOW, until=NOW + 9, limit=limit
                )
                names += [
                    name for each in claimed for name, job in jobs.items() if job.id == each.id
                ]
            assert names == ["first", "second", "third", "low", "last queue"]

        run_open(store, scenario)

    def test_a_job_is_claimed_once_it_is_due(self, store: Store) -> None:
        jobs = [make_job(due_at=NOW + delay, priority=delay % 3) for delay in range(1, 20)]

        async def scenario() -> None:
            await store.accept(jobs)
            assert await store.claim("w", ["default"], now=NOW, until=NOW, limit=99) == []
            claimed = await store.claim("w", ["default"], now=NOW + 10, until=NOW + 40, limit=99)
            assert {job.due_at for job in claimed} == {NOW + delay for delay in range(1, 11)}

        run_open(store, scenario)

    def test_an_expired_job_is_not_claimed(self, store: Store) -> None:
        late, in_time = make_job(expires_at=NOW + 1), make_job(expires_at=NOW + 2)

        async def scenario() -> None:
            await store.accept([late, in_time])
            assert (await claim_one(store, now=NOW + 1)).id == in_time.id
            assert await store.claim("w", ["default"], now=NOW + 1, until=NOW + 9) == []

        run_open(store, scenario)

    def test_jobs_of_other_tasks_are_passed_over(self, store: Store) -> None:
        bounded = [make_job(task="bounded", priority=n % 3) for n in range(30)]
        later = make_job(due_at=NOW + 5, priority=1)
        others = [make_job(priority=1), make_job(task="send"), later]

        async def scenario() -> None:
            await store.accept([*bounded, *others])
            without = ["bounded", "unknown"]
            assert await store.next_due(["default"], without=[*without, "send"]) == NOW
            claimed = await store.claim(
                "w", ["default"], now=NOW, until=NOW + 9, limit=9, without=without
            )
            assert ids_of(claimed) == ids_of(others[:2])
            assert await store.next_due(["default"], without=without) == NOW + 5
            assert await store.next_due(["default"], without=["bounded", "resize"]) is None
            assert await store.next_due(["default"]) == NOW
            (claimed,) = await store.claim("w", ["default"], now=NOW, until=NOW + 9)
            assert claimed.task == "bounded"

        run_open(store, scenario)

    def test_many_claims_at_once_get_each_job_once(self, store: Store) -> None:
        jobs = [make_job() for _ in range(100)]

        async def scenario() -> None:
            await store.accept(jobs)
            claims = (
                store.claim(f"worker {number}", ["default"], now=NOW, until=NOW + 30, limit=3)
                for number in range(50)
            )
            claimed = [job for some in await asyncio.gather(*claims) for job in some]
            assert sorted(ids_of(claimed)) == sorted(ids_of(jobs))
            assert len({token_of(job) for job in claimed}) == 100

        run_open(store, scenario)
