"""The Store protocol, in words of jobs; `onecopy.testing.StoreContract` is its proof.

Every method is atomic, and durable once it returns. A store applies changes with
`onecopy.jobs.apply` and records `onecopy.jobs.describe` of each as an event, in one step with it.
Times are seconds since 1970; the caller says what time it is, so that tests can.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import (
    Cancel,
    Change,
    Claim,
    Event,
    Expire,
    Job,
    Lose,
    NotAllowed,
    Order,
    Requeue,
    Status,
)
from onecopy.stores.deliveries import Deliveries

RING_SOON: Final = 1.0
"""Workers are rung for what is due, or will be in so many seconds: they see to the rest."""


class Unavailable(Exception):
    """The store cannot be reached or cannot write now; nothing of the call has happened."""


class Outdated(Unavailable):
    """A newer onecopy has written the store: this process takes nothing more from it.

    What it runs it ends: what `is_of_own_attempt` is recorded all the same.
    """


def is_of_own_attempt(change: Change) -> bool:
    """Whether only who runs a job, or its supervisor, says so."""
    return not isinstance(change, Claim | Cancel | Expire | Lose | Requeue)


class CannotJoin(Exception):
    """Jobs cannot be recorded in a transaction of the caller's; the message says why."""


class QueueFull(Exception):
    """Accepting would take a queue over its bound; nothing was accepted."""


class IdempotencyConflict(Exception):
    """The idempotency key belongs to a job with another fingerprint; nothing was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs to find: all conditions hold; None and empty hold for every job."""

    statuses: Sequence[Status] = ()
    task: str | None = None
    queue: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    limit: int = 100
    older_than: str | None = None
    """Only jobs listed after this one (its id): the next page."""

    def matches(self, job: Job) -> bool:
        """Whether its conditions hold for a job, whatever the page."""
        return (
            (not self.statuses or job.status in self.statuses)
            and self.task in (None, job.task)
            and self.queue in (None, job.queue)
            and (self.created_after is None or job.created_at > self.created_after)
            and (self.created_before is None or job.created_at < self.created_before)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Figures of one queue and task.

    counts: jobs by status, those above zero. wait, run: mean seconds from due to begun, and from
        begun to final, of the jobs that ended (`spans`) and are still kept; None without one.
    oldest: when the first queued job that is not held is due, or was; None without one.
    """

    queue: str
    task: str
    counts: Mapping[Status, int]
    wait: float | None
    run: float | None
    oldest: float | None


def spans(job: Job) -> tuple[float, float] | None:
    """Return the seconds from due to begun and from begun to final, for `Stats`.

    None unless the job has ended after an attempt; one that was cancelled while it waited for
    another attempt counts as never begun.
    """
    if not job.final or job.finished_at is None or job.started_at is None:
        return None
    if job.started_at < job.due_at:
        return None
    return job.started_at - job.due_at, max(0.0, job.finished_at - job.started_at)


class Store(Protocol):
    """Jobs on record. Safe for any number of processes, threads and event loops at once.

    An open store that is forked is open in the child too. A call that is cancelled may have
    happened: `running` tells what a worker has.

    Jobs of one queue and ordering key run one at a time, in the order of their acceptance: of each
    such order `jobs.in_turn` is the only one that is not held. Which one that is, is settled in one
    step with whatever accepts, ends or requeues a job of it. A held job is queued, and nothing that
    is asked for what is next finds it: neither `claim` nor `due` nor `next_due`.
    """

    @property
    def deliveries(self) -> Deliveries:
        """The webhooks of its jobs: recorded in one step with the change that ends a job."""
        ...

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises Unavailable."""
        ...

    async def close(self) -> None:
        """Let go; may be called twice, and before open."""
        ...

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none; for an idempotency key seen before return the job it has.

        The answer is in the order of `jobs`. A key is of one task, and kept as long as its job. A
        job that is on record already (its id) is not recorded again: accepting can be repeated.
        Whether a job is held is not part of the answer: `in_turn` tells.

        Raises QueueFull, IdempotencyConflict, Unavailable.
        """
        ...

    async def claim(
        self,
        worker: str,
        queues: Sequence[str],
        *,
        now: float,
        until: float,
        limit: int = 1,
        without: Sequence[str] = (),
    ) -> list[Job]:
        """Begin attempts of due jobs: by order of `queues`, then priority, then when each was due.

        Each gets a lease with a token of its own. Jobs of the tasks `without` are passed over, and
        those that have expired are left to `overdue`. The cost grows neither with the queue nor
        with what is passed over.
        """
        ...

    async def change(
        self, changes: Sequence[tuple[str, Change]], *, now: float
    ) -> list[Job | KeyError | NotAllowed]:
        """Apply changes to jobs, in this order, and answer each by the job after it.

        One that is refused is answered by its error and hinders no other: KeyError for an unknown
        job, NotAllowed as `jobs.apply` raises it. `change_one` applies one, and raises. Whether a
        job is held is not part of the answer: `in_turn` tells.
        """
        ...

    async def in_turn(self, orders: Sequence[Order]) -> list[Job]:
        """Return the queued jobs whose turn it is in these orders: one of each at most."""
        ...

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return the jobs that exist, in no order."""
        ...

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        """Return the events of jobs with numbers over those given, each job's in order.

        after: a number for each job; -1 for its whole history. An unknown job has none. With a
        limit: the first so many; there may be more.
        """
        ...

    async def extend(self, workers: Sequence[str], *, until: float) -> None:
        """Lengthen the leases of all running attempts of these workers; none gets shorter."""
        ...

    async def overdue(self, *, now: float, limit: int = 100) -> list[Job]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""
        ...

    async def running(self, worker: str) -> list[Job]:
        """Return the jobs that a worker has attempts of."""
        ...

    async def next_due(self, queues: Sequence[str], *, without: Sequence[str] = ()) -> float | None:
        """Return when the next queued job is due, or was, `without` some tasks'; None if none."""
        ...

    async def due(
        self, queues: Sequence[str], *, now: float, limit: int = 1, without: Sequence[str] = ()
    ) -> list[Job]:
        """Return the jobs that `claim` would begin, in its order, and begin none of them."""
        ...

    async def find(self, which: Filter) -> list[Job]:
        """Return jobs, the newest first. Raises KeyError if `older_than` is gone."""
        ...

    async def stats(self) -> list[Stats]:
        """Return figures by queue and task."""
        ...

    async def announce(self, address: str, *, until: float) -> None:
        """Record where workers of a host take calls of other hosts, for so long."""
        ...

    async def announced(self, *, now: float) -> list[str]:
        """Return the addresses that were announced, and whose time is not over."""
        ...

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final jobs that have been kept long enough, with their events; return how many.

        Their final deliveries go with them.
        """
        ...

    async def forget(self, jobs: Sequence[str]) -> int:
        """Delete those of these jobs that are final, with their events; return how many.

        Their final deliveries go with them.
        """
        ...


class Record(NamedTuple):
    """A job as another store has it, with its whole history."""

    job: Job
    events: Sequence[Event]


@runtime_checkable
class Importing(Protocol):
    """A store that takes over what another one has."""

    async def put_jobs(self, records: Sequence[Record]) -> int:
        """Record jobs as they are, all or none, in this order; return how many were put.

        One that is on record is left, unless its version is lower. Raises IdempotencyConflict if
        another job has a key of theirs.
        """
        ...

    async def put_deliveries(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries and their tries; one that is on record is left, unless it is behind."""
        ...


def is_behind(known: Delivery, other: Delivery) -> bool:
    """Whether another store has seen more of a delivery."""
    if known.tries == other.tries:
        return known.status == "pending" != other.status
    return known.tries < other.tries


@runtime_checkable
class Speaking(Protocol):
    """A store whose own engine needs no words: recording a job rings, and a change is told."""

    @property
    def speaks(self) -> Literal[True]:
        """Whether it does so, in the very step that records it."""
        ...


@runtime_checkable
class Joinable(Protocol):
    """A store that records jobs in a transaction of the caller's own."""

    async def accept_in(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """As `Store.accept`; they are there once the caller commits. Raises CannotJoin."""
        ...

    def accept_in_sync(
        self, connection: object, jobs: Sequence[Job], *, max_queued: int | None = None
    ) -> list[Job]:
        """As `accept_in`, by a connection that blocks."""
        ...


def joinable(store: Store) -> Joinable:
    """Return a store that records jobs in the caller's transaction. Raises CannotJoin."""
    if isinstance(store, Joinable):
        return store
    words = "the store is not in the caller's database: only PostgreSQL's is (ONECOPY_STORE)"
    raise CannotJoin(words)


@runtime_checkable
class Concerned(Protocol):
    """A store whose server may be set so that jobs are lost."""

    async def concerns(self) -> list[str]:
        """Return what could lose jobs, each as the end of a sentence about the server."""
        ...


async def change_one(store: Store, job: str, change: Change, *, now: float) -> Job:
    """Apply one change. Raises KeyError for an unknown job, NotAllowed as `jobs.apply` does."""
    (answer,) = await store.change([(job, change)], now=now)
    if isinstance(answer, Exception):
        raise answer
    return answer
