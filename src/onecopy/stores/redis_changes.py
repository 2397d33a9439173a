"""Changes of jobs on Redis: read, applied by the state machine, written if nothing has changed.

What a worker has claimed is remembered, so that most changes need one way to the server: if it has
changed meanwhile, the server refuses, and it is read.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from onecopy import redis_news
from onecopy.deliveries import of
from onecopy.jobs import Change, Event, Job, NotAllowed, apply, describe
from onecopy.redis_script import Script
from onecopy.stores.base import is_of_own_attempt
from onecopy.stores.packing import without_long_texts
from onecopy.stores.redis_commit import Commit, Value, as_text
from onecopy.stores.redis_delivery_records import DeliveryKeys, add
from onecopy.stores.redis_format import look
from onecopy.stores.redis_keys import RECORD, Keys
from onecopy.stores.redis_link import Request
from onecopy.stores.redis_programs import Program
from onecopy.stores.redis_records import Record, long_text, pack, pack_event, read

COMMIT: Final = Script("onecopy.stores", "commit", after="orders")
_REMEMBERED: Final = 1000

type Answer = Job | KeyError | NotAllowed


class Remembered[K, V]:
    """The last things that were put in."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()

    def put(self, key: K, value: V) -> None:
        """Remember one, and forget the oldest if there are many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)

    def take(self, key: K) -> V | None:
        """Return one and forget it; None if it is not there."""
        return self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(slots=True)
class _Task:
    """The changes of one job in a call, by their places in it."""

    job: str
    changes: list[tuple[int, Change]]
    record: Record | None = None
    fresh: bool = False
    """The record was read in this call."""
    disabled: frozenset[str] = frozenset()
    """Those of its callbacks that want no more."""

    @property
    def is_own(self) -> bool:
        """Whether all is said by who runs the job."""
        return all(is_of_own_attempt(change) for _, change in self.changes)


@dataclass(slots=True)
class _Plan:
    """What the changes come to."""

    before: Record
    after: Job
    events: list[Event]
    answers: dict[int, Answer] = field(default_factory=dict[int, Answer])
    told: list[tuple[Job, float]] = field(default_factory=list[tuple[Job, float]])
    """States that have ended the job."""
    changes: list[Change] = field(default_factory=list[Change])

    def is_on_record(self, task: "_Task", record: Record) -> bool:
        """Whether these very changes were written, though no answer came."""
        after = replace(self.after, held=record.job.held)
        return after == record.job and self.changes == [change for _, change in task.changes]


class Changes:
    """Writes changes of jobs."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._deliveries = DeliveryKeys(keys.tag)
        self._claimed: Remembered[str, Record] = Remembered()
        self._doubtful: Remembered[str, _Plan] = Remembered()
        """What was sent without that an answer came."""
        self._held: set[str] = set()
        """Jobs that programs under way change: all but one of them would be refused."""

    def claimed(self, record: Record) -> None:
        """Remember what this process has claimed."""
        self._claimed.put(record.job.id, record)

    def program(self, changes: Sequence[tuple[str, Change]], now: float) -> Program[list[Answer]]:
        """Apply changes, in this order."""
        jobs = {job for job, _ in changes}
        while not self._held.isdisjoint(jobs):
            yield []
        self._held |= jobs
        try:
            return (yield from self._apply(changes, now))
        finally:
            self._held -= jobs

    def _apply(self, changes: Sequence[tuple[str, Change]], now: float) -> Program[list[Answer]]:
        answers: dict[int, Answer] = {}
        tasks = self._tasks(changes)
        while tasks:
            yield from self._read([each for each in tasks if each.record is None])
            planned: list[tuple[_Task, _Plan]] = []
            for each in tasks:
                if each.record is None:
                    answers |= {place: KeyError(each.job) for place, _ in each.changes}
                else:
                    planned.append((each, self._plan(each, each.record, now)))
            tasks = yield from self._settle(planned, answers)
        return [answers[place] for place in range(len(changes))]

    def _settle(
        self, planned: Sequence[tuple[_Task, _Plan]], answers: dict[int, Answer]
    ) -> Program[list[_Task]]:
        """Write what is to be written, and answer; return what has to be read and planned anew."""
        again: list[_Task] = []
        for task, plan in planned:
            if not plan.events and task.fresh:
                answers |= plan.answers
            elif not plan.events:
                again.append(task)
        again += yield from self._write([each for each in planned if each[1].events], answers)
        for task in again:
            task.record = None
        return again

    def _tasks(self, changes: Sequence[tuple[str, Change]]) -> list[_Task]:
        tasks: dict[str, _Task] = {}
        for place, (job, change) in enumerate(changes):
            tasks.setdefault(job, _Task(job, [])).changes.append((place, change))
        for job, task in tasks.items():
            task.record = self._claimed.take(job)
        return [*tasks.values()]

    def _read(self, tasks: Sequence[_Task]) -> Program[None]:
        if not tasks:
            return
        requests: list[Request] = [("HMGET", self._keys.job(each.job), *RECORD) for each in tasks]
        if not all(each.is_own for each in tasks):
            requests.append(look(self._keys.tag))
        answers = yield requests
        for each, fields in zip(tasks, answers, strict=False):
            each.record = read(fields)
            each.fresh = True
        told = [each for each in tasks if each.record is not None and each.record.job.callbacks]
        if told:
            flags = yield [
                ("SMISMEMBER", self._deliveries.disabled, *self._callbacks(each)) for each in told
            ]
            for each, some in zip(told, flags, strict=True):
                urls = zip(self._callbacks(each), some, strict=True)
                each.disabled = frozenset(url for url, flag in urls if flag)

    def _callbacks(self, task: _Task) -> Sequence[str]:
        return () if task.record is None else task.record.job.callbacks

    def _plan(self, task: _Task, record: Record, now: float) -> _Plan:
        plan = _Plan(record, record.job, [], changes=[change for _, change in task.changes])
        sent = self._doubtful.take(task.job)
        if sent is not None and sent.is_on_record(task, record):
            answers = sent.answers.values()
            plan.answers = {
                place: answer for (place, _), answer in zip(task.changes, answers, strict=True)
            }
            return plan
        for place, change in task.changes:
            before = plan.after
            try:
                after = apply(before, change, now)
            except NotAllowed as error:
                plan.answers[place] = error.with_traceback(None)
                continue
            if after is not before:
                plan.events.append(describe(before, change, after, now))
                if after.callbacks and after.final:
                    plan.told.append((after, now))
            plan.after = after
            plan.answers[place] = after
        return plan

    def _write(
        self, plans: Sequence[tuple[_Task, _Plan]], answers: dict[int, Answer]
    ) -> Program[list[_Task]]:
        """Write what was planned; return the tasks whose records have changed meanwhile."""
        if not plans:
            return []
        number = yield from self._numbers(plans)
        requests: list[Request] = []
        for task, plan in plans:
            requests.append(COMMIT.call(self._keys.tag, self._commit(task, plan, number).packed()))
            number += sum(len(ended.callbacks) for ended, _ in plan.told)
        for task, plan in plans:
            self._doubtful.put(task.job, plan)
        written: list[Any] = yield requests
        again: list[_Task] = []
        for (task, plan), done in zip(plans, written, strict=True):
            self._doubtful.take(task.job)
            if not done:
                again.append(task)
                continue
            answers |= plan.answers
            if plan.after.status == "running":
                record = Record(plan.after, plan.before.number, plan.before.revision + 1, None)
                self._claimed.put(task.job, record)
        return again

    def _numbers(self, plans: Sequence[tuple[_Task, _Plan]]) -> Program[int]:
        """Return the first of as many numbers as there are deliveries to record."""
        count = sum(len(ended.callbacks) for _, plan in plans for ended, _ in plan.told)
        if not count:
            return 0
        (last,) = yield [("INCRBY", self._deliveries.numbers, count)]
        return last - count + 1

    def _commit(self, task: _Task, plan: _Plan, number: int) -> Commit:
        commit = Commit()
        before, after = plan.before, plan.after
        key = self._keys.job(task.job)
        commit.require(str(before.revision), "HGET", key, "n")
        write(commit, self._keys, before, after, plan.events)
        for ended, now in plan.told:
            for url in ended.callbacks:
                unwanted = int(url in task.disabled)
                commit.require(unwanted, "SISMEMBER", self._deliveries.disabled, url)
            for delivery in of(ended, now):
                add(commit, self._deliveries, delivery, task.disabled, now, number)
                number += 1
        channel, said = redis_news.news(self._keys.tag, after)
        commit.do("PUBLISH", channel, as_text(said))
        return commit


def write(commit: Commit, keys: Keys, before: Record, after: Job, events: Sequence[Event]) -> None:
    """Write a record as it is after a change, with events."""
    key = keys.job(after.id)
    fields: list[Value] = ["j", as_text(pack(after)), "n", str(before.revision + 1)]
    if after.lease is not None:
        fields += ["u", repr(after.lease.until)]
    result = long_text(after.result, without_long_texts(after).result)
    if result is not None:
        fields += ["r", result]
    commit.do("HSET", key, *fields)
    if before.claimed is not None:
        commit.do("HDEL", key, "c")
    if before.job.lease is not None and after.lease is None:
        commit.do("HDEL", key, "u")
    told = events if before.claimed is None else [before.claimed, *events]
    commit.do("RPUSH", keys.events(after.id), *(as_text(pack_event(event)) for event in told))
    keys.move(commit, before.number, before.job, after)
