"""What an attempt says of itself, until it is on record: order, pace and bounds."""

import logging
from collections.abc import Sequence

import pytest

from onecopy.execution.pace import pace
from onecopy.jobs import Advance, Log, Progress
from onecopy.server import said as module
from onecopy.server.said import (
    LINES_A_SECOND,
    LINES_OF_AN_ATTEMPT,
    LONGEST_LINE,
    Said,
)


def record(message: object, *args: object, at: float = 0.0) -> logging.LogRecord:
    made = logging.LogRecord("app.rows", logging.INFO, __file__, 1, message, args, None)
    made.created = at
    return made


def seen(changes: Sequence[Advance | Log]) -> list[object]:
    return [
        each.progress.done
        if isinstance(each, Advance)
        else [(line.level, line.message) for line in each.lines]
        for each in changes
    ]


def test_lines_stay_in_order_with_the_last_progress() -> None:
    said = Said()
    said.note(Progress(1))
    said.log(record("one"))
    said.note(Progress(2))
    said.log(record("two"))
    assert seen(said.take("t")) == [[("INFO", "one")], 2, [("INFO", "two")]]
    assert said.take("t") == []


def test_progress_keeps_a_pace_but_lines_and_the_last_report_do_not_wait() -> None:
    said = Said()
    said.note(Progress(1))
    assert seen(said.take("t")) == [1]
    said.note(Progress(2))
    assert said.take("t") == []
    said.log(record("now"))
    assert seen(said.take("t")) == [2, [("INFO", "now")]]
    said.note(Progress(3))
    assert seen(said.take("t", last=True)) == [3]


def test_the_pace_of_long_attempts_is_slower_and_has_a_bound() -> None:
    assert [pace(seconds) for seconds in (0, 100, 1000, 1e6)] == [0.1, 0.1, 1, 5]


def test_too_many_lines_in_a_second_are_counted() -> None:
    said = Said()
    for number in range(LINES_A_SECOND + 5):
        said.log(record("line %s", number, at=10.5))
    said.log(record("later", at=11.5))
    (log,) = said.take("t")
    assert isinstance(log, Log)
    texts = [line.message for line in log.lines]
    assert texts[LINES_A_SECOND - 1 :] == [
        f"line {LINES_A_SECOND - 1}",
        "5 lines were left out here",
        "later",
    ]


def test_too_many_lines_of_an_attempt_are_counted_until_its_end() -> None:
    said = Said()
    for number in range(LINES_OF_AN_ATTEMPT + 3):
        said.log(record("line", at=float(number)))
    (log,) = said.take("t")
    assert isinstance(log, Log)
    assert [line.message for line in log.lines][LINES_OF_AN_ATTEMPT - 1 :] == [
        "line",
        f"an attempt keeps {LINES_OF_AN_ATTEMPT:,} lines: the next ones are left out",
    ]
    said.log(record("line", at=1e6))
    assert seen(said.take("t", last=True)) == [[("WARNING", "4 lines were left out here")]]


def test_what_is_said_after_the_end_is_left_out() -> None:
    said = Said()
    said.take("t", last=True)
    said.log(record("too late"))
    assert said.take("t") == []


def test_whatever_is_logged_becomes_a_line_that_can_be_stored() -> None:
    said = Said()
    said.log(record("x" * 10_000))
    said.log(record("half: \ud800, none: \0"))
    said.log(record("%d", "no number"))
    said.log(record(["no", "text"]))
    failed = record("it failed")
    failed.exc_info = (ValueError, ValueError("no such row"), None)
    said.log(failed)
    (log,) = said.take("t")
    assert isinstance(log, Log)
    texts = [line.message for line in log.lines]
    assert len(texts[0]) == LONGEST_LINE
    assert texts[1:] == [
        "half: \\ud800, none: \\x00",
        "%d",
        "['no', 'text']",
        "it failed: ValueError: no such row",
    ]


def test_a_process_that_the_task_has_forked_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    said.log(record("from a child"))
    assert said.take("t", last=True) == []
