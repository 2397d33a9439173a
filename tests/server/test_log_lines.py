"""What tasks log is among the events of their jobs: with real job workers."""

import json
from collections.abc import Generator
from typing import Any
from urllib.request import urlopen

import pytest

from onecopy.server.said import LINES_A_SECOND
from tests.running import Service, service
from tests.server.jobs_app import Jobs

APP = """
import asyncio, logging, threading, time
from contextvars import copy_context
from fastapi import FastAPI
from onecopy import OneCopy, Progress

logger = logging.getLogger("rows")
alone = logging.getLogger("alone")
alone.propagate = False
alone.addHandler(logging.NullHandler())
shown = logging.getLogger("shown")
shown.addHandler(logging.StreamHandler())

class Hide(logging.Filter):
    def filter(self, record):
        record.msg = record.msg.replace("pa55", "***")
        return "hidden" not in record.msg

logger.addFilter(Hide())
shared = OneCopy()
app = FastAPI()
shared.install(app)

@shared.task
def rows(progress: Progress) -> None:
    logger.info("begin %s", 1)
    logger.debug("too little")
    progress.update(1, 2)
    shown.info("not in the log")
    shown.warning("in the log")
    thread = threading.Thread(target=copy_context().run, args=(alone.warning, "from a thread"))
    thread.start()
    thread.join()
    logger.error("password pa55")
    logger.info("hidden")
    progress.update(2, 2)
    try:
        raise ValueError("row 3")
    except ValueError:
        logger.exception("failed")

@shared.task
async def many(count: int) -> None:
    await asyncio.to_thread(logger.info, "from to_thread")
    for number in range(count):
        logger.info("%s %s", number, "x" * 5000 if number == 0 else "")

@shared.task
async def named(name: str) -> None:
    for _ in range(10):
        logger.info(name)
        await asyncio.sleep(0.02)

@shared.task(log_level="ERROR")
def errors() -> None:
    logger.warning("left out")
    logger.error("kept")

@shared.task(log_level=None)
def silent() -> None:
    logger.error("left out")

@shared.task(log_level="debug")
def chatty() -> None:
    logger.debug("kept")

@shared.task(timeout=0.5)
def stuck() -> None:
    logger.info("before")
    while True:
        time.sleep(0.01)

for task in (rows, many, named, errors, silent, chatty, stuck):
    app.post(f"/{task.name}")(task.endpoint)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "lines.py").write_text(APP)
    with service(folder, "lines:app", "--workers", "1", "--job-workers", "1") as started:
        yield started


def events(jobs: Jobs, task: str, **arguments: object) -> list[dict[str, Any]]:
    """Run a job and return its history as the stream tells it, without its first two events."""
    return history_of(jobs, jobs.submit(task, **arguments))


def history_of(jobs: Jobs, job: str) -> list[dict[str, Any]]:
    with urlopen(f"http://127.0.0.1:{jobs.run.port}/jobs/{job}/events") as stream:
        told = [json.loads(line[6:]) for line in stream if line.startswith(b"data: ")]
    assert [event["number"] for event in told] == [*range(len(told))]
    return told[2:]


def lines(history: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (line["level"], line["logger"], line["message"])
        for event in history
        if event["kind"] == "log"
        for line in event["lines"]
    ]


def test_lines_are_events_in_order_with_progress_and_before_the_outcome(run: Service) -> None:
    history = events(Jobs(run), "rows")
    assert history[-1]["kind"] == "succeeded"
    first = [
        ("INFO", "rows", "begin 1"),
        ("INFO", "shown", "not in the log"),
        ("WARNING", "shown", "in the log"),
        ("WARNING", "alone", "from a thread"),
        ("ERROR", "rows", "password ***"),
    ]
    last = ("ERROR", "rows", "failed: ValueError: row 3")
    assert lines(history) == [*first, last]
    assert history[-3]["progress"]["done"] == 2
    assert lines(history[-2:-1]) == [last]


def test_they_still_go_to_the_log_and_nothing_else_does(run: Service) -> None:
    events(Jobs(run), "rows")
    assert "in the log\n" in run.log
    assert "not in the log" not in run.log
    assert "begin 1" not in run.log
    assert "Traceback" in run.log  # of `failed`, by the last resort of `logging`


def test_bounds_say_what_they_leave_out(run: Service) -> None:
    found = lines(events(Jobs(run), "many", count=3 * LINES_A_SECOND))
    texts = [text for _, _, text in found]
    assert texts[0] == "from to_thread"
    assert len(texts[1]) == 2000
    left_out = [text for text in texts if text.endswith("lines were left out here")]
    assert left_out
    kept = len(texts) - len(left_out) - 1
    assert kept + sum(int(text.split()[0]) for text in left_out) == 3 * LINES_A_SECOND


def test_tasks_that_run_at_the_same_time_have_their_own_lines_each(run: Service) -> None:
    jobs = Jobs(run)
    names = {jobs.submit("named", name=name): name for name in ("one", "two", "three")}
    for job, name in names.items():
        assert lines(history_of(jobs, job)) == 10 * [("INFO", "rows", name)]


def test_a_task_says_which_lines(run: Service) -> None:
    jobs = Jobs(run)
    assert lines(events(jobs, "errors")) == [("ERROR", "rows", "kept")]
    assert lines(events(jobs, "silent")) == []
    assert lines(events(jobs, "chatty")) == [("DEBUG", "rows", "kept")]


def test_lines_of_an_attempt_that_is_ended_come_before_its_end(run: Service) -> None:
    history = events(Jobs(run), "stuck")
    assert [event["kind"] for event in history] == ["log", "failed"]
    assert history[0]["at"] < history[1]["at"]  # told while it ran
