"""Random calls on a store, compared with the same calls on the pure state machine in memory.

Needs hypothesis. A store's own tests call `check_against_model`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from onecopy.jobs import (
    Advance,
    Cancel,
    Cancelled,
    Change,
    Elsewhere,
    Expire,
    Fail,
    Failure,
    Job,
    Line,
    Log,
    Lose,
    NotAllowed,
    Progress,
    Release,
    Requeue,
    Succeed,
)
from onecopy.stores import Filter, IdempotencyConflict, QueueFull, Store
from onecopy.stores.memory import MemoryStore

_QUEUES: Final = ("default", "slow")
_TASKS: Final = ("resize", "send")
_ORDERS: Final = tuple((queue, key) for queue in _QUEUES for key in "xy")
_WORKERS: Final = ("a", "b")
_REFUSALS: Final = (NotAllowed, QueueFull, IdempotencyConflict)


def _changes(token: str, now: float) -> tuple[Change, ...]:
    return (
        Succeed(token, '"done"'),
        Fail(token, Failure("E", "for good")),
        Fail(token, Failure("E", "once more"), now + 2),
        Lose(token, Failure("E", "gone"), now + 1),
        Release(token),
        Cancelled(token),
        Advance(token, Progress(now, None)),
        Log(token, [Line(now, "INFO", "app", "line")]),
        Elsewhere(token, now + 3),
        Cancel(),
        Expire(),
        Requeue(),
    )


def check_against_model(
    make_store: Callable[[], Store], *, examples: int = 30, shrink: bool = True
) -> None:
    """Run random calls on new stores, `make_store` one for each example.

    Fails with the shortest series of calls that a store answers otherwise than the model; without
    `shrink`, with the first.
    """

    class Comparison(_Comparison):
        def __init__(self) -> None:
            super().__init__(make_store())

    run_state_machine_as_test(
        Comparison,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate] + [Phase.shrink] * shrink,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


class _Comparison(RuleBasedStateMachine):
    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._model = MemoryStore()
        self._runner = asyncio.Runner()
        self._now = 1000.0
        self._known: list[str] = []
        self._runner.run(store.open())

    def teardown(self) -> None:
        self._runner.run(self._store.close())
        self._runner.close()

    @rule(seconds=st.integers(-1, 5))
    def time_passes(self, seconds: int) -> None:
        self._now += seconds

    @rule(data=st.data(), count=st.integers(1, 3), bound=st.none() | st.integers(1, 6))
    def accept(self, data: st.DataObject, count: int, bound: int | None) -> None:
        jobs: list[Job] = []
        for _ in range(count):
            jobs.append(self._job(data))
            self._known.append(jobs[-1].id)
        self._same(lambda store: _held_or_not(store.accept(jobs, max_queued=bound)))

    def _job(self, data: st.DataObject) -> Job:
        draw = data.draw
        return Job(
            id=f"job {len(self._known)}",
            task=draw(st.sampled_from(_TASKS)),
            arguments="{}",
            queue=draw(st.sampled_from(_QUEUES)),
            priority=draw(st.integers(-1, 1)),
            max_attempts=draw(st.integers(1, 3)),
            created_at=self._now,
            due_at=self._now + draw(st.integers(0, 3)),
            expires_at=draw(st.none() | st.integers(1, 6).map(lambda n: self._now + n)),
            keep=draw(st.integers(0, 5)),
            idempotency_key=draw(st.none() | st.sampled_from("kl")),
            fingerprint=draw(st.sampled_from("ffg")),
            ordering_key=draw(st.none() | st.sampled_from("xy")),
        )

    @rule(
        worker=st.sampled_from(_WORKERS),
        queues=st.permutations(_QUEUES).map(tuple) | st.just(("slow",)),
        lease=st.integers(0, 4),
        limit=st.integers(1, 3),
        without=st.lists(st.sampled_from(_TASKS), max_size=1),
    )
    def claim(
        self,
        worker: str,
        queues: Sequence[str],
        lease: int,
        limit: int,
        without: Sequence[str],
    ) -> None:
        now = self._now
        self._same(
            lambda store: store.claim(
                worker, queues, now=now, until=now + lease, limit=limit, without=without
            )
        )

    @precondition(lambda self: bool(self._known))
    @rule(data=st.data(), count=st.integers(1, 3))
    def change(self, data: st.DataObject, count: int) -> None:
        known = st.sampled_from([*self._known, "unknown"])
        drawn = st.tuples(known, st.integers(0, 11), st.integers(0, 4))
        changes = data.draw(st.lists(drawn, min_size=count, max_size=count))

        async def change_in(store: Store) -> list[Job | type[Exception]]:
            found = await store.get([job for job, _, _ in changes])
            tokens = {job.id: job.lease.token for job in found if job.lease is not None}
            answers = await store.change(
                [
                    (job, _changes(tokens.get(job, "") if right else "", self._now)[number])
                    for job, number, right in changes
                ],
                now=self._now,
            )
            return [
                type(each) if isinstance(each, Exception) else replace(each, held=False)
                for each in answers
            ]

        self._same(change_in)

    @rule(workers=st.lists(st.sampled_from(_WORKERS)), seconds=st.integers(0, 6))
    def extend(self, workers: Sequence[str], seconds: int) -> None:
        self._same(lambda store: store.extend(workers, until=self._now + seconds))

    @rule()
    def prune(self) -> None:
        self._same(lambda store: store.prune(now=self._now))

    @precondition(lambda self: bool(self._known))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self._known), max_size=3))
        self._same(lambda store: store.forget(some))

    @invariant()
    def they_hold_the_same(self) -> None:
        self._same(lambda store: store.find(Filter(limit=1000)))
        self._same(_histories)
        self._same(lambda store: store.next_due(_QUEUES))
        self._same(lambda store: store.next_due(_QUEUES[1:]))
        self._same(lambda store: store.next_due(_QUEUES, without=_TASKS[:1]))
        self._same(lambda store: store.in_turn(_ORDERS), ordered=False)
        for worker in _WORKERS:
            self._same(lambda store, worker=worker: store.running(worker), ordered=False)
        self._same(lambda store: store.overdue(now=self._now), ordered=False)
        self._same(_stats)

    def _same(self, ask: Callable[[Store], Any], *, ordered: bool = True) -> None:
        answers = [
            self._runner.run(_plain(ask(store), ordered)) for store in (self._store, self._model)
        ]
        assert answers[0] == answers[1]


async def _plain(answer: Any, ordered: bool) -> object:  # noqa: ANN401 - of any method
    """The answer of a call in a form that can be compared: tokens are each store's own."""
    try:
        value = await answer
    except _REFUSALS as error:
        return type(error)
    if isinstance(value, Job):
        return _without_token(value)
    if isinstance(value, list):
        each_of = cast("list[object]", value)
        plain = [_without_token(each) if isinstance(each, Job) else each for each in each_of]
        return plain if ordered else sorted(plain, key=str)
    return value


def _without_token(job: Job) -> Job:
    if job.lease is None:
        return job
    return replace(job, lease=replace(job.lease, token=""))


async def _held_or_not(accepting: Awaitable[list[Job]]) -> list[Job]:
    """Which of them are held is not part of the answer."""
    return [replace(job, held=False) for job in await accepting]


async def _histories(store: Store) -> list[object]:
    jobs = await store.find(Filter(limit=1000))
    return [await store.events({job.id: -1}) for job in jobs]


async def _stats(store: Store) -> list[object]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 5)

    found = sorted(await store.stats(), key=lambda each: (each.queue, each.task))
    return [
        (
            each.queue,
            each.task,
            dict(each.counts),
            rounded(each.wait),
            rounded(each.run),
            each.oldest,
        )
        for each in found
    ]
