"""A job and its events as JSON: their times, and back."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy.jobs import Event, Job, Kind
from onecopy.representation import read_event, rfc3339, write_event


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1732391366.12, "2024-11-23T19:49:26.120Z"),
        (1732391366.9999999, "2024-11-23T19:49:27.000Z"),
        (1732391366.0005, "2024-11-23T19:49:26.000Z"),
    ],
)
def test_times_are_in_utc_to_the_millisecond(seconds: float | None, text: str | None) -> None:
    assert rfc3339(seconds) == text


@given(st.floats(0, 4e9))
def test_a_time_comes_back(seconds: float) -> None:
    text = rfc3339(seconds)
    assert text is not None
    assert abs(datetime.fromisoformat(text).timestamp() - seconds) <= 0.001


JOB = Job(id="j", task="t", arguments="{}", created_at=1.0, due_at=1.0, result='{"a":[1]}')


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("accepted", {"task": "t", "due_at": 1700000000.25}),
        ("claimed", {"attempt": 1, "worker": "w"}),
        ("progress", {"progress": {"done": 1, "total": None, "message": "ü"}}),
        ("log", {"lines": [{"at": 2.5, "level": "INFO", "logger": "app", "message": "x"}]}),
        ("elsewhere", {"until": 3.125}),
        ("cancelling", {}),
        ("retry", {"attempt": 1, "error": {"type": "E", "message": "m"}, "due_at": 9.0}),
        ("failed", {"attempt": 1, "error": {"type": "E", "message": "m"}}),
    ],
)
def test_what_is_written_can_be_read(kind: Kind, data: dict[str, object]) -> None:
    event = Event("j", 3, 1700000000.125, kind, data)
    assert read_event(write_event(event, None)) == event


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("vm-1/69d93dbf-84cc/4026531836#9165@2695247<8930@2695096", "vm-1#9165"),
        ("named#12@34", "named#12"),
        ("worker 1", "worker 1"),
    ],
)
def test_a_worker_is_shown_without_what_is_for_its_host_alone(name: str, shown: str) -> None:
    event = Event("j", 1, 5.0, "claimed", {"attempt": 1, "worker": name})
    assert read_event(write_event(event)).data["worker"] == shown


def test_the_last_event_brings_the_result() -> None:
    event = Event("j", 3, 5.0, "succeeded", {"attempt": 1})
    read = read_event(write_event(event, JOB))
    assert read.data == {"attempt": 1, "result": {"a": [1]}}
