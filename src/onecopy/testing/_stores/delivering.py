"""Webhooks on their way: recorded with outcomes, taken, tried, disabled, found, forgotten."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from onecopy.deliveries import (
    Change,
    Delivery,
    GiveBack,
    Replay,
    Take,
    Tried,
    Try,
    apply,
    payload,
)
from onecopy.jobs import (
    Cancel,
    Cancelled,
    Expire,
    Fail,
    Failure,
    Job,
    Lose,
    NotAllowed,
    Release,
    Requeue,
    Succeed,
)
from onecopy.jobs import Change as JobChange
from onecopy.stores import DeliveryFilter, Store, change_one
from onecopy.testing._stores.jobs import (
    NOW,
    ODD_TEXT,
    claim_one,
    make_job,
    one,
    run_open,
    token_of,
)

A, B = "https://a.example/hook", "https://b.example:8443/hook?x=1"
_A, _B = "a.example", "b.example:8443"


def _told(urls: Sequence[str] = (A,), **given: Any) -> Job:  # noqa: ANN401  any field of a job
    return make_job(callbacks=tuple(urls), **given)


async def _of(store: Store, job: Job) -> list[Delivery]:
    found = await store.deliveries.find(DeliveryFilter(job=job.id))
    return list(reversed(found))


async def _ended(store: Store, urls: Sequence[str] = (A,), *, at: float = NOW) -> list[Delivery]:
    """Return the deliveries of a job that was cancelled."""
    job = _told(urls)
    await store.accept([job])
    await change_one(store, job.id, Cancel(), now=at)
    return await _of(store, job)


async def _take_one(store: Store, receiver: str = _A, *, now: float = NOW) -> Delivery:
    (taken,) = await store.deliveries.take({receiver: 1}, now=now, until=now + 30)
    return taken


def _token(delivery: Delivery) -> str:
    assert delivery.token is not None
    return delivery.token


def _tried(delivery: Delivery, status_code: int | None, retry_at: float = NOW + 5) -> Tried:
    error = None if status_code == 200 else ODD_TEXT
    return Tried(_token(delivery), Try(NOW, status_code, error, 0.25), retry_at)


def _fail(delivery: Delivery) -> Change:
    return _tried(delivery, 500, NOW)


class Delivering:
    def test_each_way_to_become_final_records_a_delivery_for_each_callback(
        self, store: Store
    ) -> None:
        failure = Failure("ValueError", ODD_TEXT, "Traceback\n")
        ways: list[Callable[[str], list[JobChange]]] = [
            lambda token: [Succeed(token, json.dumps({"text": ODD_TEXT}))],
            lambda token: [Fail(token, failure)],
            lambda token: [Lose(token, failure)],
            lambda token: [Cancel(), Cancelled(token)],
            lambda token: [Cancel(), Release(token)],
            lambda token: [Cancel(), Fail(token, failure)],
        ]

        async def walk(way: Callable[[str], list[JobChange]]) -> None:
            job = _told([A, B])
            await store.accept([job])
            token = token_of(await claim_one(store))
            for change in way(token):
                assert await _of(store, job) == []
                await change_one(store, job.id, change, now=NOW + 31)
            await check(job)

        async def check(job: Job) -> None:
            found = await _of(store, job)
            ended = await one(store, job)
            assert [each.url for each in found] == [A, B]
            assert len({each.id for each in found}) == 2
            for each in found:
                assert each.payload == payload(ended)
                assert (each.job, each.status, each.tries) == (job.id, "pending", 0)
                assert (each.created_at, each.due_at) == (NOW + 31, NOW + 31)

        async def scenario() -> None:
            for way in ways:
                await walk(way)
            for job, change in (
                (_told([A, B]), Cancel()),
                (_told([A, B], expires_at=NOW), Expire()),
            ):
                await store.accept([job])
                await change_one(store, job.id, change, now=NOW + 31)
                await check(job)

        run_open(store, scenario)

    def test_nothing_is_recorded_for_anything_else(self, store: Store) -> None:
        told, plain = _told(max_attempts=2), make_job()

        async def scenario() -> None:
            await store.accept([told, plain])
            for _ in range(2):
                job = await claim_one(store)
                failed = Fail(token_of(job), Failure("E", "e"), NOW if job.id == told.id else None)
                await change_one(store, job.id, failed, now=NOW)
            await change_one(store, told.id, Cancel(), now=NOW)
            await change_one(store, told.id, Cancel(), now=NOW)
            assert len(await _of(store, told)) == 1
            assert await _of(store, plain) == []

        run_open(store, scenario)

    def test_a_job_that_is_run_again_tells_its_second_end_too(self, store: Store) -> None:
        job = _told()

        async def scenario() -> None:
            await store.accept([job])
            await change_one(store, job.id, Cancel(), now=NOW)
            await change_one(store, job.id, Requeue(), now=NOW)
            claimed = await claim_one(store)
            await change_one(store, job.id, Succeed(token_of(claimed), "1"), now=NOW)
            first, second = await _of(store, job)
            assert first.id != second.id
            assert '"job.cancelled"' in first.payload
            assert '"job.succeeded"' in second.payload

        run_open(store, scenario)

    def test_receivers_that_something_is_due_for(self, store: Store) -> None:
        async def scenario() -> None:
            assert await store.deliveries.due(now=NOW) == []
            for at in (NOW + 2, NOW + 3):
                await _ended(store, [A], at=at)
            await _ended(store, [B], at=NOW + 1)
            assert await store.deliveries.due(now=NOW) == []
            assert await store.deliveries.due(now=NOW + 1) == [_B]
            assert await store.deliveries.due(now=NOW + 3) == [_B, _A]
            assert await store.deliveries.due(now=NOW + 3, limit=1) == [_B]
            await store.deliveries.take({_B: 9}, now=NOW + 3, until=NOW + 9)
            assert await store.deliveries.due(now=NOW + 3) == [_A]
            assert await store.deliveries.due(now=NOW + 9) == [_A, _B]

        run_open(store, scenario)

    def test_taking_the_longest_due_first_and_no_more_than_was_asked_for(
        self, store: Store
    ) -> None:
        async def scenario() -> None:
            (late,) = await _ended(store, at=NOW + 3)
            (soon,) = await _ended(store, at=NOW + 1)
            (middle,) = await _ended(store, at=NOW + 2)
            (other,) = await _ended(store, [B])
            deliveries = store.deliveries
            assert await deliveries.take({}, now=NOW + 9, until=NOW + 30) == []
            assert await deliveries.take({"c.example": 5}, now=NOW + 9, until=NOW + 30) == []
            first = await deliveries.take({_A: 2}, now=NOW + 9, until=NOW + 30)
            assert [each.id for each in first] == [soon.id, middle.id]
            rest = await deliveries.take({_A: 5, _B: 5}, now=NOW + 9, until=NOW + 30)
            assert sorted(each.id for each in rest) == sorted([late.id, other.id])
            assert len({_token(each) for each in first + rest}) == 4
            for each in first + rest:
                assert each.due_at == NOW + 30
                assert (await deliveries.get(each.id)) == (each, [])

        run_open(store, scenario)

    def test_every_change_is_as_the_state_machine_says(self, store: Store) -> None:
        walks: list[list[Callable[[Delivery], Change]]] = [
            [lambda it: _tried(it, 200)],
            [lambda it: _tried(it, None), lambda it: _tried(it, 503), lambda it: _tried(it, 204)],
            [lambda it: GiveBack(_token(it)), lambda it: _tried(it, 200), lambda _: Replay()],
            [*[_fail] * 10, lambda _: Replay()],
        ]

        async def walk(steps: Sequence[Callable[[Delivery], Change]]) -> None:
            (delivery,) = await _ended(store)
            tries: list[Try] = []
            for number, step in enumerate(steps):
                now = NOW + number * 10
                if delivery.status == "pending":
                    delivery = await _take_one(store, now=now)
                change = step(delivery)
                expected = apply(delivery, change, now)
                if isinstance(change, Tried):
                    tries.append(change.outcome)
                assert await store.deliveries.change(delivery.id, change, now=now) == expected
                assert await store.deliveries.get(delivery.id) == (expected, tries)
                delivery = expected

        async def scenario() -> None:
            for steps in walks:
                await walk(steps)
                # Out of the way of the next one.
                for left in await store.deliveries.take({_A: 9}, now=NOW + 999, until=NOW + 9999):
                    await store.deliveries.change(left.id, _tried(left, 200), now=NOW + 999)

        run_open(store, scenario)

    def test_what_was_taken_is_taken_again_once_its_time_is_over(self, store: Store) -> None:
        """Whoever took it was killed, or so slow that others had to think so."""

        async def scenario() -> None:
            await _ended(store)
            first = await _take_one(store)
            nothing = await store.deliveries.take({_A: 1}, now=NOW + 29.9, until=NOW + 99)
            assert nothing == []
            second = await _take_one(store, now=NOW + 30)
            assert (second.id, second.payload) == (first.id, first.payload)
            for late in (_tried(first, 200), GiveBack(_token(first))):
                with pytest.raises(NotAllowed):
                    await store.deliveries.change(first.id, late, now=NOW + 31)
            with pytest.raises(NotAllowed):
                await store.deliveries.change(first.id, Take("t", NOW + 99), now=NOW + 31)
            assert await store.deliveries.get(first.id) == (second, [])
            await store.deliveries.change(second.id, _tried(second, 200), now=NOW + 32)

        run_open(store, scenario)

    def test_each_delivery_is_taken_once_however_many_take(self, store: Store) -> None:
        jobs = [_told([A, B]) for _ in range(40)]

        async def scenario() -> None:
            await store.accept(jobs)
            await asyncio.gather(*(change_one(store, job.id, Cancel(), now=NOW) for job in jobs))
            taken = await asyncio.gather(
                *(store.deliveries.take({_A: 7, _B: 5}, now=NOW, until=NOW + 9) for _ in range(20))
            )
            ids = [each.id for some in taken for each in some]
            assert len(ids) == len(set(ids)) == 80

        run_open(store, scenario)

    def test_410_disables_the_url(self, store: Store) -> None:
        async def scenario() -> None:
            await _ended(store, [A, A + "/other", B])
            await _ended(store)
            gone = await _take_one(store)
            await store.deliveries.change(gone.id, _tried(gone, 410), now=NOW + 1)
            disabled = await store.deliveries.find(DeliveryFilter(statuses=["disabled"]))
            assert [each.url for each in disabled] == [A, A]
            assert {(each.due_at, each.finished_at) for each in disabled} == {(None, NOW + 1)}
            pending = await store.deliveries.find(DeliveryFilter(statuses=["pending"]))
            assert sorted(each.url for each in pending) == [A + "/other", B]
            (later,) = await _ended(store, at=NOW + 2)
            assert (later.status, later.due_at, later.finished_at) == ("disabled", None, NOW + 2)

            again = await store.deliveries.change(later.id, Replay(), now=NOW + 3)
            assert (again.status, again.due_at) == ("pending", NOW + 3)
            (new,) = await _ended(store, at=NOW + 4)
            assert new.status == "pending"

        run_open(store, scenario)

    def test_one_that_is_tried_while_its_url_is_disabled(self, store: Store) -> None:
        async def scenario() -> None:
            await _ended(store)
            await _ended(store)
            slow, gone = await store.deliveries.take({_A: 2}, now=NOW, until=NOW + 30)
            await store.deliveries.change(gone.id, _tried(gone, 410), now=NOW)
            with pytest.raises(NotAllowed):
                await store.deliveries.change(slow.id, _tried(slow, 200), now=NOW)

        run_open(store, scenario)

    def test_unknown_deliveries(self, store: Store) -> None:
        async def scenario() -> None:
            with pytest.raises(KeyError):
                await store.deliveries.change("msg_unknown", Replay(), now=NOW)
            with pytest.raises(KeyError):
                await store.deliveries.get("msg_unknown")
            with pytest.raises(KeyError):
                await store.deliveries.find(DeliveryFilter(older_than="msg_unknown"))

        run_open(store, scenario)

    def test_finding_deliveries_by_each_condition(self, store: Store) -> None:
        async def scenario() -> None:
            a, b = await _ended(store, [A, B], at=NOW + 1)
            (c,) = await _ended(store, [A], at=NOW + 2)
            (d,) = await _ended(store, [B], at=NOW + 3)
            taken = await _take_one(store, _B, now=NOW + 3)
            assert taken.id == b.id
            await store.deliveries.change(b.id, _tried(taken, 200), now=NOW + 3)
            wanted: list[tuple[DeliveryFilter, list[Delivery]]] = [
                (DeliveryFilter(), [d, c, b, a]),
                (DeliveryFilter(statuses=["delivered"]), [b]),
                (DeliveryFilter(statuses=["pending", "failed"]), [d, c, a]),
                (DeliveryFilter(job=a.job), [b, a]),
                (DeliveryFilter(url=B), [d, b]),
                (DeliveryFilter(url=B, job=d.job), [d]),
                (DeliveryFilter(created_after=NOW + 1), [d, c]),
                (DeliveryFilter(created_before=NOW + 3), [c, b, a]),
                (DeliveryFilter(limit=1), [d]),
                (DeliveryFilter(limit=2, older_than=d.id), [c, b]),
                (DeliveryFilter(older_than=a.id), []),
            ]
            for which, expected in wanted:
                found = await store.deliveries.find(which)
                assert [each.id for each in found] == [each.id for each in expected], which

        run_open(store, scenario)

    def test_deliveries_go_with_their_job_unless_they_are_pending(self, store: Store) -> None:
        job = _told([A, B], keep=10)

        async def scenario() -> None:
            await store.accept([job])
            await change_one(store, job.id, Cancel(), now=NOW)
            done = await _take_one(store)
            await store.deliveries.change(done.id, _tried(done, 200), now=NOW)
            assert await store.prune(now=NOW + 10) == 1
            (left,) = await _of(store, job)
            assert (left.url, left.status) == (B, "pending")
            assert await store.deliveries.prune(now=NOW + 999) == 0

            taken = await _take_one(store, _B, now=NOW + 100)
            await store.deliveries.change(taken.id, _tried(taken, 200), now=NOW + 100)
            assert await store.deliveries.prune(now=NOW + 109) == 0
            assert await store.deliveries.prune(now=NOW + 110) == 1
            assert await _of(store, job) == []

        run_open(store, scenario)

    def test_forgetting_jobs_forgets_their_deliveries(self, store: Store) -> None:
        async def scenario() -> None:
            (delivery,) = await _ended(store)
            (other,) = await _ended(store, [B])
            for receiver in (_A, _B):
                taken = await _take_one(store, receiver)
                await store.deliveries.change(taken.id, _tried(taken, 200), now=NOW)
            assert await store.forget([delivery.job]) == 1
            with pytest.raises(KeyError):
                await store.deliveries.get(delivery.id)
            assert (await store.deliveries.get(other.id))[0].status == "delivered"

        run_open(store, scenario)
