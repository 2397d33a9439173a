"""A store in the memory of one process: for tests, and to read before writing another one."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import fmean

from msgspec.structs import replace

from onecopy.deliveries import Delivery, Try
from onecopy.jobs import (
    Change,
    Claim,
    Event,
    Job,
    Lease,
    NotAllowed,
    Order,
    Status,
    accepted,
    apply,
    describe,
    expired,
    in_turn,
    new_token,
)
from onecopy.stores.base import Filter, IdempotencyConflict, QueueFull, Record, Stats, spans
from onecopy.stores.memory_deliveries import MemoryDeliveries


class MemoryStore:
    """Jobs in dicts; the Store protocol says what each method does. A fork has its own copy."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}  # in the order of acceptance
        self._events: dict[str, list[Event]] = {}
        self._announced: dict[str, float] = {}
        self._lock = threading.Lock()
        self._deliveries = MemoryDeliveries(self._lock)

    @property
    def deliveries(self) -> MemoryDeliveries:
        """The webhooks of its jobs."""
        return self._deliveries

    async def open(self) -> None:
        """Nothing is to be done."""

    async def close(self) -> None:
        """Nothing is to be done: the jobs stay as long as this object."""

    async def accept(self, jobs: Sequence[Job], *, max_queued: int | None = None) -> list[Job]:
        """Record jobs, all or none."""
        with self._lock:
            new: dict[str, Job] = {}
            answer = [self._on_record(job, new) or new.setdefault(job.id, job) for job in jobs]
            for first, job in zip(answer, jobs, strict=True):
                if first.fingerprint != job.fingerprint:
                    raise IdempotencyConflict(f"{job.idempotency_key!r} is of job {first.id}")
            if max_queued is not None:
                self._must_have_room(new.values(), max_queued)
            for job in new.values():
                self._jobs[job.id] = job
                self._events[job.id] = [accepted(job)]
            self._settle(new.values())
            return answer

    def _on_record(self, job: Job, new: dict[str, Job]) -> Job | None:
        known = self._jobs.get(job.id) or new.get(job.id)
        if known is not None or job.idempotency_key is None:
            return known
        key = job.task, job.idempotency_key
        both = (*self._jobs.values(), *new.values())
        return next((each for each in both if (each.task, each.idempotency_key) == key), None)

    def _must_have_room(self, new: Iterable[Job], max_queued: int) -> None:
        for queue in {job.queue for job in new}:
            queued = sum(
                job.status == "queued" for job in self._jobs.values() if job.queue == queue
            )
            if queued + sum(job.queue == queue for job in new) > max_queued:
                raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")

    def _settle(self, jobs: Iterable[Job]) -> None:
        """Hold all of an order but the one whose turn it is."""
        for order in {job.order for job in jobs} - {None}:
            its = self._where(lambda job, order=order: job.order == order and not job.final)
            turn = in_turn(its)
            for job in its:
                held = job.status == "queued" and job is not turn
                if job.held != held:
                    self._jobs[job.id] = replace(job, held=held)

    def _change(self, before: Job, change: Change, now: float) -> Job:
        after = apply(before, change, now)
        if after is not before:
            self._jobs[after.id] = after
            self._events[after.id].append(describe(before, change, after, now))
            if after.callbacks and after.final:
                self._deliveries.record(after, now)
            self._settle([after])
        return after

    async def put_jobs(self, records: Sequence[Record]) -> int:
        """Record jobs as another store has them."""
        put = 0
        with self._lock:
            for job, events in records:
                known = self._jobs.get(job.id)
                if known is None or known.version < job.version:
                    self._jobs[job.id], self._events[job.id] = job, [*events]
                    put += 1
            self._settle(record.job for record in records)
        return put

    async def put_deliveries(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries as another store has them."""
        return self._deliveries.put(records)

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
        """Begin attempts of due jobs."""
        with self._lock:
            return [
                self._change(job, Claim(Lease(new_token(), worker, until)), now)
                for job in self._due(queues, now, without)[:limit]
            ]

    async def change(
        self, changes: Sequence[tuple[str, Change]], *, now: float
    ) -> list[Job | KeyError | NotAllowed]:
        """Apply changes, in this order."""
        answers: list[Job | KeyError | NotAllowed] = []
        with self._lock:
            for job, change in changes:
                try:
                    answers.append(self._change(self._jobs[job], change, now))
                except (KeyError, NotAllowed) as error:
                    answers.append(error)
        return answers

    async def in_turn(self, orders: Sequence[Order]) -> list[Job]:
        """Return the queued jobs whose turn it is in these orders."""
        with self._lock:
            return self._where(
                lambda job: job.order in orders and job.status == "queued" and not job.held
            )

    async def get(self, jobs: Sequence[str]) -> list[Job]:
        """Return the jobs that exist, in no order."""
        with self._lock:
            return [self._jobs[job] for job in set(jobs) if job in self._jobs]

    async def events(self, after: Mapping[str, int], *, limit: int | None = None) -> list[Event]:
        """Return the events of jobs with numbers over those given, each job's in order."""
        with self._lock:
            return [
                event
                for job, number in after.items()
                for event in self._events.get(job, [])[number + 1 :]
            ][:limit]

    async def extend(self, workers: Sequence[str], *, until: float) -> None:
        """Lengthen the leases of all running attempts of these workers."""
        with self._lock:
            for job in self._where(lambda job: job.lease is not None):
                if job.lease is not None and job.lease.worker in workers:
                    lease = replace(job.lease, until=max(until, job.lease.until))
                    self._jobs[job.id] = replace(job, lease=lease)

    async def overdue(self, *, now: float, limit: int = 100) -> list[Job]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""
        with self._lock:
            return self._where(
                lambda job: expired(job, now) or (job.lease is not None and job.lease.until <= now)
            )[:limit]

    async def running(self, worker: str) -> list[Job]:
        """Return the jobs that a worker has attempts of."""
        with self._lock:
            return self._where(lambda job: job.lease is not None and job.lease.worker == worker)

    async def next_due(self, queues: Sequence[str], *, without: Sequence[str] = ()) -> float | None:
        """Return when the next queued job is due, or was; None if none."""
        with self._lock:
            return min((job.due_at for job in self._queued(queues, without)), default=None)

    async def due(
        self, queues: Sequence[str], *, now: float, limit: int = 1, without: Sequence[str] = ()
    ) -> list[Job]:
        """Return the jobs that `claim` would begin."""
        with self._lock:
            return self._due(queues, now, without)[:limit]

    def _due(self, queues: Sequence[str], now: float, without: Sequence[str]) -> list[Job]:
        queued = self._queued(queues, without)
        due = [job for job in queued if job.due_at <= now and not expired(job, now)]
        return sorted(due, key=lambda job: (queues.index(job.queue), -job.priority, job.due_at))

    async def find(self, which: Filter) -> list[Job]:
        """Return jobs, the newest first."""
        with self._lock:
            newest = list(reversed(self._jobs.values()))
            if which.older_than is not None:
                newest = newest[newest.index(self._jobs[which.older_than]) + 1 :]
            return [job for job in newest if which.matches(job)][: which.limit]

    async def stats(self) -> list[Stats]:
        """Return figures by queue and task."""
        groups: defaultdict[tuple[str, str], list[Job]] = defaultdict(list)
        with self._lock:
            for job in self._jobs.values():
                groups[job.queue, job.task].append(job)
        return [_figures(*key, jobs) for key, jobs in sorted(groups.items())]

    async def announce(self, address: str, *, until: float) -> None:
        """Record where workers of a host take calls."""
        with self._lock:
            self._announced[address] = until

    async def announced(self, *, now: float) -> list[str]:
        """Return the addresses whose time is not over."""
        with self._lock:
            return [address for address, until in self._announced.items() if until > now]

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final jobs that have been kept long enough, with their events."""
        with self._lock:
            old = self._where(
                lambda job: job.finished_at is not None and job.finished_at + job.keep <= now
            )[:limit]
            self._delete([job.id for job in old])
            return len(old)

    async def forget(self, jobs: Sequence[str]) -> int:
        """Delete those of these jobs that are final, with their events."""
        with self._lock:
            final = [job for job in set(jobs) if job in self._jobs and self._jobs[job].final]
            self._delete(final)
            return len(final)

    def _delete(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            del self._jobs[job], self._events[job]
            self._deliveries.forget(job)

    def _queued(self, queues: Collection[str], without: Collection[str]) -> list[Job]:
        return self._where(
            lambda job: (
                job.status == "queued"
                and not job.held
                and job.queue in queues
                and job.task not in without
            )
        )

    def _where(self, condition: Callable[[Job], bool]) -> list[Job]:
        return [job for job in self._jobs.values() if condition(job)]


def _figures(queue: str, task: str, jobs: Sequence[Job]) -> Stats:
    times = [each for job in jobs if (each := spans(job)) is not None]
    next_ones = [job for job in jobs if job.status == "queued" and not job.held]
    counts: dict[Status, int] = {}
    for job in jobs:
        counts[job.status] = counts.get(job.status, 0) + 1
    return Stats(
        queue=queue,
        task=task,
        counts=counts,
        wait=fmean(wait for wait, _ in times) if times else None,
        run=fmean(run for _, run in times) if times else None,
        oldest=min((job.due_at for job in next_ones), default=None),
    )
