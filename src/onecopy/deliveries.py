"""What is told to a job's callbacks, and what became of each try. Pure: no I/O, no clock.

::

    pending ──tried, 2xx──────────────────> delivered
      ^  ├────tried, 410──────────────────> disabled
      │  ├────tried, schedule is over─────> failed
      │  └──┐
      └─────┘ taken, tried, given back

`of` makes the deliveries of a job that has become final; a store records them in one step with its
outcome. `apply` takes a delivery and a change and returns the delivery after it. Whoever would try
one takes it first, for a time: only its token can say what came of it.

The schedule is that of Standard Webhooks 1.0.0. Times are seconds since 1970 in UTC.
"""

import secrets
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from onecopy.jobs import Failure, Job, NotAllowed
from onecopy.representation import rfc3339, write_job

type Status = Literal["pending", "delivered", "failed", "disabled"]

FINAL: Final[frozenset[Status]] = frozenset({"delivered", "failed", "disabled"})
SCHEDULE: Final = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Seconds from the try before to each try: ten of them in 75 hours."""
GONE: Final = 410
"""The status by which a receiver says that it wants no more of these."""

_LARGEST_RESULT: Final = 16 * 1024
_LONGEST_TEXT: Final = 2000
"""So that a payload stays under the 20 kB that Standard Webhooks recommends."""


class Try(Struct, frozen=True, gc=False):
    """One try to deliver.

    status_code: of the answer; None if there was none. error: why it failed; None if it did not.
    seconds: how long it took.
    """

    at: float
    status_code: int | None
    error: str | None
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has it."""
        return self.status_code is not None and 200 <= self.status_code <= 299


class Delivery(Struct, frozen=True, gc=False, kw_only=True):
    """One webhook on its way to one URL: how a job ended."""

    id: str
    """The same at every try: the header `webhook-id`."""
    job: str
    url: str
    payload: str
    """JSON; these very characters are signed and sent."""
    status: Status = "pending"
    tries: int = 0
    """Made so far."""
    remaining: int = len(SCHEDULE)
    """Tries that are left."""
    created_at: float
    due_at: float | None
    """Not to be taken before; None once it is final."""
    token: str | None = None
    """Of whoever tries it now, and may until `due_at`."""
    finished_at: float | None = None
    keep: float = 86400.0
    """Seconds that it is kept after it is final."""

    @property
    def receiver(self) -> str:
        """Host and port, as the URL has them: who is kept waiting by what is sent there."""
        return self.url.partition("://")[2].partition("/")[0].partition("?")[0].lower()


class Take(Struct, frozen=True, gc=False):
    """Begin to try a delivery that is due; it is nobody else's until a time."""

    token: str
    until: float


class Tried(Struct, frozen=True, gc=False):
    """Say what came of a try; `retry_at`: when the next one is due, if there is to be one."""

    token: str
    outcome: Try
    retry_at: float


class GiveBack(Struct, frozen=True, gc=False):
    """Let others try it: whoever took it stops."""

    token: str


class Replay(Struct, frozen=True, gc=False):
    """Try it now, by hand, and after that on the whole schedule once more."""


type Change = Take | Tried | GiveBack | Replay


def of(job: Job, now: float) -> list[Delivery]:
    """Return the deliveries of a job that has just become final: one for each of its callbacks."""
    body = payload(job)
    return [
        Delivery(
            id=f"msg_{secrets.token_urlsafe(18)}",
            job=job.id,
            url=url,
            payload=body,
            created_at=now,
            due_at=now,
            keep=job.keep,
        )
        for url in job.callbacks
    ]


def payload(job: Job) -> str:
    """Return what is told of a final job; a large result is left out, and is to be fetched."""
    data = write_job(_told(job), largest_result=_LARGEST_RESULT).decode()
    timestamp = rfc3339(job.finished_at)
    return f'{{"type":"job.{job.status}","timestamp":"{timestamp}","data":{data}}}'


def _told(job: Job) -> Job:
    """The same job with texts that are short enough, and that UTF-8 can hold."""
    failure, progress = job.failure, job.progress
    if failure is not None:
        failure = Failure(_text(failure.type), _text(failure.message))
    if progress is not None and progress.message is not None:
        progress = replace(progress, message=_text(progress.message))
    return replace(job, failure=failure, progress=progress)


def _text(text: str) -> str:
    short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return short.encode("utf-8", "backslashreplace").decode()


def disabled(delivery: Delivery, now: float) -> Delivery:
    """Return a delivery whose URL wants no more."""
    return _end(delivery, "disabled", now)


def apply(delivery: Delivery, change: Change, now: float) -> Delivery:
    """Return a delivery after a change.

    Raises:
        NotAllowed: its status does not allow the change, or it is somebody else's.
    """
    match change:
        case Take(token, until):
            if delivery.due_at is None or delivery.due_at > now:
                raise NotAllowed(f"delivery {delivery.id} is {delivery.status}, or not due")
            return replace(delivery, token=token, due_at=until)
        case Replay():
            return _replay(delivery, now)
        case Tried(token) | GiveBack(token):
            if delivery.token is None or delivery.token != token:
                raise NotAllowed(f"delivery {delivery.id} is not this courier's any more")
            return _returned(delivery, change, now)


def _returned(delivery: Delivery, change: Tried | GiveBack, now: float) -> Delivery:
    if isinstance(change, GiveBack):
        return replace(delivery, token=None, due_at=now)
    tried = replace(delivery, tries=delivery.tries + 1, remaining=delivery.remaining - 1)
    if change.outcome.succeeded:
        return _end(tried, "delivered", now)
    if change.outcome.status_code == GONE:
        return _end(tried, "disabled", now)
    if tried.remaining <= 0:
        return _end(tried, "failed", now)
    return replace(tried, token=None, due_at=change.retry_at)


def _replay(delivery: Delivery, now: float) -> Delivery:
    if delivery.token is not None and delivery.due_at is not None and delivery.due_at > now:
        raise NotAllowed(f"delivery {delivery.id} is being tried at this moment")
    return replace(
        delivery,
        status="pending",
        remaining=len(SCHEDULE),
        due_at=now,
        token=None,
        finished_at=None,
    )


def _end(delivery: Delivery, status: Status, now: float) -> Delivery:
    return replace(delivery, status=status, due_at=None, token=None, finished_at=now)


def pause(delivery: Delivery) -> float:
    """Return the seconds from a try that fails now to the next one, without jitter."""
    made = len(SCHEDULE) - delivery.remaining + 1
    return SCHEDULE[min(made, len(SCHEDULE) - 1)]
