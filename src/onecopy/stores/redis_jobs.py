"""Jobs on Redis: accepted, claimed, looked up, listed, forgotten; each method makes a program."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from msgspec import msgpack

from onecopy.jobs import Event, Job, Lease, Order, accepted, expired
from onecopy.redis_script import Script
from onecopy.stores.base import RING_SOON, Filter, IdempotencyConflict, QueueFull, Stats
from onecopy.stores.figures import SUMS, stats_of
from onecopy.stores.packing import without_long_texts
from onecopy.stores.redis_changes import COMMIT
from onecopy.stores.redis_commit import Commit, as_text
from onecopy.stores.redis_delivery_records import FIELDS, DeliveryKeys, erase
from onecopy.stores.redis_delivery_records import read as read_delivery
from onecopy.stores.redis_format import FORMAT
from onecopy.stores.redis_keys import (
    RECORD,
    Keys,
    figure,
    idempotency,
    lane_name,
    name,
    order_name,
    unname,
)
from onecopy.stores.redis_link import Request
from onecopy.stores.redis_programs import Program
from onecopy.stores.redis_records import (
    Record,
    long_text,
    pack,
    pack_event,
    read,
    unpack_event,
)

ACCEPT: Final = Script("onecopy.stores", "accept", rings=True, after="orders")
CLAIM: Final = Script("onecopy.stores", "claim")
EXTEND: Final = Script("onecopy.stores", "extend")
EVENTS: Final = Script("onecopy.stores", "events")
PAGE: Final = Script("onecopy.stores", "page")
FIRST_DUE: Final = Script("onecopy.stores", "first_due")
_PAGE: Final = 500
_STATUSES: Final = ("queued", "running", "succeeded", "failed", "cancelled")

type _Row = tuple[int, list[bytes], list[bytes | None] | None]
"""Of `events.lua`."""

_encode: Final = msgpack.Encoder().encode


class Jobs:
    """Makes programs."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._deliveries = DeliveryKeys(keys.tag)

    def accept(self, jobs: Sequence[Job], max_queued: int | None) -> Program[list[Job]]:
        """Record jobs, all or none."""
        bound = False if max_queued is None else max_queued
        packed = _encode([[_new(job) for job in jobs], bound, time.time() + RING_SOON])
        (answers,) = yield [ACCEPT.call(self._keys.tag, self._keys.tag, packed, FORMAT)]
        if answers and answers[0] == b"conflict":
            keys = ", ".join(repr(job.idempotency_key) for job in jobs if job.idempotency_key)
            raise IdempotencyConflict(f"the key {keys} is of job {answers[1].decode()}")
        if answers and answers[0] == b"full":
            queue = next(job.queue for job in jobs if name(job.queue).encode() == answers[1])
            raise QueueFull(f"the queue {queue!r} has its bound of {max_queued} jobs")
        by_id = {job.id: job for job in reversed(jobs)}
        return [_accepted(job, answer, by_id) for job, answer in zip(jobs, answers, strict=True)]

    def claim(
        self,
        lease: Lease,
        queues: Sequence[str],
        now: float,
        tokens: Sequence[str],
        without: Collection[str],
    ) -> Program[list[Record]]:
        """Begin attempts of due jobs, with these tokens in place of the lease's."""
        given = _first(queues, len(tokens), without, tokens)
        words = (repr(now), repr(lease.until), lease.worker, given)
        (found,) = yield [CLAIM.call(self._keys.tag, self._keys.tag, *words, FORMAT)]
        return _records(found)

    def due(
        self, queues: Sequence[str], now: float, limit: int, without: Collection[str]
    ) -> Program[list[Job]]:
        """Return the jobs that a claim would begin."""
        words = (repr(now), "", "", _first(queues, limit, without, None))
        (found,) = yield [CLAIM.call(self._keys.tag, self._keys.tag, *words, FORMAT)]
        return [record.job for record in _records(found)]

    def in_turn(self, orders: Sequence[Order]) -> Program[list[Job]]:
        """Return the queued jobs whose turn it is."""
        if not orders:
            return []
        (ids,) = yield [("HMGET", self._keys.turns, *map(order_name, orders))]
        records = yield from self.get([each.decode() for each in ids if each is not None])
        jobs = [record.job for record in records]
        return [job for job in jobs if job.status == "queued" and not job.held]

    def get(self, jobs: Collection[str]) -> Program[list[Record]]:
        """Return the records that exist."""
        if not jobs:
            return []
        found = yield [("HMGET", self._keys.job(job), *RECORD) for job in dict.fromkeys(jobs)]
        return _records(found)

    def events(self, after: Mapping[str, int], limit: int | None) -> Program[list[Event]]:
        """Return the events of jobs with numbers over those given, each job's in order."""
        jobs: list[str] = [*after]
        asked = [each for job, number in after.items() for each in (job, number + 1)]
        most = -1 if limit is None else limit
        if not asked:
            return []
        (rows,) = yield [EVENTS.call(self._keys.tag, self._keys.tag, most, *asked)]
        found: list[Event] = []
        for place, packed, fields in cast("list[_Row]", rows):
            job = jobs[(place - 3) // 2]
            first = after[job] + 1
            found += [unpack_event(job, first + i, each) for i, each in enumerate(packed)]
            record = None if fields is None else read(fields)
            claimed = None if record is None else record.claimed
            if claimed is not None and claimed.number == first + len(packed):
                found.append(claimed)
        return found[:limit]

    def extend(self, workers: Sequence[str], until: float) -> Program[None]:
        """Lengthen the leases of all running attempts of some workers."""
        if workers:
            yield [EXTEND.call(self._keys.tag, self._keys.tag, repr(until), *workers)]

    def overdue(self, now: float, limit: int) -> Program[list[Job]]:
        """Return running jobs whose lease is over, and queued jobs that have expired."""
        asked = [
            ("ZRANGEBYSCORE", key, "-inf", repr(now), "LIMIT", 0, limit)
            for key in (self._keys.leases, self._keys.expiry)
        ]
        lost, late = yield asked
        records = yield from self.get([each.decode() for each in (*lost, *late)][:limit])
        jobs = [record.job for record in records]
        return [job for job in jobs if _lease_is_over(job, now) or expired(job, now)]

    def running(self, worker: str) -> Program[list[Job]]:
        """Return the jobs that a worker has attempts of."""
        (ids,) = yield [("ZRANGE", self._keys.worker(worker), 0, -1)]
        records = yield from self.get([each.decode() for each in ids])
        jobs = [record.job for record in records]
        return [job for job in jobs if job.lease is not None and job.lease.worker == worker]

    def next_due(self, queues: Sequence[str], without: Collection[str]) -> Program[float | None]:
        """Return when the next queued job is due."""
        if not queues:
            return None
        (due,) = yield [self._first_due(queues, without, None)]
        return None if due is None else float(due)

    def _first_due(
        self, queues: Sequence[str], without: Collection[str], only: str | None
    ) -> Request:
        wanted = False if only is None else {name(only): 1}
        given = [[name(queue) for queue in queues], {name(each): 1 for each in without}, wanted]
        return FIRST_DUE.call(self._keys.tag, self._keys.tag, _encode(given))

    def find(self, which: Filter) -> Program[list[Job]]:
        """Return jobs, the newest first: page by page."""
        below = "+inf"
        if which.older_than is not None:
            (number,) = yield [("HGET", self._keys.job(which.older_than), "s")]
            if number is None:
                raise KeyError(which.older_than)
            below = f"({number.decode()}"
        statuses = which.statuses or _STATUSES
        sets = [self._keys.status(status) for status in dict.fromkeys(statuses)]
        found: list[Job] = []
        short = RECORD[:6]
        while len(found) < which.limit:
            size = _PAGE if _selects(which) else min(_PAGE, which.limit - len(found))
            words = (f"{self._keys.tag}job:", below, size, len(short), *short, *sets)
            (rows,) = yield [PAGE.call(self._keys.tag, *words)]
            if not rows:
                break
            below = f"({rows[-1][0].decode()}"
            records = _records([[*fields, None, None] for _, fields in rows])
            found += [record.job for record in records if which.matches(record.job)]
        return (yield from self._whole(found[: which.limit]))

    def _whole(self, jobs: Sequence[Job]) -> Program[list[Job]]:
        """Return jobs with their long texts, which are not read for those that do not match."""
        short = [job.id for job in jobs if not job.arguments or job.result == ""]
        whole = yield from self.get(short)
        by_id = {record.job.id: record.job for record in whole}
        return [by_id.get(job.id, job) for job in jobs]

    def stats(self) -> Program[list[Stats]]:
        """Return figures by queue and task."""
        (flat,) = yield [("HGETALL", self._keys.figures)]
        sums: dict[str, list[int]] = {}
        for field, value in zip(flat[::2], flat[1::2], strict=True):
            group, _, index = field.decode().rpartition(":")
            sums.setdefault(group, [0] * len(SUMS))[int(index)] = int(value)
        groups = [(unname(group), numbers) for group, numbers in sorted(sums.items())]
        if not groups:
            return []
        firsts = yield [self._first_due([queue], (), task) for (queue, task), _ in groups]
        found: list[Stats] = []
        for ((queue, task), numbers), first in zip(groups, firsts, strict=True):
            oldest = None if first is None else float(first)
            stats = stats_of(queue, task, numbers, oldest)
            found += [] if stats is None else [stats]
        return found

    def announce(self, address: str, until: float) -> Program[None]:
        """Record an address, for so long."""
        yield [("ZADD", self._keys.addresses, repr(until), address)]

    def announced(self, now: float) -> Program[list[str]]:
        """Return the addresses whose time is not over."""
        words = (f"({now!r}", "+inf")
        (found,) = yield [("ZRANGEBYSCORE", self._keys.addresses, *words)]
        return [each.decode() for each in found]

    def prune(self, now: float, limit: int) -> Program[int]:
        """Delete final jobs that have been kept long enough; return how many were looked at."""
        words = ("-inf", repr(now), "LIMIT", 0, limit)
        ids, _ = yield [
            ("ZRANGEBYSCORE", self._keys.removal, *words),
            ("ZREMRANGEBYSCORE", self._keys.addresses, "-inf", repr(now)),
        ]
        return (yield from self.forget([each.decode() for each in ids], now))

    def forget(self, jobs: Sequence[str], now: float | None = None) -> Program[int]:
        """Delete those that are final (and were kept long enough, by `now`); return how many."""
        wanted = [*dict.fromkeys(jobs)]
        forgotten = 0
        while wanted:
            records = yield from self.get(wanted)
            final = [record for record in records if _may_go(record.job, now)]
            if not final:
                break
            deliveries = yield from self._final_deliveries(final)
            commits = [self._erase(each, deliveries.get(each.job.id, ())) for each in final]
            done: list[Any] = yield [
                COMMIT.call(self._keys.tag, commit.packed()) for commit in commits
            ]
            forgotten += sum(done)
            # What has changed meanwhile is looked at once more.
            wanted = [each.job.id for each, gone in zip(final, done, strict=True) if not gone]
        return forgotten

    def _final_deliveries(self, records: Sequence[Record]) -> Program[dict[str, list[Any]]]:
        told = [record.job.id for record in records if record.job.callbacks]
        if not told:
            return {}
        ids = yield [("ZRANGE", self._deliveries.of(job), 0, -1) for job in told]
        flat = [(job, one.decode()) for job, some in zip(told, ids, strict=True) for one in some]
        if not flat:
            return {}
        rows = yield [("HMGET", self._deliveries.delivery(one), *FIELDS) for _, one in flat]
        found: dict[str, list[Any]] = {}
        for (job, _), fields in zip(flat, rows, strict=True):
            record = read_delivery(fields)
            if record is not None and record.delivery.status != "pending":
                found.setdefault(job, []).append(record)
        return found

    def _erase(self, record: Record, deliveries: Sequence[Any]) -> Commit:
        commit, job = Commit(), record.job
        key = self._keys.job(job.id)
        commit.require(str(record.revision), "HGET", key, "n")
        commit.do("DEL", key, self._keys.events(job.id))
        if job.idempotency_key is not None:
            commit.do("HDEL", self._keys.idempotency, idempotency(job.task, job.idempotency_key))
        self._keys.move(commit, record.number, job, None)
        for each in deliveries:
            erase(commit, self._deliveries, each)
        return commit


def _first(
    queues: Sequence[str], most: int, without: Collection[str], tokens: Sequence[str] | None
) -> bytes:
    """What `claim.lua` is told of the jobs that are wanted."""
    passed_over = {name(each): 1 for each in without}
    given = False if tokens is None else [*tokens]
    return _encode([[name(queue) for queue in queues], most, passed_over, given])


def _new(job: Job) -> list[Any]:
    """What `accept.lua` is told of a job."""
    key = None if job.idempotency_key is None else idempotency(job.task, job.idempotency_key)
    arguments = long_text(job.arguments, without_long_texts(job).arguments)
    due, expires = repr(job.due_at), None if job.expires_at is None else repr(job.expires_at)
    place = (name(job.queue), lane_name(job), repr(float(-job.priority)), due, expires or False)
    texts = (key or False, job.fingerprint or False, as_text(pack(job)), arguments or False)
    field = f"{figure(job.queue, job.task)}:{SUMS.index('queued')}"
    order = False if job.order is None else order_name(job.order)
    return [job.id, *texts, as_text(pack_event(accepted(job))), *place, field, order]


def _accepted(job: Job, answer: Any, by_id: Mapping[str, Job]) -> Job:  # noqa: ANN401 - a reply
    if answer == 1:
        return by_id[job.id]
    if len(answer) == 1:
        return by_id[answer[0].decode()]
    record = read(answer)
    assert record is not None, "what is on record was read in the same step"
    return record.job


def _records(rows: Sequence[Any]) -> list[Record]:
    return [record for fields in rows if (record := read(fields)) is not None]


def _lease_is_over(job: Job, now: float) -> bool:
    return job.lease is not None and job.lease.until <= now


def _may_go(job: Job, now: float | None) -> bool:
    if not job.final or job.finished_at is None:
        return False
    return now is None or job.finished_at + job.keep <= now


def _selects(which: Filter) -> bool:
    conditions = (which.task, which.queue, which.created_after, which.created_before)
    return any(condition is not None for condition in conditions)
