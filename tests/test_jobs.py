"""The state machine: a table of every change in every status, and all that can be reached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import pytest
from msgspec.structs import replace

from onecopy.jobs import (
    ELSEWHERE,
    FINAL,
    Advance,
    Cancel,
    Cancelled,
    Change,
    Claim,
    Elsewhere,
    Expire,
    Fail,
    Failure,
    Job,
    Lease,
    Line,
    Log,
    Lose,
    NotAllowed,
    Progress,
    Release,
    Requeue,
    Succeed,
    accepted,
    apply,
    describe,
    expired,
    new_id,
)

NOW: Final = 1000.0
LEASE: Final = Lease("token", "worker", NOW + 30)
WHY: Final = Failure("ValueError", "why", "Traceback")

QUEUED: Final = Job(
    id="j", task="t", arguments="{}", created_at=NOW, due_at=NOW, expires_at=NOW, max_attempts=2
)
WAITING: Final = replace(QUEUED, due_at=NOW + 1, expires_at=NOW + 1)
RUNNING: Final = replace(
    QUEUED, status="running", attempt=1, started_at=NOW, lease=LEASE, expires_at=None, version=1
)
LAST: Final = replace(RUNNING, attempt=2)
CANCELLING: Final = replace(RUNNING, cancelling=True)
SUCCEEDED: Final = replace(RUNNING, status="succeeded", lease=None, finished_at=NOW, result="1")
FAILED: Final = replace(RUNNING, status="failed", lease=None, finished_at=NOW, failure=WHY)
CANCELLED: Final = replace(RUNNING, status="cancelled", lease=None, finished_at=NOW)

STATES: Final = {
    "queued": replace(QUEUED, expires_at=None),
    "expired": QUEUED,
    "waiting": WAITING,
    "running": RUNNING,
    "overdue": replace(RUNNING, lease=Lease("token", "worker", NOW)),
    "last": LAST,
    "cancelling": CANCELLING,
    "succeeded": SUCCEEDED,
    "failed": FAILED,
    "cancelled": CANCELLED,
}

CHANGES: Final[dict[str, Change]] = {
    "claim": Claim(LEASE),
    "succeed": Succeed("token", "2"),
    "fail": Fail("token", WHY),
    "retry": Fail("token", WHY, NOW + 5),
    "lose": Lose("token", WHY, NOW + 5),
    "release": Release("token"),
    "cancelled": Cancelled("token"),
    "advance": Advance("token", Progress(1, 2)),
    "log": Log("token", [Line(NOW, "INFO", "app", "line")]),
    "elsewhere": Elsewhere("token", NOW + 60),
    "cancel": Cancel(),
    "expire": Expire(),
    "requeue": Requeue(),
}

OF_ATTEMPT: Final = (
    "succeed",
    "fail",
    "retry",
    "lose",
    "release",
    "cancelled",
    "advance",
    "log",
    "elsewhere",
)

# What each change makes of each state: the status after it, the kind of its event. "same": nothing
# changes. What is not in the table is not allowed.
TABLE: Final[dict[tuple[str, str], tuple[str, str]]] = {
    ("queued", "claim"): ("running", "claimed"),
    ("queued", "cancel"): ("cancelled", "cancelled"),
    ("expired", "cancel"): ("cancelled", "cancelled"),
    ("expired", "expire"): ("failed", "failed"),
    ("waiting", "cancel"): ("cancelled", "cancelled"),
    ("running", "succeed"): ("succeeded", "succeeded"),
    ("running", "fail"): ("failed", "failed"),
    ("running", "retry"): ("queued", "retry"),
    ("running", "release"): ("queued", "released"),
    ("running", "advance"): ("running", "progress"),
    ("running", "cancel"): ("running", "cancelling"),
    ("running", "log"): ("running", "log"),
    ("running", "elsewhere"): ("running", "elsewhere"),
    ("overdue", "succeed"): ("succeeded", "succeeded"),
    ("overdue", "fail"): ("failed", "failed"),
    ("overdue", "retry"): ("queued", "retry"),
    ("overdue", "lose"): ("queued", "retry"),
    ("overdue", "release"): ("queued", "released"),
    ("overdue", "advance"): ("running", "progress"),
    ("overdue", "log"): ("running", "log"),
    ("overdue", "elsewhere"): ("running", "elsewhere"),
    ("overdue", "cancel"): ("running", "cancelling"),
    ("last", "succeed"): ("succeeded", "succeeded"),
    ("last", "fail"): ("failed", "failed"),
    ("last", "retry"): ("failed", "failed"),
    ("last", "release"): ("queued", "released"),
    ("last", "advance"): ("running", "progress"),
    ("last", "log"): ("running", "log"),
    ("last", "elsewhere"): ("running", "elsewhere"),
    ("last", "cancel"): ("running", "cancelling"),
    ("cancelling", "succeed"): ("succeeded", "succeeded"),
    ("cancelling", "fail"): ("cancelled", "cancelled"),
    ("cancelling", "retry"): ("cancelled", "cancelled"),
    ("cancelling", "release"): ("cancelled", "cancelled"),
    ("cancelling", "cancelled"): ("cancelled", "cancelled"),
    ("cancelling", "advance"): ("running", "progress"),
    ("cancelling", "log"): ("running", "log"),
    ("cancelling", "elsewhere"): ("cancelled", "cancelled"),
    ("cancelling", "cancel"): ("running", "same"),
    ("succeeded", "cancel"): ("succeeded", "same"),
    ("failed", "cancel"): ("failed", "same"),
    ("cancelled", "cancel"): ("cancelled", "same"),
    ("failed", "requeue"): ("queued", "requeued"),
    ("cancelled", "requeue"): ("queued", "requeued"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", STATES)
def test_every_change_in_every_state(state: str, change: str) -> None:
    before = STATES[state]
    outcome = TABLE.get((state, change))
    if outcome is None:
        with pytest.raises(NotAllowed):
            apply(before, CHANGES[change], NOW)
        return
    status, kind = outcome
    after = apply(before, CHANGES[change], NOW)
    assert after.status == status
    if kind == "same":
        assert after is before
        return
    event = describe(before, CHANGES[change], after, NOW)
    assert (event.job, event.number, event.at) == ("j", before.version + 1, NOW)
    assert (event.kind, event.status, event.final) == (kind, status, status in FINAL)


@pytest.mark.parametrize("change", OF_ATTEMPT)
@pytest.mark.parametrize("state", STATES)
def test_another_token_ends_nothing(state: str, change: str) -> None:
    other = replace(CHANGES[change], token="other")
    with pytest.raises(NotAllowed, match="not this worker's any more"):
        apply(STATES[state], other, NOW)


def test_a_claim_forgets_how_far_the_attempt_before_came() -> None:
    after = apply(replace(QUEUED, expires_at=None, progress=Progress(9)), Claim(LEASE), NOW + 1)
    assert (after.lease, after.progress, after.attempt) == (LEASE, None, 1)
    assert after.started_at == NOW + 1


def test_a_lease_that_was_lengthened_is_not_lost() -> None:
    with pytest.raises(NotAllowed, match="still under its lease"):
        apply(RUNNING, CHANGES["lose"], NOW + 29.9)
    assert apply(RUNNING, CHANGES["lose"], NOW + 30).status == "queued"


def test_an_outcome_from_elsewhere_has_the_same_token() -> None:
    left = apply(RUNNING, CHANGES["elsewhere"], NOW)
    assert left.lease == Lease("token", ELSEWHERE, NOW + 60)
    assert apply(left, CHANGES["succeed"], NOW + 50).status == "succeeded"
    assert apply(left, CHANGES["lose"], NOW + 60).status == "queued"
    assert apply(left, Cancel(), NOW).status == "cancelled"


def test_the_boundaries_of_due_and_expired() -> None:
    job = replace(QUEUED, due_at=NOW, expires_at=NOW + 1)
    with pytest.raises(NotAllowed, match="not due"):
        apply(job, Claim(LEASE), NOW - 0.001)
    assert apply(job, Claim(LEASE), NOW).status == "running"
    assert apply(job, Claim(LEASE), NOW + 0.999).status == "running"
    with pytest.raises(NotAllowed, match="has expired"):
        apply(job, Claim(LEASE), NOW + 1)
    assert [expired(job, NOW + late) for late in (0, 0.999, 1, 2)] == [False, False, True, True]
    assert not expired(replace(RUNNING, expires_at=NOW), NOW + 5)
    assert apply(job, Claim(LEASE), NOW).expires_at is None


def test_what_a_failed_attempt_leaves() -> None:
    retried = apply(replace(RUNNING, progress=Progress(5)), CHANGES["retry"], NOW)
    assert (retried.due_at, retried.attempt, retried.failure) == (NOW + 5, 1, WHY)
    assert (retried.lease, retried.progress, retried.finished_at) == (None, None, None)
    event = describe(RUNNING, CHANGES["retry"], retried, NOW)
    assert event.data == {
        "attempt": 1,
        "error": {"type": "ValueError", "message": "why"},
        "due_at": NOW + 5,
    }


def test_a_released_attempt_does_not_count() -> None:
    released = apply(LAST, Release("token"), NOW + 3)
    assert (released.attempt, released.due_at) == (1, NOW + 3)


def test_a_job_from_the_future_is_due_as_long_after_now_as_it_was_after_its_acceptance() -> None:
    ahead = replace(QUEUED, created_at=NOW + 3600, due_at=NOW + 3660)
    again = apply(ahead, Requeue(), NOW)
    assert (again.due_at, again.status, again.version) == (NOW + 60, "queued", ahead.version + 1)
    for job in (
        again,  # once is enough
        QUEUED,
        replace(QUEUED, due_at=NOW + 3600),
        replace(ahead, due_at=NOW + 9999),  # it waits longer than the clock was set back
        replace(ahead, due_at=NOW + 5),  # a retry
    ):
        with pytest.raises(NotAllowed):
            apply(job, Requeue(), NOW)


def test_running_again_by_hand_begins_anew() -> None:
    again = apply(replace(FAILED, attempt=2, expires_at=NOW), Requeue(), NOW + 9)
    assert (again.attempt, again.due_at, again.failure) == (0, NOW + 9, None)
    assert (again.finished_at, again.expires_at, again.cancelling) == (None, None, False)


def test_what_expires_says_so() -> None:
    failed = apply(QUEUED, Expire(), NOW)
    assert failed.failure is not None
    assert failed.failure.type == "Expired"


def test_success_forgets_the_failure_before() -> None:
    job = replace(RUNNING, failure=WHY)
    assert apply(job, Succeed("token", "3"), NOW).failure is None


def test_ids_are_long_and_differ() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(each) for each in ids} == {24}


@dataclass(frozen=True)
class Step:
    """One change on a way through the machine."""

    before: Job
    change: str
    after: Job


def reachable() -> Iterator[Step]:
    """Every step from every job that can be reached in eight changes; time stands still."""
    start = Job(
        id="j",
        task="t",
        arguments="{}",
        created_at=NOW,
        due_at=NOW,
        max_attempts=2,
        expires_at=NOW + 9,
    )
    known = {start}
    front: list[Job] = [start]
    moments: dict[str, Callable[[Job], float]] = {
        "claim": lambda job: job.due_at,
        "expire": lambda _: NOW + 9,
        "lose": lambda _: NOW + 60,
    }
    for _ in range(8):
        behind: list[Job] = front
        front = []
        for before in behind:
            for name, change in CHANGES.items():
                try:
                    after = apply(before, change, moments.get(name, lambda _: NOW)(before))
                except NotAllowed:
                    continue
                yield Step(before, name, after)
                if after not in known:
                    known.add(after)
                    front.append(after)


def test_whatever_is_reached_makes_sense() -> None:
    steps = list(reachable())
    assert len(steps) > 500
    assert {step.after.status for step in steps} == {*FINAL, "queued", "running"}
    for step in steps:
        job = step.after
        assert job.final == (job.status in FINAL) == (job.finished_at is not None)
        assert (job.lease is not None) == (job.status == "running"), step
        assert 0 <= job.attempt <= job.max_attempts, step
        assert job.attempt >= 1 or job.status != "running", step
        assert (job.result is not None) == (job.status == "succeeded"), step
        assert job.failure is not None or job.status != "failed", step
        assert not job.cancelling or job.status == "running", step
        assert job.progress is None or job.status != "queued", step
        fixed = ("id", "task", "arguments", "queue", "priority", "created_at", "keep", "timeout")
        assert all(getattr(job, name) == getattr(step.before, name) for name in fixed)


def test_every_step_is_one_event_or_none() -> None:
    for step in reachable():
        if step.after is step.before:
            assert step.change == "cancel"
            continue
        assert step.after.version == step.before.version + 1
        kind = describe(step.before, CHANGES[step.change], step.after, NOW).kind
        expected = {
            "claim": {"claimed"},
            "succeed": {"succeeded"},
            "fail": {"failed", "cancelled"},
            "retry": {"retry", "failed", "cancelled"},
            "lose": {"retry", "failed", "cancelled"},
            "release": {"released", "cancelled"},
            "log": {"log"},
            "elsewhere": {"elsewhere", "cancelled"},
            "cancelled": {"cancelled"},
            "advance": {"progress"},
            "cancel": {"cancelling", "cancelled"},
            "expire": {"failed"},
            "requeue": {"requeued"},
        }
        assert kind in expected[step.change], step


def test_only_running_it_again_leaves_a_final_status() -> None:
    for step in reachable():
        if step.before.final and step.after is not step.before:
            assert step.change == "requeue"
            assert step.before.status != "succeeded"


def test_a_history_can_be_read_without_the_jobs() -> None:
    """Versions follow one another, and an event carries what a reader needs."""
    job = replace(QUEUED, expires_at=None)
    events = [accepted(job)]
    for change in ("claim", "advance", "retry"):
        before, job = job, apply(job, CHANGES[change], NOW)
        events.append(describe(before, CHANGES[change], job, NOW))
    assert [event.kind for event in events] == ["accepted", "claimed", "progress", "retry"]
    assert all(later.number == event.number + 1 for event, later in pairwise(events))
    assert events[0].data == {"task": "t", "due_at": NOW}
    assert events[1].data == {"attempt": 1, "worker": "worker"}
