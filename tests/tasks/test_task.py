"""A task: declared, called here, sent, followed."""

import asyncio
from collections.abc import Generator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecopy import Failed, JobContext, OneCopy, Progress, Retry, Task, current_job
from onecopy.errors import (
    ArgumentsInvalid,
    DeclarationError,
    IdempotencyMismatch,
    JobCancelled,
    JobFailed,
    JobNotFound,
    QueueIsFull,
    ResultInvalid,
    ResultTimeout,
    StoreUnavailable,
    TaskExists,
)
from onecopy.jobs import Job
from onecopy.stores import Unavailable
from onecopy.testing.tasks import MemoryRuntime, jobs_in_memory, run

shared = OneCopy()


@shared.task
def double(number: int, progress: Progress) -> int:
    """Twice the number."""
    progress.update(1, 1)
    if number == 13:
        raise ValueError("unlucky")
    return 2 * number


@shared.task(retries=2, backoff=10, queue="slow", priority=3, expires=60, keep=7, timeout=30)
async def careful(number: int, context: JobContext) -> int:
    await asyncio.sleep(0)
    if context.attempt < number:
        raise ConnectionError("not yet")
    return context.attempt


@shared.task(retries=5)
def ending(how: str) -> str:
    if how == "retry":
        raise Retry(after=30)
    if how == "failed":
        raise Failed("no such thing")
    job = current_job()
    return job.id if job else "none"


@shared.task(max_queued=2)
def bounded() -> None: ...


@pytest.fixture
def jobs() -> Generator[MemoryRuntime]:
    with jobs_in_memory(shared) as runtime:
        yield runtime


def job_of(jobs: MemoryRuntime, job: str) -> Job:
    found = asyncio.run(jobs.job(job))
    assert found is not None
    return found


# Declared and called.


def test_a_task_is_its_function() -> None:
    assert isinstance(double, Task)
    assert (double.name, double.__doc__) == ("double", "Twice the number.")
    assert vars(double)["__name__"] == "double"
    assert double(4, progress=Progress()) == 8
    assert asyncio.run(careful(1, JobContext(attempt=1))) == 1
    assert (double.is_async, careful.is_async) == (False, True)
    assert repr(double) == "<Task 'double'>"
    assert set(shared.tasks) == {double, careful, ending, bounded}
    assert shared.tasks.get("double") is double


def test_a_task_can_be_given_a_name() -> None:
    own = OneCopy()
    task = own.task(name="other")(lambda: 1)
    assert own.tasks.get("other") is task
    assert task() == 1


def test_names_are_unique_in_one_onecopy() -> None:
    own = OneCopy()
    own.task(name="same")(lambda: 1)
    with pytest.raises(TaskExists, match="two tasks named 'same'"):
        own.task(name="same")(lambda: 2)
    OneCopy().task(name="same")(lambda: 3)


def test_the_same_code_run_again_replaces_its_task() -> None:
    own = OneCopy()
    tasks = [own.task(name="same")(lambda: 1) for _ in range(2)]
    assert list(own.tasks) == tasks[1:]


def test_what_cannot_be_a_task_is_not_registered() -> None:
    own = OneCopy()
    with pytest.raises(DeclarationError):
        own.task(lambda *numbers: len(numbers))
    assert not list(own.tasks)


# Sent.


def test_a_submitted_job_says_all_that_was_declared(jobs: MemoryRuntime) -> None:
    job = job_of(jobs, careful.submit_sync(2).id)
    assert (job.task, job.arguments) == ("careful", '{"number":2}')
    assert (job.queue, job.priority, job.timeout, job.keep) == ("slow", 3, 30, 7)
    assert (job.status, job.attempt, job.max_attempts) == ("queued", 0, 3)
    assert job.due_at == job.created_at
    assert job.expires_at == pytest.approx(job.created_at + 60)


def test_a_result_is_waited_for(jobs: MemoryRuntime) -> None:
    async def use() -> None:
        job = await double.submit(4)
        assert await job.status() == "queued"
        assert await job.result(timeout=5) == 8
        assert await job.status() == "succeeded"
        assert (await job.info()).finished_at is not None
        again = await shared.job(job.id)
        assert await again.result() == 8

    asyncio.run(use())


def test_all_of_it_without_an_event_loop(jobs: MemoryRuntime) -> None:
    job = double.submit_sync(number=4)
    assert job.status_sync() == "queued"
    assert job.result_sync(timeout=5) == 8
    assert job.cancel_sync() == "succeeded"
    assert double.call_sync(5) == 10
    assert [each.result_sync() for each in double.submit_many_sync([(1,)])] == [2]


def test_events_are_followed(jobs: MemoryRuntime) -> None:
    async def use() -> None:
        job = await double.submit(4)
        events = [event async for event in job.events()]
        assert [event.kind for event in events] == ["accepted", "claimed", "progress", "succeeded"]
        assert [event.number for event in events] == [0, 1, 2, 3]
        assert [event async for event in job.events(after=1)] == events[2:]

    asyncio.run(use())


def test_events_are_followed_without_an_event_loop(jobs: MemoryRuntime) -> None:
    job = double.options(delay=60).submit_sync(4)
    events = job.events_sync()
    assert next(events).kind == "accepted"
    jobs.advance(61)
    assert [event.kind for event in events] == ["claimed", "progress", "succeeded"]
    first = next(job.events_sync(after=2))
    assert (first.kind, first.final) == ("succeeded", True)


def test_a_test_says_what_happens_to_who_follows(jobs: MemoryRuntime) -> None:
    async def use() -> None:
        job = await double.options(delay=60).submit(4)
        kinds: list[str] = []
        async for event in job.events():
            kinds.append(event.kind)
            if event.kind == "accepted":
                await job.cancel()
        assert kinds == ["accepted", "cancelled"]

    asyncio.run(use())


def test_results_that_there_are_not(jobs: MemoryRuntime) -> None:
    with pytest.raises(JobFailed, match="ValueError: unlucky") as caught:
        double.submit_sync(13).result_sync()
    assert (caught.value.type, caught.value.message) == ("ValueError", "unlucky")
    cancelled = double.submit_sync(1)
    assert cancelled.cancel_sync() == "cancelled"
    with pytest.raises(JobCancelled, match=cancelled.id):
        cancelled.result_sync()
    with pytest.raises(ResultTimeout, match=r"took over 0\.5 s"):
        double.options(delay=60).submit_sync(1).result_sync(timeout=0.5)
    with pytest.raises(JobNotFound):
        asyncio.run(shared.job("unknown"))


def test_a_job_that_is_gone_is_not_found(jobs: MemoryRuntime) -> None:
    job = double.submit_sync(1)
    with jobs_in_memory(shared):
        with pytest.raises(JobNotFound):
            job.status_sync()
        with pytest.raises(JobNotFound):
            job.result_sync()
        with pytest.raises(JobNotFound):
            job.cancel_sync()
        with pytest.raises(JobNotFound):
            next(job.events_sync())


def test_arguments_are_checked_before_anything_is_sent(jobs: MemoryRuntime) -> None:
    with pytest.raises(ArgumentsInvalid, match="number"):
        double.submit_sync("x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="number"):
        double.submit_sync()
    with pytest.raises(TypeError, match="progress"):
        double.submit_sync(number=1, progress=Progress())
    assert jobs.run() == 0


def test_many_are_accepted_together_or_not_at_all(jobs: MemoryRuntime) -> None:
    handles = double.submit_many_sync([(1,), {"number": 2}, (3,)])
    assert [handle.result_sync() for handle in handles] == [2, 4, 6]
    with pytest.raises(ArgumentsInvalid):
        double.submit_many_sync([(1,), ("x",)])
    with pytest.raises(QueueIsFull):
        bounded.submit_many_sync([(), (), ()])
    assert jobs.run() == 0
    assert bounded.submit_many_sync([]) == []


def test_a_full_queue_is_an_error(jobs: MemoryRuntime) -> None:
    bounded.submit_sync()
    bounded.submit_sync()
    with pytest.raises(QueueIsFull, match="'default' is full") as caught:
        bounded.submit_sync()
    assert caught.value.queue == "default"


def test_a_store_that_fails_is_an_error(
    jobs: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = double.submit_sync(1)

    async def fail(jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        raise Unavailable("disk full")

    monkeypatch.setattr(jobs, "accept", fail)
    monkeypatch.setattr(jobs, "job", fail)
    with pytest.raises(StoreUnavailable, match="disk full"):
        double.submit_sync(1)
    with pytest.raises(StoreUnavailable, match="disk full"):
        job.status_sync()


def test_a_call_needs_no_job(jobs: MemoryRuntime) -> None:
    assert asyncio.run(double.call(4)) == 8
    with pytest.raises(JobFailed, match="unlucky"):
        double.call_sync(13)
    assert not asyncio.run(jobs.store.stats())


# Options of one sending.


def test_a_job_may_be_delayed(jobs: MemoryRuntime) -> None:
    job = double.options(delay=timedelta(minutes=1)).submit_sync(1)
    assert jobs.run() == 0
    jobs.advance(61)
    assert jobs.run() == 1
    assert job.status_sync() == "succeeded"
    at = datetime.now(UTC) + timedelta(hours=1)
    assert job_of(jobs, double.options(run_at=at).submit_sync(1).id).due_at == at.timestamp()


def test_options_replace_what_was_declared_and_nothing_else(jobs: MemoryRuntime) -> None:
    other = careful.options(priority=-1, queue="other", expires=None, keep=1, timeout=2)
    job = job_of(jobs, other.options(delay=5).submit_sync(1).id)
    assert (job.priority, job.queue, job.expires_at, job.keep) == (-1, "other", None, 1)
    assert (job.timeout, job.due_at) == (2, job.created_at + 5)
    assert job_of(jobs, careful.submit_sync(1).id).queue == "slow"
    assert shared.tasks.get("careful") is careful
    assert type(other) is type(careful)


def test_expiry_counts_from_when_it_is_due(jobs: MemoryRuntime) -> None:
    job = careful.options(delay=100).submit_sync(1)
    jobs.advance(155)
    assert job.result_sync() == 1
    late = careful.submit_sync(1)
    jobs.advance(61)
    with pytest.raises(JobFailed, match="Expired"):
        late.result_sync()


def test_a_key_makes_one_job(jobs: MemoryRuntime) -> None:
    once = double.options(idempotency_key="order-17")
    first, second = once.submit_sync(1), once.submit_sync(number=1)
    assert first.id == second.id
    with pytest.raises(IdempotencyMismatch, match="order-17"):
        once.submit_sync(2)
    assert jobs.run() == 1
    with pytest.raises(DeclarationError, match="one by one"):
        once.submit_many_sync([(1,), (1,)])


@given(st.dictionaries(st.text("abc"), st.integers(), min_size=2, max_size=4))
@settings(deadline=None, max_examples=30)
def test_the_order_of_keys_makes_no_other_request(value: dict[str, int]) -> None:
    own = OneCopy()

    @own.task
    def work(value: dict[str, int]) -> None:
        del value

    with jobs_in_memory(own):
        once = work.options(idempotency_key="a")
        backwards = dict(reversed(value.items()))
        assert once.submit_sync(value).id == once.submit_sync(backwards).id


def test_the_trace_goes_on_in_the_jobs_of_a_job(jobs: MemoryRuntime) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    own = OneCopy()

    @own.task
    def inner() -> None: ...

    @own.task
    async def outer() -> str:
        return (await inner.submit()).id

    with jobs_in_memory(own) as runtime:
        handle = outer.options(traceparent=trace).submit_sync()
        assert job_of(runtime, handle.result_sync()).traceparent == trace


# What a task sees, and how it ends.


def test_failed_attempts_are_tried_again_as_declared(jobs: MemoryRuntime) -> None:
    job = careful.submit_sync(3)
    assert jobs.run() == 1
    assert job.status_sync() == "queued"
    jobs.advance(10)
    assert jobs.run() == 1
    jobs.advance(20)
    assert job.result_sync() == 3
    hopeless = careful.options(expires=None).submit_sync(9)
    for _ in range(3):
        jobs.run()
        jobs.advance(20)
    with pytest.raises(JobFailed, match="not yet"):
        hopeless.result_sync()


def test_a_task_may_ask_to_be_tried_again(jobs: MemoryRuntime) -> None:
    job = ending.submit_sync("retry")
    assert jobs.run() == 1
    jobs.advance(29)
    assert jobs.run() == 0
    jobs.advance(2)
    assert jobs.run() == 1
    assert job.status_sync() == "queued"


def test_a_task_may_fail_for_good(jobs: MemoryRuntime) -> None:
    job = ending.submit_sync("failed")
    assert jobs.run() == 1
    with pytest.raises(JobFailed, match="no such thing"):
        job.result_sync()


def test_code_can_ask_for_its_job(jobs: MemoryRuntime) -> None:
    job = ending.submit_sync("well")
    assert job.result_sync() == job.id
    assert ending("well") == "none"
    assert current_job() is None


def test_a_result_that_does_not_fit_fails_the_job(jobs: MemoryRuntime) -> None:
    own = OneCopy()

    @own.task
    def wrong() -> int:
        return "many"  # pyright: ignore[reportReturnType]

    with jobs_in_memory(own), pytest.raises(JobFailed, match="'wrong' does not fit its hint"):
        wrong.submit_sync().result_sync()


def test_a_job_of_a_task_that_is_not_known_here(jobs: MemoryRuntime) -> None:
    own, other = OneCopy(), OneCopy()

    @own.task(name="work")
    def work() -> dict[str, int]:
        return {"a": 1}

    with jobs_in_memory(own) as runtime:
        handle = work.submit_sync()
        runtime.run()
        other.use_runtime(lambda: asyncio.sleep(0, runtime))

        async def ask() -> object:
            return await (await other.job(handle.id)).result()

        assert asyncio.run(ask()) == {"a": 1}


# For users' tests.


def test_a_task_runs_inline_as_a_worker_would_run_it() -> None:
    attempt = run(double, 4)
    assert attempt.result == 8
    assert [report.done for report in attempt.progress] == [1]
    assert run(careful, 2, context=JobContext(attempt=2)).result == 2
    with pytest.raises(ConnectionError):
        run(careful, 2)
    with pytest.raises(Retry):
        run(ending, "retry")
    with pytest.raises(ArgumentsInvalid):
        run(double, "x")


def test_a_result_travels_in_an_inline_run_too() -> None:
    own = OneCopy()

    @own.task
    def pair() -> tuple[int, bytes]:
        return 1, b"\xff"

    @own.task
    def wrong() -> int:
        return "many"  # pyright: ignore[reportReturnType]

    assert run(pair).result == (1, b"\xff")
    with pytest.raises(ResultInvalid):
        run(wrong)


def test_jobs_may_run_at_once() -> None:
    with jobs_in_memory(shared, at_once=True):
        job = double.submit_sync(4)
        assert job.status_sync() == "succeeded"


def test_each_block_has_its_own_jobs() -> None:
    with jobs_in_memory(shared) as first:
        double.submit_sync(1)
        with jobs_in_memory(shared) as second:
            assert second.run() == 0
        assert first.run() == 1
