"""What the editor knows of a task: checked by pyright, and run so that it is not only claimed."""

import asyncio
from typing import Any, assert_type

from onecopy import JobContext, JobHandle, OneCopy, Progress
from onecopy.tasks.task import AsyncTask, SyncTask
from onecopy.testing.tasks import jobs_in_memory

shared = OneCopy()


@shared.task
def plain(rows: list[str], limit: int = 3) -> int:
    return len(rows[:limit])


@shared.task(retries=3, timeout=300)
async def coroutine(rows: list[str]) -> bytes:
    return rows[0].encode()


@shared.task
def last(rows: list[str], progress: Progress) -> list[int]:
    return [len(row) for row in progress.track(rows)]


@shared.task
def first(context: JobContext, rows: list[str], *, limit: int = 3) -> str:
    return f"{context.id}{rows[:limit]}"


@shared.task
def both(rows: list[str], progress: Progress, context: JobContext) -> int:
    progress.update(context.attempt)
    return len(rows)


@shared.task
def with_default(rows: list[str], limit: int = 3, progress: Progress | None = None) -> int:
    return len(rows[:limit]) + (progress is not None)


@shared.task
def anything(row: Any) -> None:  # noqa: ANN401
    del row


def test_a_task_is_called_as_the_function_is() -> None:
    assert isinstance(plain, SyncTask)
    assert_type(plain(["a", "b"], limit=1), int)
    assert plain(["a", "b"], limit=1) == 1
    assert_type(last(["ab"], progress=Progress()), list[int])
    assert last(["ab"], progress=Progress()) == [2]
    assert isinstance(coroutine, AsyncTask)


def test_an_async_task_is_awaited() -> None:
    async def call() -> None:
        assert_type(await coroutine(["a"]), bytes)
        assert await coroutine(["a"]) == b"a"

    asyncio.run(call())


def test_submitting_takes_what_travels_and_keeps_the_result() -> None:
    with jobs_in_memory(shared):
        job = plain.submit_sync(["a"], limit=2)
        assert_type(job, JobHandle[int])
        assert_type(job.result_sync(), int)
        assert job.result_sync(timeout=5) == 1
        assert_type(coroutine.submit_sync(rows=["a"]), JobHandle[bytes])
        assert_type(coroutine.call_sync(["a"]), bytes)
        assert coroutine.call_sync(["a"]) == b"a"
        assert_type(anything.submit_sync(row=3), JobHandle[None])


def test_injected_parameters_are_left_out() -> None:
    with jobs_in_memory(shared):
        assert_type(last.call_sync(["ab"]), list[int])
        assert last.call_sync(["ab"]) == [2]
        assert last.call_sync(rows=["ab"]) == [2]
        assert_type(first.call_sync(rows=["ab"], limit=0), str)
        assert first.call_sync(rows=["ab"], limit=0) == "[]"
        assert_type(both.call_sync(["a"]), int)
        assert both.call_sync(["a"]) == 1
        assert_type(with_default.call_sync(["a", "b"], limit=1), int)
        assert with_default.call_sync(["a", "b"], limit=1) == 2


def test_what_does_not_fit_is_seen_before_it_runs() -> None:
    """Each of these is an error of pyright's: without it the ignored rule would be one."""

    def never() -> None:
        plain.submit_sync([1])  # pyright: ignore[reportArgumentType]
        plain.submit_sync(rows=["a"], wrong=1)  # pyright: ignore[reportCallIssue]
        last.submit_sync([1])  # pyright: ignore[reportArgumentType]
        first.submit_sync(["a"], 3)  # pyright: ignore[reportCallIssue]
        shared.task(retries="many")  # pyright: ignore[reportArgumentType]
        plain.options(delay="soon")  # pyright: ignore[reportArgumentType]

    assert never


def test_options_change_nothing_of_the_types() -> None:
    later = last.options(delay=60, priority=5)

    async def submit() -> None:
        assert_type(await later.submit(["a"]), JobHandle[list[int]])
        assert_type(await last.call(["a"]), list[int])
        job = await plain.submit(["a"])
        assert await job.status() == "queued"
        assert_type(await job.result(timeout=3), int)
        assert await job.result() == 1
        assert_type(job.id, str)

    with jobs_in_memory(shared):
        asyncio.run(submit())
