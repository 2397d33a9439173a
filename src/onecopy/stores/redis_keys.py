"""The keys of the Redis store, and where a job stands in the sets that are searched.

All keys of a store begin with one tag in braces, so on a cluster they lie in one hash slot. That is
what keeps `accept` all or nothing across jobs, and a claim across queues one step; several stores
(`?prefix=`) spread over a cluster.

    {onecopy}job:ID        hash: j job, n revision, s number, c claim, u until, a arguments,
                           r result, f fingerprint; of an ordering key, while queued: w where it
                           stands, h held
    {onecopy}events:ID     list: its events, by their numbers
    {onecopy}keys          hash: idempotency keys
    {onecopy}status:S      jobs of a status, by number
    {onecopy}lane:Q:P:T    queued jobs of a queue, priority and task, by when they are due
    {onecopy}lanes:Q       the lanes of a queue that have jobs, the highest priority first
    {onecopy}order:Q:K     jobs of an ordering key that are not final, by number
    {onecopy}turns         hash: whose turn it is, by queue and ordering key
    {onecopy}expiry        queued jobs that expire, by when
    {onecopy}leases        running jobs, by the end of their lease
    {onecopy}worker:W      running jobs of a worker
    {onecopy}removal       final jobs, by when they are to go
    {onecopy}figures       hash: sums by queue and task
    {onecopy}queued        hash: queued jobs by queue
    {onecopy}addresses     where hosts take calls, by until when
"""

from typing import Final
from urllib.parse import quote, unquote

from msgspec.structs import replace

from onecopy.jobs import Job, Order, Status
from onecopy.stores.figures import Sums
from onecopy.stores.redis_commit import Commit

type Marks = dict[tuple[str, str], str]
"""Scores by sorted set and member."""

RECORD: Final = ("j", "n", "s", "c", "u", "h", "a", "r")
"""The fields that `redis_records.read` takes."""


class Keys:
    """Names of the keys of one store."""

    def __init__(self, prefix: str) -> None:
        self.tag = f"{{{prefix}}}"
        self.expiry = f"{self.tag}expiry"
        self.leases = f"{self.tag}leases"
        self.addresses = f"{self.tag}addresses"
        self.removal = f"{self.tag}removal"
        self.figures = f"{self.tag}figures"
        self.queued = f"{self.tag}queued"
        self.turns = f"{self.tag}turns"
        self.idempotency = f"{self.tag}keys"

    def job(self, job: str) -> str:
        """The record of a job."""
        return f"{self.tag}job:{job}"

    def events(self, job: str) -> str:
        """The history of a job."""
        return f"{self.tag}events:{job}"

    def status(self, status: Status) -> str:
        """The jobs of a status."""
        return f"{self.tag}status:{status}"

    def worker(self, worker: str) -> str:
        """The running jobs of a worker."""
        return f"{self.tag}worker:{worker}"

    def lane(self, job: Job) -> str:
        """Where a queued job stands."""
        return f"{self.tag}lane:{name(job.queue)}:{lane_name(job)}"

    def lanes(self, queue: str) -> str:
        """The lanes of a queue."""
        return f"{self.tag}lanes:{name(queue)}"

    def marks(self, job: Job, number: int) -> Marks:
        """Where a job stands; its number is that of its acceptance."""
        marks: Marks = {(self.status(job.status), job.id): str(number)}
        if job.order is not None and not job.final:
            marks[f"{self.tag}order:{order_name(job.order)}", job.id] = str(number)
        if job.status == "queued":
            if not job.held:
                marks[self.lane(job), place(number, job.id)] = repr(job.due_at)
            if job.expires_at is not None:
                marks[self.expiry, job.id] = repr(job.expires_at)
        if job.lease is not None:
            marks[self.leases, job.id] = repr(job.lease.until)
            marks[self.worker(job.lease.worker), job.id] = "0"
        if job.finished_at is not None and job.final:
            marks[self.removal, job.id] = repr(job.finished_at + job.keep)
        return marks

    def move(self, commit: Commit, number: int, before: Job | None, after: Job | None) -> None:
        """Bring sets and sums from one state of a job to the next; None: it is not there."""
        if after is not None and after.order is not None:
            after = self._in_order(commit, after.order, before, after)
        old = {} if before is None else self.marks(before, number)
        new = {} if after is None else self.marks(after, number)
        commit.remark(old, new)
        for job in (before, after):
            if job is not None and job.status == "queued" and not job.held:
                score = repr(float(-job.priority))
                commit.head(self.lane(job), self.lanes(job.queue), lane_name(job), score)
        self._count(commit, before, after)

    def _in_order(self, commit: Commit, order: Order, before: Job | None, after: Job) -> Job:
        """Return a job of an order as it stands in the sets until that is settled."""
        if after.status == "running":
            if before is None or before.status != "running":
                commit.do("HSET", self.turns, order_name(order), after.id)
            return after
        commit.settle(order_name(order))
        commit.do("HDEL", self.job(after.id), "h", "w")
        if after.final:
            return after
        where = f"{after.due_at!r} {float(-after.priority)!r} {lane_name(after)}"
        commit.do("HSET", self.job(after.id), "h", "1", "w", where)
        return replace(after, held=True)

    def _count(self, commit: Commit, before: Job | None, after: Job | None) -> None:
        sums = Sums()
        if before is not None and after is not None:
            sums.replace(before, after)
        elif before is not None:
            sums.add(before, -1)
        elif after is not None:
            sums.add(after)
        for queue, task, *numbers in sums.rows():
            field = figure(str(queue), str(task))
            for index, added in enumerate(numbers):
                commit.count(self.figures, f"{field}:{index}", int(added))
            commit.count(self.queued, name(str(queue)), int(numbers[0]))


def name(text: str) -> str:
    """A queue's or task's name as part of a key: without a colon."""
    return quote(text, safe="")


def lane_name(job: Job) -> str:
    """Priority and task."""
    return f"{job.priority}:{name(job.task)}"


def order_name(order: Order) -> str:
    """A queue and an ordering key, as a field and as part of a key."""
    return f"{name(order[0])}:{order[1]}"


def place(number: int, job: str) -> str:
    """A member of a lane: those that are due at one time go by number."""
    return f"{number:016d}:{job}"


def figure(queue: str, task: str) -> str:
    """The field of the sums of a queue and task, before the index in `SUMS`."""
    return f"{name(queue)}:{name(task)}"


def unname(figure: str) -> tuple[str, str]:
    """Return queue and task of such a field."""
    queue, _, task = figure.partition(":")
    return unquote(queue), unquote(task)


def idempotency(task: str, key: str) -> str:
    """The field of an idempotency key: of one task."""
    return f"{name(task)}:{key}"
