import json
from typing import Any

import pytest
from msgspec.structs import replace

from onecopy.deliveries import (
    SCHEDULE,
    Change,
    Delivery,
    GiveBack,
    Replay,
    Take,
    Tried,
    Try,
    apply,
    of,
    pause,
    payload,
)
from onecopy.jobs import Failure, Job, NotAllowed, Progress

NOW = 1_800_000_000.0


def final_job(**given: Any) -> Job:  # noqa: ANN401  any field
    fields: dict[str, Any] = {
        "id": "j1",
        "task": "resize",
        "arguments": '{"secret": 1}',
        "status": "succeeded",
        "attempt": 1,
        "created_at": NOW - 2,
        "due_at": NOW - 2,
        "started_at": NOW - 1,
        "finished_at": NOW,
        "result": '{"a": [1]}',
        "callbacks": ("https://a.example/x?y=1", "https://B.example:8443"),
        "keep": 60.0,
    }
    return Job(**fields | given)


def one(**given: Any) -> Delivery:  # noqa: ANN401  any field
    return replace(of(final_job(), NOW)[0], **given)


def outcome(status_code: int | None) -> Try:
    return Try(NOW, status_code, None, 0.1)


def test_one_delivery_for_each_callback() -> None:
    first, second = of(final_job(), NOW)
    assert first.id.startswith("msg_")
    assert len(first.id) == 28
    assert first.id != second.id
    assert (first.url, first.receiver) == ("https://a.example/x?y=1", "a.example")
    assert (second.url, second.receiver) == ("https://B.example:8443", "b.example:8443")
    assert (first.job, first.status, first.due_at, first.keep) == ("j1", "pending", NOW, 60.0)
    assert of(final_job(callbacks=()), NOW) == []


def test_the_payload_of_a_job_that_succeeded() -> None:
    job = final_job(progress=Progress(3, 3.0, "done"))
    assert json.loads(payload(job)) == {
        "type": "job.succeeded",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {
            "id": "j1",
            "task": "resize",
            "status": "succeeded",
            "attempt": 1,
            "max_attempts": 1,
            "created_at": "2027-01-15T07:59:58.000Z",
            "started_at": "2027-01-15T07:59:59.000Z",
            "finished_at": "2027-01-15T08:00:00.000Z",
            "progress": {"done": 3, "total": 3.0, "message": "done"},
            "result": {"a": [1]},
            "error": None,
        },
    }


def test_the_payload_of_a_job_that_failed() -> None:
    failure = Failure("ValueError", "no such place", "Traceback: /srv/app.py\n")
    job = final_job(status="failed", result=None, failure=failure)
    told = json.loads(payload(job))
    assert told["type"] == "job.failed"
    assert told["data"]["error"] == {"type": "ValueError", "message": "no such place"}
    assert "result" not in told["data"]
    assert "/srv" not in payload(job)
    cancelled = json.loads(payload(final_job(status="cancelled", result=None)))
    assert (cancelled["type"], cancelled["data"]["error"]) == ("job.cancelled", None)


def test_a_payload_stays_small_and_can_be_written() -> None:
    half = final_job(progress=Progress(1, None, "half \ud800"))
    assert json.loads(payload(half))["data"]["progress"]["message"] == "half \\ud800"
    large = json.loads(payload(final_job(result=json.dumps("x" * 16_383))))
    assert "result" not in large["data"]
    assert "result" in json.loads(payload(final_job(result=json.dumps("x" * 16_000))))["data"]
    long = Failure("E", "é" * 10_000)
    assert len(payload(final_job(status="failed", failure=long)).encode()) < 20_000


def test_the_schedule_is_the_published_one() -> None:
    delivery = one()
    pauses: list[float] = []
    while delivery.status == "pending":
        delivery = apply(delivery, Take("t", NOW), NOW)
        pauses.append(pause(delivery))
        delivery = apply(delivery, Tried("t", outcome(500), NOW), NOW)
    assert pauses[:-1] == list(SCHEDULE[1:])
    assert sum(SCHEDULE) == ((75 * 60) + 35) * 60 + 5
    assert (delivery.status, delivery.tries, delivery.finished_at) == ("failed", 10, NOW)


@pytest.mark.parametrize(
    ("status_code", "status"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered"), (410, "disabled")],
)
def test_what_ends_a_delivery(status_code: int, status: str) -> None:
    taken = apply(one(), Take("t", NOW + 30), NOW)
    ended = apply(taken, Tried("t", outcome(status_code), NOW + 9), NOW + 1)
    assert (ended.status, ended.due_at, ended.token) == (status, None, None)
    assert (ended.tries, ended.finished_at) == (1, NOW + 1)


@pytest.mark.parametrize("status_code", [None, 100, 199, 300, 302, 304, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status_code: int | None) -> None:
    taken = apply(one(), Take("t", NOW + 30), NOW)
    again = apply(taken, Tried("t", outcome(status_code), NOW + 9), NOW)
    assert (again.status, again.due_at, again.token) == ("pending", NOW + 9, None)


def test_one_courier_at_a_time() -> None:
    taken = apply(one(), Take("a", NOW + 30), NOW)
    for change in (Take("b", NOW + 60), Replay()):
        with pytest.raises(NotAllowed):
            apply(taken, change, NOW + 29)
    over = apply(taken, Take("b", NOW + 60), NOW + 30)
    for late in (Tried("a", outcome(200), NOW), GiveBack("a")):
        with pytest.raises(NotAllowed):
            apply(over, late, NOW + 31)
    back = apply(over, GiveBack("b"), NOW + 31)
    assert (back.due_at, back.tries, back.token) == (NOW + 31, 0, None)


@pytest.mark.parametrize("change", [Take("t", NOW), Tried("", outcome(200), NOW), GiveBack("")])
def test_what_is_final_stays(change: Change) -> None:
    taken = apply(one(), Take("t", NOW + 30), NOW)
    done = apply(taken, Tried("t", outcome(200), NOW), NOW)
    with pytest.raises(NotAllowed):
        apply(done, change, NOW + 99)


def test_a_replay_begins_the_schedule_anew_and_keeps_the_count() -> None:
    taken = apply(one(remaining=1, tries=9), Take("t", NOW + 30), NOW)
    failed = apply(taken, Tried("t", outcome(None), NOW), NOW)
    again = apply(failed, Replay(), NOW + 99)
    assert (again.status, again.due_at, again.finished_at) == ("pending", NOW + 99, None)
    assert (again.tries, again.remaining) == (10, 10)
    waiting = apply(one(due_at=NOW + 999), Replay(), NOW)
    assert waiting.due_at == NOW
