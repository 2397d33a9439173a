"""What sweepers and people ask for."""

import asyncio

import pytest
from msgspec.structs import replace

from onecopy.jobs import (
    Cancel,
    Expire,
    Fail,
    Failure,
    Job,
    Requeue,
    Status,
    Succeed,
)
from onecopy.stores import Filter, Store, change_one
from onecopy.testing._stores.jobs import (
    NOW,
    claim_one,
    ids_of,
    make_job,
    one,
    run_open,
    token_of,
)


class Sweeping:
    def test_extending_lengthens_the_leases_of_workers(self, store: Store) -> None:
        async def scenario() -> None:
            await store.accept([make_job() for _ in range(4)])
            for worker in "aabc":
                await claim_one(store, worker=worker)
            before = {job.id: job for job in await store.find(Filter())}
            await store.extend(["a", "c", "nobody"], until=NOW + 60)
            await store.extend(["a"], until=NOW + 5)
            await store.extend([], until=NOW + 99)
            for job in await store.find(Filter()):
                assert job.lease is not None
                assert job.lease.until == NOW + (30 if job.lease.worker == "b" else 60)
                lease = replace(job.lease, until=NOW + 30)
                assert replace(job, lease=lease) == before[job.id]
                assert len(await store.events({job.id: -1})) == 2

        run_open(store, scenario)

    def test_overdue_are_lost_attempts_and_expired_jobs(self, store: Store) -> None:
        lost, alive, expired = make_job(), make_job(), make_job(expires_at=NOW + 10)

        async def scenario() -> None:
            await store.accept([lost, alive])
            await store.claim("dead", ["default"], now=NOW, until=NOW + 10)
            await store.claim("alive", ["default"], now=NOW, until=NOW + 11)
            await store.accept([expired, make_job(expires_at=NOW + 11), make_job()])
            assert await store.overdue(now=NOW + 9) == []
            overdue = await store.overdue(now=NOW + 10)
            assert sorted(ids_of(overdue)) == sorted([lost.id, expired.id])
            assert len(await store.overdue(now=NOW + 10, limit=1)) == 1
            await change_one(store, expired.id, Expire(), now=NOW + 10)
            (left,) = await store.overdue(now=NOW + 10)
            assert left == await one(store, lost)

        run_open(store, scenario)

    def test_running_are_the_jobs_of_a_worker(self, store: Store) -> None:
        async def scenario() -> None:
            await store.accept([make_job() for _ in range(3)])
            mine = [await claim_one(store, worker="a") for _ in range(2)]
            await claim_one(store, worker="b")
            assert sorted(ids_of(await store.running("a"))) == sorted(ids_of(mine))
            await change_one(store, mine[0].id, Succeed(token_of(mine[0]), "1"), now=NOW)
            assert await store.running("a") == [mine[1]]
            assert await store.running("c") == []

        run_open(store, scenario)

    def test_what_is_due_is_what_a_claim_would_begin(self, store: Store) -> None:
        async def scenario() -> None:
            jobs = [
                make_job(due_at=NOW - 5),
                make_job(due_at=NOW + 7),
                make_job(priority=1, due_at=NOW - 1),
                make_job(queue="other"),
                make_job(task="another"),
                make_job(expires_at=NOW),
            ]
            await store.accept(jobs)
            queues = ["other", "default"]
            due = await store.due(queues, now=NOW, limit=10, without=["another"])
            assert ids_of(due) == [jobs[i].id for i in (3, 2, 0)]
            assert await store.due(queues, now=NOW, limit=2, without=["another"]) == due[:2]
            assert all(job.status == "queued" for job in await store.get([job.id for job in due]))
            claimed = await store.claim("worker", queues, now=NOW, until=NOW + 9, limit=10)
            assert ids_of(claimed) == [jobs[i].id for i in (3, 2, 0, 4)]
            assert await store.due(queues, now=NOW, limit=10) == []

        run_open(store, scenario)

    def test_next_due_is_the_first_of_the_queues(self, store: Store) -> None:
        async def scenario() -> None:
            assert await store.next_due(["default"]) is None
            jobs = [
                make_job(due_at=NOW + 9, priority=3),
                make_job(due_at=NOW + 7),
                make_job(due_at=NOW + 8, priority=-3),
                make_job(due_at=NOW - 5, queue="other"),
            ]
            await store.accept(jobs)
            assert await store.next_due(["default"]) == NOW + 7
            assert await store.next_due(["default", "other"]) == NOW - 5
            assert await store.next_due(["none"]) is None
            assert await store.next_due([]) is None
            await change_one(store, jobs[1].id, Cancel(), now=NOW)
            assert await store.next_due(["default"]) == NOW + 8

        run_open(store, scenario)

    def test_pruning_forgets_final_jobs_whose_time_is_over(self, store: Store) -> None:
        old, kept = make_job(keep=10, idempotency_key="k"), make_job(keep=11)
        queued, again = make_job(keep=0), make_job(idempotency_key="k", fingerprint="other")

        async def scenario() -> None:
            await store.accept([old, kept, queued])
            for job in (old, kept):
                await change_one(store, job.id, Cancel(), now=NOW)
            assert await store.prune(now=NOW + 9) == 0
            assert await store.prune(now=NOW + 10) == 1
            assert await store.get([old.id]) == []
            assert await store.events({old.id: -1}) == []
            assert len(await store.find(Filter())) == 2
            assert await store.accept([again]) == [again]
            await change_one(store, kept.id, Requeue(), now=NOW + 10)
            assert await store.prune(now=NOW + 99) == 0

        run_open(store, scenario)

    def test_pruning_many(self, store: Store) -> None:
        jobs = [make_job(keep=0) for _ in range(350)]

        async def scenario() -> None:
            await store.accept(jobs)
            await asyncio.gather(*(change_one(store, job.id, Cancel(), now=NOW) for job in jobs))
            assert await store.prune(now=NOW, limit=220) == 220
            assert len(await store.find(Filter(limit=999))) == 130
            assert await store.prune(now=NOW) == 130
            assert await store.prune(now=NOW) == 0
            assert await store.stats() == []

        run_open(store, scenario)

    def test_forgetting_by_id_takes_what_is_final_alone(self, store: Store) -> None:
        cancelled, queued, kept = make_job(), make_job(), make_job()

        async def scenario() -> None:
            await store.accept([cancelled, queued, kept])
            for job in (cancelled, kept):
                await change_one(store, job.id, Cancel(), now=NOW)
            these = [cancelled.id, queued.id, "unknown", cancelled.id]
            assert await store.forget(these) == 1
            assert {job.id for job in await store.find(Filter())} == {queued.id, kept.id}
            assert await store.events({cancelled.id: -1}) == []
            (stats,) = await store.stats()
            assert stats.counts == {"queued": 1, "cancelled": 1}
            assert await store.forget([]) == 0

        run_open(store, scenario)


class Looking:
    def test_finding_by_each_condition(self, store: Store) -> None:
        a = make_job(created_at=NOW + 1)
        b = make_job(created_at=NOW + 2, task="send")
        c = make_job(created_at=NOW + 3, queue="slow")
        d = make_job(created_at=NOW + 4, task="send", queue="slow")

        async def scenario() -> None:
            for job in (a, b, c, d):
                await store.accept([job])
            await change_one(store, b.id, Cancel(), now=NOW)
            await claim_one(store)
            wanted: list[tuple[Filter, list[Job]]] = [
                (Filter(), [d, c, b, a]),
                (Filter(statuses=["queued"]), [d, c]),
                (Filter(statuses=["cancelled", "running"]), [b, a]),
                (Filter(statuses=["failed"]), []),
                (Filter(task="send"), [d, b]),
                (Filter(queue="slow"), [d, c]),
                (Filter(queue="slow", task="resize"), [c]),
                (Filter(created_after=NOW + 2), [d, c]),
                (Filter(created_before=NOW + 2), [a]),
                (Filter(created_after=NOW + 1, created_before=NOW + 4), [c, b]),
                (Filter(limit=2), [d, c]),
                (Filter(limit=2, older_than=c.id), [b, a]),
                (Filter(task="send", older_than=d.id), [b]),
            ]
            for which, expected in wanted:
                assert ids_of(await store.find(which)) == ids_of(expected), which

        run_open(store, scenario)

    def test_pages_hold_every_job_once_while_others_are_accepted(self, store: Store) -> None:
        jobs = [make_job(created_at=NOW + n) for n in range(95)]

        async def scenario() -> None:
            await store.accept(jobs)
            seen: list[str] = []
            while page := await store.find(Filter(limit=10, older_than=seen[-1] if seen else None)):
                seen += ids_of(page)
                await store.accept([make_job(created_at=NOW + 100)])
            assert seen == ids_of(jobs)[::-1]
            with pytest.raises(KeyError):
                await store.find(Filter(older_than="unknown"))

        run_open(store, scenario)

    def test_stats_by_queue_and_task(self, store: Store) -> None:
        async def scenario() -> None:
            assert await store.stats() == []
            await store.accept([make_job(max_attempts=2) for _ in range(4)])
            await store.accept([make_job(task="send", due_at=NOW + 50)])
            await store.accept([make_job(queue="slow", due_at=NOW + n) for n in (8, 7)])
            for wait, run in ((2, 10), (4, 30)):
                job = await claim_one(store, now=NOW + wait)
                await change_one(store, job.id, Succeed(token_of(job), "1"), now=NOW + wait + run)
            job = await claim_one(store, now=NOW + 40)
            await change_one(
                store, job.id, Fail(token_of(job), Failure("E", "e"), NOW + 60), now=NOW + 41
            )
            await change_one(store, job.id, Cancel(), now=NOW + 42)
            await claim_one(store, now=NOW + 43)

            stats = {(each.queue, each.task): each for each in await store.stats()}
            assert set(stats) == {("default", "resize"), ("default", "send"), ("slow", "resize")}
            resize = stats["default", "resize"]
            expected: dict[Status, int] = {"succeeded": 2, "cancelled": 1, "running": 1}
            assert resize.counts == expected
            assert (resize.wait, resize.run, resize.oldest) == (3, 20, None)
            send = stats["default", "send"]
            assert send.counts == {"queued": 1}
            assert (send.wait, send.run, send.oldest) == (None, None, NOW + 50)
            assert stats["slow", "resize"].oldest == NOW + 7

        run_open(store, scenario)
