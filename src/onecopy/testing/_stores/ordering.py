"""Jobs of one ordering key: one at a time, in the order of their acceptance."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from onecopy.jobs import (
    Cancel,
    Cancelled,
    Change,
    Claim,
    Expire,
    Fail,
    Failure,
    Job,
    Lease,
    NotAllowed,
    Release,
    Requeue,
    Succeed,
    accepted,
    new_id,
)
from onecopy.stores import Filter, Store, change_one
from onecopy.stores.base import Importing, QueueFull, Record
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

_ORDER = ("default", "customer 7")


def _of_key(**given: Any) -> Job:  # noqa: ANN401 - any field of a job
    return make_job(ordering_key="customer 7", **given)


async def _claim(store: Store, *, now: float = NOW, limit: int = 99) -> list[Job]:
    return await store.claim("worker 1", ["default"], now=now, until=now + 30, limit=limit)


async def _held(store: Store) -> list[str]:
    return ids_of([job for job in reversed(await store.find(Filter(limit=1000))) if job.held])


async def _succeed(store: Store, job: Job) -> None:
    await change_one(store, job.id, Succeed(token_of(job), "1"), now=NOW)


class Ordering:
    shared_by_processes: ClassVar[bool]

    def test_one_at_a_time_in_the_order_of_acceptance(self, store: Store) -> None:
        jobs = [_of_key(priority=n, due_at=NOW - n) for n in range(5)]

        async def scenario() -> None:
            await store.accept(jobs[:3])
            await store.accept(jobs[3:])
            for place, job in enumerate(jobs):
                assert await _held(store) == ids_of(jobs[place + 1 :])
                assert ids_of(await store.in_turn([_ORDER])) == [job.id]
                assert ids_of(await store.due(["default"], now=NOW, limit=9)) == [job.id]
                (claimed,) = await _claim(store)
                assert claimed.id == job.id
                assert await _claim(store) == []
                assert await store.next_due(["default"]) is None
                await _succeed(store, claimed)
            assert await store.in_turn([_ORDER]) == []

        run_open(store, scenario)

    def test_others_are_not_held_up(self, store: Store) -> None:
        first, second = _of_key(), _of_key()
        others = [
            make_job(ordering_key="customer 8"),
            make_job(),
            _of_key(queue="slow"),
            make_job(task="send", ordering_key="customer 9"),
        ]

        async def scenario() -> None:
            await store.accept([first, second, *others])
            claimed = await store.claim("w", ["default", "slow"], now=NOW, until=NOW + 9, limit=99)
            assert sorted(ids_of(claimed)) == sorted(ids_of([first, *others]))
            assert await _held(store) == [second.id]

        run_open(store, scenario)

    def test_it_comes_back_as_it_was_accepted(self, store: Store) -> None:
        jobs = [_of_key(), _of_key(arguments='{"a": "' + "x" * 5000 + '"}', idempotency_key="k")]

        async def scenario() -> None:
            await store.accept(jobs)
            assert (await one(store, jobs[1])).arguments == jobs[1].arguments
            await change_one(store, jobs[0].id, Cancel(), now=NOW)
            assert await one(store, jobs[1]) == jobs[1]

        run_open(store, scenario)

    def test_tries_delays_and_releases_hold_up_those_behind(self, store: Store) -> None:
        first, second = _of_key(due_at=NOW + 5, max_attempts=2), _of_key()

        async def scenario() -> None:
            await store.accept([first, second])
            assert await _claim(store) == []
            assert await store.next_due(["default"]) == NOW + 5
            claimed = await claim_one(store, now=NOW + 5)
            await change_one(store, first.id, Release(token_of(claimed)), now=NOW + 5)
            claimed = await claim_one(store, now=NOW + 5)
            again = Fail(token_of(claimed), Failure("E", ""), NOW + 9)
            await change_one(store, first.id, again, now=NOW + 5)
            assert await _claim(store, now=NOW + 8) == []
            assert await store.next_due(["default"]) == NOW + 9
            assert (await claim_one(store, now=NOW + 9)).id == first.id

        run_open(store, scenario)

    @pytest.mark.parametrize("end", ["failed", "cancelled", "cancelled queued", "expired"])
    def test_however_one_ends_the_next_may_go(self, store: Store, end: str) -> None:
        jobs = [_of_key(expires_at=NOW + 1 if end == "expired" else None), _of_key(), _of_key()]

        async def scenario() -> None:
            await store.accept(jobs)
            await self._end(store, jobs[0], end)
            assert (await one(store, jobs[0])).final
            assert await _held(store) == [jobs[2].id]
            assert ids_of(await _claim(store, now=NOW + 2)) == [jobs[1].id]

        run_open(store, scenario)

    async def _end(self, store: Store, job: Job, end: str) -> None:
        changes: list[Change]
        if end == "expired":
            changes = [Expire()]
        elif end == "cancelled queued":
            changes = [Cancel()]
        else:
            token = token_of(await claim_one(store))
            failed = [Fail(token, Failure("E", ""))]
            changes = [Cancel(), Cancelled(token)] if end == "cancelled" else [*failed]
        for change in changes:
            await change_one(store, job.id, change, now=NOW + 1)

    def test_a_held_job_can_be_cancelled_and_expires(self, store: Store) -> None:
        first, cancelled, late, last = _of_key(), _of_key(), _of_key(expires_at=NOW + 1), _of_key()

        async def scenario() -> None:
            await store.accept([first, cancelled, late, last])
            claimed = await claim_one(store)
            await change_one(store, cancelled.id, Cancel(), now=NOW)
            assert ids_of(await store.overdue(now=NOW + 1)) == [late.id]
            assert ids_of(await store.overdue(now=NOW + 1, limit=1)) == [late.id]
            await change_one(store, late.id, Expire(), now=NOW + 1)
            assert not (await one(store, late)).held
            await _succeed(store, claimed)
            assert ids_of(await _claim(store)) == [last.id]

        run_open(store, scenario)

    def test_a_held_job_cannot_be_claimed_by_its_id(self, store: Store) -> None:
        first, second = _of_key(), _of_key()

        async def scenario() -> None:
            await store.accept([first, second])
            claim = Claim(Lease("t", "worker 2", NOW + 30))
            with pytest.raises(NotAllowed, match="held"):
                await change_one(store, second.id, claim, now=NOW)
            await change_one(store, first.id, Cancel(), now=NOW)
            claimed = await change_one(store, second.id, claim, now=NOW)
            assert claimed.status == "running"

        run_open(store, scenario)

    def test_a_requeued_job_takes_its_place_again(self, store: Store) -> None:
        jobs = [_of_key() for _ in range(3)]

        async def scenario() -> None:
            await store.accept(jobs)
            for job in jobs[:2]:
                await change_one(store, job.id, Cancel(), now=NOW)
            await change_one(store, jobs[1].id, Requeue(), now=NOW)
            assert ids_of(await store.in_turn([_ORDER])) == [jobs[1].id]
            claimed = await claim_one(store)
            await change_one(store, jobs[0].id, Requeue(), now=NOW)
            assert await _held(store) == [jobs[0].id, jobs[2].id]
            assert await _claim(store) == []
            await change_one(store, claimed.id, Release(token_of(claimed)), now=NOW)
            for job in jobs:
                claimed = await claim_one(store)
                assert claimed.id == job.id
                await _succeed(store, claimed)

        run_open(store, scenario)

    def test_several_changes_of_one_call(self, store: Store) -> None:
        jobs = [_of_key() for _ in range(5)]

        async def scenario() -> None:
            await store.accept(jobs)
            claimed = await claim_one(store)
            changes: Sequence[tuple[str, Change]] = [
                (jobs[0].id, Succeed(token_of(claimed), "1")),
                (jobs[1].id, Cancel()),
                (jobs[3].id, Cancel()),
            ]
            await store.change(changes, now=NOW)
            assert ids_of(await store.in_turn([_ORDER])) == [jobs[2].id]
            assert await _held(store) == [jobs[4].id]

        run_open(store, scenario)

    def test_held_jobs_are_queued_jobs(self, store: Store) -> None:
        jobs = [_of_key(due_at=NOW - n) for n in range(3)]

        async def scenario() -> None:
            await store.accept(jobs, max_queued=3)
            with pytest.raises(QueueFull):
                await store.accept([make_job()], max_queued=3)
            assert len(await store.find(Filter(statuses=["queued"]))) == 3
            assert len(await store.find(Filter(statuses=["queued", "running"]))) == 3
            (stats,) = await store.stats()
            assert (stats.counts, stats.oldest) == ({"queued": 3}, NOW)
            await _claim(store)
            (stats,) = await store.stats()
            assert (stats.counts, stats.oldest) == ({"queued": 2, "running": 1}, None)
            assert await store.prune(now=NOW + 1e9) == 0

        run_open(store, scenario)

    def test_a_repeated_request_holds_nothing(self, store: Store) -> None:
        first, again = (_of_key(idempotency_key="k", fingerprint="f") for _ in range(2))

        async def scenario() -> None:
            await store.accept([first, again])
            await store.accept([again])
            assert ids_of(await store.find(Filter())) == [first.id]
            await change_one(store, first.id, Cancel(), now=NOW)
            await store.accept([last := _of_key()])
            assert ids_of(await store.in_turn([_ORDER])) == [last.id]

        run_open(store, scenario)

    def test_the_next_may_go_once_the_one_before_is_forgotten_too(self, store: Store) -> None:
        first, second = _of_key(keep=0), _of_key()

        async def scenario() -> None:
            await store.accept([first])
            await change_one(store, first.id, Cancel(), now=NOW)
            assert await store.prune(now=NOW + 1) == 1
            await store.accept([second])
            assert ids_of(await _claim(store)) == [second.id]

        run_open(store, scenario)

    def test_what_another_store_has_keeps_its_order(self, store: Store) -> None:
        jobs = [_of_key() for _ in range(3)]
        lease = Lease("token", "worker 9", NOW + 30)
        running = [Record(_claimed(jobs[0], lease), [accepted(jobs[0])])]
        held = [Record(replace(job, held=True), [accepted(job)]) for job in jobs[1:]]

        async def scenario() -> None:
            assert isinstance(store, Importing)
            await store.put_jobs(running + held)
            assert await _held(store) == ids_of(jobs[1:])
            assert await _claim(store) == []
            await change_one(store, jobs[0].id, Succeed("token", "1"), now=NOW)
            assert ids_of(await _claim(store)) == [jobs[1].id]

        run_open(store, scenario)

    def test_many_of_many_keys_at_once(self, store: Store) -> None:
        """Accepted and run by several event loops at a time, each call by itself."""
        begun: list[str] = []
        running: set[str | None] = set()

        async def run(claimed: Sequence[Job]) -> None:
            for job in claimed:
                assert job.ordering_key not in running
                running.add(job.ordering_key)
                begun.append(job.id)
            await asyncio.sleep(0.002)
            for job in claimed:
                running.discard(job.ordering_key)
                await _succeed(store, job)

        async def work(number: int) -> None:
            await asyncio.gather(*(store.accept([_numbered(number, n)]) for n in range(12)))
            while await store.find(Filter(statuses=["queued", "running"], limit=1)):
                await run(await _claim(store, limit=2))

        async def scenario() -> None:
            works = (asyncio.to_thread(asyncio.run, work(number)) for number in range(3))
            await asyncio.gather(*works)
            order = ids_of(await store.find(Filter()))[::-1]
            for key in range(3):
                mine = [job for job in begun if job.startswith(f"{key} ")]
                assert mine == [job for job in order if job.startswith(f"{key} ")]

        run_open(store, scenario)

    def test_an_end_and_an_acceptance_at_one_time(self, store: Store) -> None:
        """Neither sees the other's: still nobody is held with nobody before him."""

        async def accept() -> None:
            await store.accept([_of_key()])

        async def scenario() -> None:
            await accept()
            for _ in range(25):
                claimed = await claim_one(store)
                accepting = asyncio.to_thread(asyncio.run, accept())
                await asyncio.gather(accepting, _succeed(store, claimed))
                assert await _held(store) == []

        run_open(store, scenario)

    def test_processes_share_the_order(self, store: Store) -> None:
        if not self.shared_by_processes:
            pytest.skip("a store of one process")
        jobs = [_numbered(n % 2, n) for n in range(40)]

        async def drain() -> list[str]:
            begun: list[str] = []
            while await store.find(Filter(statuses=["queued", "running"], limit=1)):
                for job in await _claim(store, limit=1):
                    begun.append(job.id)
                    await _succeed(store, job)
            return begun

        async def scenario() -> None:
            await store.accept(jobs)
            children = [Child(lambda: asyncio.run(drain())) for _ in range(2)]
            all_of = [await drain()]
            all_of += [await asyncio.to_thread(child.result) for child in children]
            assert sorted(itertools.chain(*all_of)) == sorted(ids_of(jobs))
            for begun in all_of:
                _must_be_in_order(begun)

        run_open(store, scenario)


def _must_be_in_order(begun: Sequence[str]) -> None:
    for key in "01":
        numbers = [int(job.split()[1]) for job in begun if job.startswith(f"{key} ")]
        assert numbers == sorted(numbers)


def _numbered(key: int, number: int) -> Job:
    return make_job(id=f"{key} {number} {new_id()}", ordering_key=f"key {key}")


def _claimed(job: Job, lease: Lease) -> Job:
    return replace(job, status="running", attempt=1, started_at=NOW, lease=lease, version=1)
