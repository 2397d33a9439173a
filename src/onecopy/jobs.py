"""A job and its state machine. Pure: no I/O, no clock, nothing of ours is imported.

::

    queued ──claim──> running ──succeed──> succeeded
      │  ^               ├───fail, lose──> failed
      │  └──retry, lose──┤
      │     release      └──cancel──────> cancelled
      ├──cancel──────────────────────────> cancelled
      └──expire──────────────────────────> failed

`apply` takes a job and a change and returns the job after it; a store does so in one atomic step
and records an event. A change that the job's status does not allow raises `NotAllowed`, and nothing
changes. Only the token of the running attempt can end it, so no two workers can end one attempt.

Times are seconds since 1970 in UTC, as `time.time()` gives them.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import asdict, replace

type Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

type Kind = Literal[
    "accepted",
    "claimed",
    "progress",
    "log",
    "elsewhere",
    "cancelling",
    "retry",
    "released",
    "requeued",
    "succeeded",
    "failed",
    "cancelled",
]

FINAL: Final[frozenset[Status]] = frozenset({"succeeded", "failed", "cancelled"})
_STATUSES: Final[dict[Kind, Status]] = {
    "accepted": "queued",
    "claimed": "running",
    "progress": "running",
    "log": "running",
    "elsewhere": "running",
    "cancelling": "running",
    "retry": "queued",
    "released": "queued",
    "requeued": "queued",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}

ELSEWHERE: Final = "elsewhere"
"""In place of a worker's name, for an attempt whose outcome comes from outside."""


type Order = tuple[str, str]
"""A queue and an ordering key: what jobs of one key in one queue have in common."""


class NotAllowed(Exception):
    """A job's status does not allow a change; or the attempt is not the caller's any more."""


class Failure(Struct, frozen=True, gc=False):
    """Why an attempt or a job failed.

    type: the exception's qualified name, or a word of ours (`TimeLimitReached`, `WorkerLost`, ...).
    traceback: of the user's code, for the command line and logs; never sent over HTTP.
    """

    type: str
    message: str
    traceback: str | None = None


class Progress(Struct, frozen=True, gc=False):
    """How far an attempt has come: `done` of `total` (None where that is not known)."""

    done: float = 0
    total: float | None = None
    message: str | None = None


class Lease(Struct, frozen=True, gc=False):
    """A worker's right to run one attempt, until a time."""

    token: str
    worker: str
    until: float


class Job(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One accepted request to run a task."""

    id: str
    task: str
    arguments: str
    """A JSON object: the task's parameters by name."""
    queue: str = "default"
    priority: int = 0
    """Higher first, inside a queue."""
    status: Status = "queued"
    attempt: int = 0
    """Attempts that count, the running one included."""
    max_attempts: int = 1
    created_at: float
    due_at: float
    """Not to be claimed before."""
    expires_at: float | None = None
    """Failed if it was not claimed by then; None once it was."""
    started_at: float | None = None
    """Of the last attempt."""
    finished_at: float | None = None
    timeout: float | None = None
    """Seconds an attempt may take."""
    keep: float = 86400.0
    """Seconds that it is kept after it is final."""
    cancelling: bool = False
    """It runs, and is to be cancelled."""
    lease: Lease | None = None
    progress: Progress | None = None
    result: str | None = None
    """JSON, once succeeded."""
    failure: Failure | None = None
    """Of the last attempt that failed."""
    traceparent: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    """Of task and arguments, to tell a repeated request from another one under the same key."""
    callbacks: tuple[str, ...] = ()
    """URLs that are told how it ended."""
    ordering_key: str | None = None
    """Jobs of one key in one queue run one at a time, in the order of their acceptance."""
    held: bool = False
    """It is queued behind another one of its key, as of when the store was asked for it."""
    version: int = 0
    """Grows by one with each change: the number of its last event. `held` is no change of it."""

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINAL

    @property
    def order(self) -> Order | None:
        """What it runs in order with: its queue and its ordering key; None without one."""
        return None if self.ordering_key is None else (self.queue, self.ordering_key)


class Event(Struct, frozen=True, gc=False):
    """One change in the history of a job.

    number: the version of the job that it led to, from 0.
    data: what belongs to it, as JSON has it, under the job's own names::

        accepted    task, due_at
        claimed     attempt, worker
        progress    progress: done, total, message
        log         lines: each with at, level, logger, message
        elsewhere   until
        cancelling
        retry       attempt, error: type, message; due_at
        released    attempt
        requeued
        succeeded   attempt
        failed      attempt, error: type, message
        cancelled   attempt; error, if the attempt ended with one
    """

    job: str
    number: int
    at: float
    kind: Kind
    data: dict[str, Any]

    @property
    def status(self) -> Status:
        """The job's status after it."""
        return _STATUSES[self.kind]

    @property
    def final(self) -> bool:
        """Whether it ended the job."""
        return self.status in FINAL


class Line(Struct, frozen=True, gc=False):
    """A line that a task has logged."""

    at: float
    level: str
    logger: str
    message: str


def new_id() -> str:
    """Return an id that cannot be guessed: 144 random bits, as 24 URL-safe characters."""
    return secrets.token_urlsafe(18)


def new_token() -> str:
    """Return the token of an attempt: 192 random bits, as 32 URL-safe characters."""
    return secrets.token_urlsafe(24)


class Claim(Struct, frozen=True, gc=False):
    """Begin an attempt."""

    lease: Lease


class Succeed(Struct, frozen=True, gc=False):
    """End the running attempt, and the job, with a result (JSON)."""

    token: str
    result: str


class Fail(Struct, frozen=True, gc=False):
    """End the running attempt; the job too, unless a retry is wanted and attempts are left."""

    token: str
    failure: Failure
    retry_at: float | None = None


class Lose(Struct, frozen=True, gc=False):
    """End an attempt whose lease is over, as `Fail` does; not one whose lease was lengthened."""

    token: str
    failure: Failure
    retry_at: float | None = None


class Release(Struct, frozen=True, gc=False):
    """Give a running attempt back, not counted: its worker stops, or never began it."""

    token: str


class Cancelled(Struct, frozen=True, gc=False):
    """End a running attempt that was asked to be cancelled."""

    token: str


class Advance(Struct, frozen=True, gc=False):
    """Note how far the running attempt has come."""

    token: str
    progress: Progress


class Log(Struct, frozen=True, gc=False):
    """Note what the running attempt has logged."""

    token: str
    lines: Sequence[Line]


class Elsewhere(Struct, frozen=True, gc=False):
    """Leave the outcome of the running attempt to whoever has its token, until a time."""

    token: str
    until: float


class Cancel(Struct, frozen=True, gc=False):
    """Cancel at once while queued; ask a running attempt to end; leave what is final."""


class Expire(Struct, frozen=True, gc=False):
    """Fail a job that nobody claimed in time."""


class Requeue(Struct, frozen=True, gc=False):
    """Run a failed or cancelled job again, by hand: all its attempts anew.

    Or have a queued job wait no longer for a clock that has since been set back.
    """


type _EndOfAttempt = Succeed | Fail | Lose | Release | Cancelled
type _OfAttempt = _EndOfAttempt | Advance | Log | Elsewhere
type Change = Claim | _OfAttempt | Cancel | Expire | Requeue


def apply(job: Job, change: Change, now: float) -> Job:
    """Return the job after a change; the very same job if nothing changes.

    Raises:
        NotAllowed: its status does not allow the change, or the token is not the attempt's.
    """
    match change:
        case Claim(lease):
            return _claim(job, lease, now)
        case Cancel():
            return _cancel(job, now)
        case Expire():
            return _expire(job, now)
        case Requeue():
            return _requeue(job, now)
        case _:
            if job.status != "running" or job.lease is None or job.lease.token != change.token:
                raise NotAllowed(f"the attempt of job {job.id} is not this worker's any more")
            return _of_attempt(job, change, now)


def _of_attempt(job: Job, change: _OfAttempt, now: float) -> Job:
    match change:
        case Advance(_, progress):
            return replace(job, progress=progress, version=job.version + 1)
        case Log():
            return replace(job, version=job.version + 1)
        case Elsewhere(token, until):
            if job.cancelling:
                return _end(job, "cancelled", now)
            lease = Lease(token, ELSEWHERE, until)
            return replace(job, lease=lease, version=job.version + 1)
        case _:
            return _end_attempt(job, change, now)


def _end_attempt(job: Job, change: _EndOfAttempt, now: float) -> Job:
    match change:
        case Succeed(_, result):
            return _end(job, "succeeded", now, result=result)
        case Fail(_, failure, retry_at):
            return _fail(job, failure, retry_at, now)
        case Lose(_, failure, retry_at):
            if job.lease is not None and job.lease.until > now:
                raise NotAllowed(f"the attempt of job {job.id} is still under its lease")
            return _fail(job, failure, retry_at, now)
        case Release():
            return _release(job, now)
        case Cancelled():
            if not job.cancelling:
                raise NotAllowed(f"nobody asked to cancel job {job.id}")
            return _end(job, "cancelled", now)


def expired(job: Job, now: float) -> bool:
    """Whether nobody claimed a job in time: it is to fail, and not to be claimed any more."""
    return job.status == "queued" and job.expires_at is not None and job.expires_at <= now


def _claim(job: Job, lease: Lease, now: float) -> Job:
    if job.status != "queued" or job.due_at > now:
        raise NotAllowed(f"job {job.id} is {job.status}, or not due")
    if expired(job, now):
        raise NotAllowed(f"job {job.id} has expired")
    if job.held:
        raise NotAllowed(f"job {job.id} is held until those before it in its order are final")
    return replace(
        job,
        status="running",
        attempt=job.attempt + 1,
        expires_at=None,
        started_at=now,
        lease=lease,
        progress=None,
        version=job.version + 1,
    )


def _cancel(job: Job, now: float) -> Job:
    if job.final or job.cancelling:
        return job
    # What goes on elsewhere cannot be asked to end; its token is of no use from here on.
    if job.status == "queued" or (job.lease is not None and job.lease.worker == ELSEWHERE):
        return _end(job, "cancelled", now)
    return replace(job, cancelling=True, version=job.version + 1)


def _expire(job: Job, now: float) -> Job:
    if not expired(job, now):
        raise NotAllowed(f"job {job.id} has not expired")
    failure = Failure("Expired", "no worker began it before it expired")
    return _end(job, "failed", now, failure=failure)


def waits_for_clock(job: Job, now: float) -> bool:
    """Whether a queued job waits for the clock, which was set back, to be where it was.

    It was accepted, or tried, at a time that is yet to come.
    """
    return job.status == "queued" and 0 <= _delay(job) < _delayed_since(job) - now


def _delayed_since(job: Job) -> float:
    return job.created_at if job.started_at is None else job.started_at


def _delay(job: Job) -> float:
    return job.due_at - _delayed_since(job)


def _requeue(job: Job, now: float) -> Job:
    if waits_for_clock(job, now):
        return replace(job, due_at=now + _delay(job), version=job.version + 1)
    if job.status not in ("failed", "cancelled"):
        raise NotAllowed(f"job {job.id} is {job.status}: only failed or cancelled jobs run again")
    return replace(_queued(job, now), attempt=0, finished_at=None, expires_at=None, failure=None)


def _fail(job: Job, failure: Failure, retry_at: float | None, now: float) -> Job:
    if job.cancelling:
        return _end(job, "cancelled", now, failure=failure)
    if retry_at is None or job.attempt >= job.max_attempts:
        return _end(job, "failed", now, failure=failure)
    return replace(_queued(job, retry_at), failure=failure)


def _release(job: Job, now: float) -> Job:
    if job.cancelling:
        return _end(job, "cancelled", now)
    return replace(_queued(job, now), attempt=job.attempt - 1)


def _queued(job: Job, due_at: float) -> Job:
    return replace(
        job,
        status="queued",
        due_at=due_at,
        lease=None,
        cancelling=False,
        progress=None,
        version=job.version + 1,
    )


def in_turn(jobs: Iterable[Job]) -> Job | None:
    """Return the one of an order's jobs that is not held; given in the order of acceptance.

    The one that runs; else the first that is queued. A store holds all others that are queued.
    """
    first: Job | None = None
    for job in jobs:
        if job.status == "running":
            return job
        if first is None and job.status == "queued":
            first = job
    return first


def _end(
    job: Job,
    status: Status,
    now: float,
    *,
    result: str | None = None,
    failure: Failure | None = None,
) -> Job:
    return replace(
        job,
        status=status,
        finished_at=now,
        lease=None,
        cancelling=False,
        result=result,
        failure=failure,
        held=False,
        version=job.version + 1,
    )


def accepted(job: Job) -> Event:
    """Return the first event of a job, for the history."""
    data: dict[str, Any] = {"task": job.task, "due_at": job.due_at}
    return Event(job.id, job.version, job.created_at, "accepted", data)


def describe(before: Job, change: Change, after: Job, now: float) -> Event:
    """Return the event of a change, for the history."""
    kind, data = _kind(before, change, after)
    return Event(after.id, after.version, now, kind, data)


def _kind(before: Job, change: Change, after: Job) -> tuple[Kind, dict[str, Any]]:
    match change:
        case Claim(lease):
            return "claimed", {"attempt": after.attempt, "worker": lease.worker}
        case Advance(_, progress):
            return "progress", {"progress": asdict(progress)}
        case Log(_, lines):
            return "log", {"lines": [asdict(line) for line in lines]}
        case Elsewhere(_, until) if after.status == "running":
            return "elsewhere", {"until": until}
        case Requeue():
            return "requeued", {}
        case _ if after.status == "running":
            return "cancelling", {}
        case _:
            return _kind_of_end(before, after)


def _kind_of_end(before: Job, after: Job) -> tuple[Kind, dict[str, Any]]:
    data: dict[str, Any] = {"attempt": before.attempt}
    if after.status == "queued" and after.attempt < before.attempt:
        return "released", data
    if after.failure is not None:
        data["error"] = {"type": after.failure.type, "message": after.failure.message}
    if after.status == "queued":
        return "retry", data | {"due_at": after.due_at}
    assert after.status != "running", "its attempt has ended"
    return after.status, data
