"""A job and its state machine. Pure: no I/O, no clock, nothing of ours is imported.

::

    queued ──claim──> running ──succeed──> succeeded
      │  ^               ├──────fail─────> failed
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
from dataclasses import dataclass, replace
from typing import Final, Literal

type Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

FINAL: Final[frozenset[Status]] = frozenset({"succeeded", "failed", "cancelled"})


class NotAllowed(Exception):
    """A job's status does not allow a change; or the attempt is not the caller's any more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt or a job failed.

    type: the exception's qualified name, or a word of ours (`TimeLimitReached`, `WorkerLost`, ...).
    traceback: of the user's code, for the command line and logs; never sent over HTTP.
    """

    type: str
    message: str
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt has come: `done` of `total` (None where that is not known)."""

    done: float = 0
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's right to run one attempt, until a time."""

    token: str
    worker: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
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
    """Failed if it was not claimed by then."""
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
    version: int = 0
    """Grows by one with each change: the number of its last event."""

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class Event:
    """One change in the history of a job.

    number: the version of the job that it led to, from 0.
    kind: "accepted", "claimed", "progress", "cancelling", "retry", "released", "requeued",
        "succeeded", "failed", "cancelled".
    data: what belongs to it: attempt, worker, failure, the time of the next try, ...
    """

    job: str
    number: int
    at: float
    kind: str
    data: dict[str, object]


def new_id() -> str:
    """Return an id that cannot be guessed: 144 random bits, as 24 URL-safe characters."""
    return secrets.token_urlsafe(18)


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin an attempt."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Succeed:
    """End the running attempt, and the job, with a result (JSON)."""

    token: str
    result: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End the running attempt; the job too, unless a retry is wanted and attempts are left."""

    token: str
    failure: Failure
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give a running attempt back, not counted: its worker stops."""

    token: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """End a running attempt that was asked to be cancelled."""

    token: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Note how far the running attempt has come."""

    token: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel at once while queued; ask a running attempt to end; leave what is final."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Fail a job that nobody claimed in time."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """Run a failed or cancelled job again, by hand: all its attempts anew."""


type Change = Claim | Succeed | Fail | Release | Cancelled | Advance | Cancel | Expire | Requeue


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


def _of_attempt(
    job: Job, change: Succeed | Fail | Release | Cancelled | Advance, now: float
) -> Job:
    match change:
        case Succeed(_, result):
            return _end(job, "succeeded", now, result=result)
        case Fail(_, failure, retry_at):
            return _fail(job, failure, retry_at, now)
        case Release():
            if job.cancelling:
                return _end(job, "cancelled", now)
            return replace(_queued(job, now), attempt=job.attempt - 1)
        case Cancelled():
            if not job.cancelling:
                raise NotAllowed(f"nobody asked to cancel job {job.id}")
            return _end(job, "cancelled", now)
        case Advance(_, progress):
            return replace(job, progress=progress, version=job.version + 1)


def expired(job: Job, now: float) -> bool:
    """Whether nobody claimed a job in time: it is to fail, and not to be claimed any more."""
    return job.status == "queued" and job.expires_at is not None and job.expires_at <= now


def _claim(job: Job, lease: Lease, now: float) -> Job:
    if job.status != "queued" or job.due_at > now:
        raise NotAllowed(f"job {job.id} is {job.status}, or not due")
    if expired(job, now):
        raise NotAllowed(f"job {job.id} has expired")
    return replace(
        job,
        status="running",
        attempt=job.attempt + 1,
        started_at=now,
        lease=lease,
        progress=None,
        version=job.version + 1,
    )


def _cancel(job: Job, now: float) -> Job:
    if job.final or job.cancelling:
        return job
    if job.status == "queued":
        return _end(job, "cancelled", now)
    return replace(job, cancelling=True, version=job.version + 1)


def _expire(job: Job, now: float) -> Job:
    if not expired(job, now):
        raise NotAllowed(f"job {job.id} has not expired")
    failure = Failure("Expired", "no worker began it before it expired")
    return _end(job, "failed", now, failure=failure)


def _requeue(job: Job, now: float) -> Job:
    if job.status not in ("failed", "cancelled"):
        raise NotAllowed(f"job {job.id} is {job.status}: only failed or cancelled jobs run again")
    return replace(_queued(job, now), attempt=0, finished_at=None, expires_at=None, failure=None)


def _fail(job: Job, failure: Failure, retry_at: float | None, now: float) -> Job:
    if job.cancelling:
        return _end(job, "cancelled", now, failure=failure)
    if retry_at is None or job.attempt >= job.max_attempts:
        return _end(job, "failed", now, failure=failure)
    return replace(_queued(job, retry_at), failure=failure)


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
        version=job.version + 1,
    )


def describe(before: Job | None, after: Job, now: float) -> Event:
    """Return the event of a change, for the history; `before` is None when it was accepted."""
    kind, data = _kind(before, after)
    return Event(after.id, after.version, now, kind, data)


def _kind(before: Job | None, after: Job) -> tuple[str, dict[str, object]]:
    if before is None:
        return "accepted", {"task": after.task, "due_at": after.due_at}
    if after.status == "running" and before.status == "queued":
        worker = after.lease.worker if after.lease is not None else None
        return "claimed", {"attempt": after.attempt, "worker": worker}
    if after.status == "running":
        return ("cancelling", {}) if after.cancelling != before.cancelling else ("progress", {})
    failure = after.failure
    data: dict[str, object] = {"attempt": before.attempt}
    if failure is not None:
        data |= {"type": failure.type, "message": failure.message}
    if after.status != "queued":
        return after.status, data
    if before.status in FINAL:
        return "requeued", {}
    if after.attempt < before.attempt:
        return "released", {"attempt": before.attempt}
    return "retry", {**data, "due_at": after.due_at}
