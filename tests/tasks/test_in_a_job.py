"""What a task sees of its job: progress, context, log records."""

import asyncio
import logging
import math
import threading
from collections.abc import Coroutine, Generator, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest

from onecopy import JobContext, OneCopy, Progress, current_job
from onecopy.errors import ArgumentsInvalid
from onecopy.jobs import Job
from onecopy.jobs import Progress as Report
from onecopy.tasks import log_job_ids, prepare
from onecopy.tasks.context import running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("onecopy.tasks.progress.time.monotonic", lambda: now[0])
    return now


def test_tracking_reports_as_often_as_can_be_seen(clock: list[float]) -> None:
    reports: list[Report] = []
    for _ in Progress(reports.append).track(range(1000), message="rows"):
        clock[0] += 0.001
    assert reports[0] == Report(0, 1000, "rows")
    assert reports[-1] == Report(1000, 1000, "rows")
    assert 10 <= len(reports) <= 12
    assert [report.done for report in reports] == sorted(report.done for report in reports)


def test_tracking_yields_every_item_of_anything() -> None:
    def letters() -> Iterator[str]:
        yield from "abc"

    reports: list[Report] = []
    progress = Progress(reports.append)
    assert list(progress.track(letters())) == ["a", "b", "c"]
    assert reports[-1] == Report(3, None, None)
    assert list(progress.track(letters(), total=3)) == ["a", "b", "c"]
    assert reports[-1] == Report(3, 3, None)
    assert list(progress.track("")) == []
    assert reports[-1] == Report(0, 0, None)


def test_progress_of_a_plain_call_goes_nowhere() -> None:
    assert list(Progress().track([1, 2])) == [1, 2]
    Progress().update(1, 2, "half")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, "many", None, object(), 10**400])
def test_progress_is_in_finite_numbers(number: Any) -> None:  # noqa: ANN401  whatever a task says
    reports: list[Report] = []
    progress = Progress(reports.append)
    with pytest.raises(ValueError, match=r"done=.*finite number"):
        progress.update(number)
    if number is not None:
        with pytest.raises(ValueError, match=r"total=.*finite number"):
            progress.update(1, number)
    assert reports == []


@pytest.mark.parametrize("number", [0, -1, 2.5, Fraction(1, 3), np.float64(3), np.int8(3)])
def test_progress_may_be_any_number(number: Any) -> None:  # noqa: ANN401  whatever a task says
    reports: list[Report] = []
    Progress(reports.append).update(number, number)
    [report] = reports
    assert (report.done, report.total) == (float(number), float(number))
    assert type(report.done) in (int, float)


def test_a_context_of_no_job() -> None:
    context = JobContext()
    assert (context.id, context.attempt, context.cancelled) == ("", 1, False)
    assert (context.deadline, context.seconds_left) == (None, None)


def test_a_context_knows_how_long_it_has() -> None:
    context = JobContext(deadline=datetime.now(UTC) + timedelta(seconds=60))
    assert context.seconds_left == pytest.approx(60, abs=1)
    assert JobContext(deadline=datetime(2020, 1, 1, tzinfo=UTC)).seconds_left == 0.0


def job(task: str, arguments: str) -> Job:
    return Job(
        id="an-id",
        task=task,
        arguments=arguments,
        attempt=2,
        max_attempts=3,
        created_at=1.0,
        due_at=1.0,
        started_at=100.0,
        timeout=20.0,
    )


def test_a_prepared_task_sees_its_job() -> None:
    own = OneCopy()
    seen: list[JobContext | None] = []
    reports: list[Report] = []
    event = threading.Event()

    @own.task
    def work(row: str, context: JobContext, progress: Progress) -> str:
        seen.extend([context, current_job()])
        progress.update(1)
        return row

    call = prepare(work, job("work", '{"row": "a"}'), reports.append, event)
    assert seen == []
    assert call() == "a"
    context = seen[0]
    assert context is not None
    assert context is seen[1]
    assert (context.id, context.task, context.attempt) == ("an-id", "work", 2)
    assert context.max_attempts == 3
    assert context.deadline == datetime.fromtimestamp(120.0, UTC)
    assert not context.cancelled
    event.set()
    assert context.cancelled
    assert reports == [Report(1, None, None)]
    assert current_job() is None


def test_an_async_task_sees_its_job_for_as_long_as_it_runs() -> None:
    own = OneCopy()

    @own.task
    async def work() -> str:
        await asyncio.sleep(0)
        found = current_job()
        return found.id if found else "none"

    async def both() -> list[object]:
        reports: list[Report] = []
        began = prepare(work, job("work", "{}"), reports.append, threading.Event())()
        assert isinstance(began, Coroutine)
        return list(await asyncio.gather(cast(Coroutine[Any, Any, object], began), work()))

    assert asyncio.run(both()) == ["an-id", "none"]


def test_arguments_that_fit_no_more_are_found_before_the_task_runs() -> None:
    own = OneCopy()

    @own.task
    def work(row: int) -> int:
        raise AssertionError

    reports: list[Report] = []
    with pytest.raises(ArgumentsInvalid):
        prepare(work, job("work", '{"row": "a"}'), reports.append, threading.Event())


@pytest.fixture
def records() -> Generator[None]:
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


def test_log_records_carry_the_job(records: None, caplog: pytest.LogCaptureFixture) -> None:
    log_job_ids()
    factory = logging.getLogRecordFactory()
    log_job_ids()
    assert logging.getLogRecordFactory() is factory
    logger = logging.getLogger("users.own")
    with caplog.at_level(logging.INFO):
        with running(JobContext(id="an-id")):
            logger.info("within")
        logger.info("without")
    assert [vars(record)["job"] for record in caplog.records] == ["an-id", "-"]
