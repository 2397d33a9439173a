"""Webhooks on their way, on Redis."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from onecopy.deliveries import Change, Delivery, Replay, Take, Tried, Try, apply, disabled
from onecopy.stores.deliveries import DeliveryFilter
from onecopy.stores.redis_changes import COMMIT
from onecopy.stores.redis_commit import Commit
from onecopy.stores.redis_delivery_records import (
    FIELDS,
    DeliveryKeys,
    DeliveryRecord,
    add_try,
    erase,
    read,
    read_try,
    write,
)
from onecopy.stores.redis_format import look
from onecopy.stores.redis_jobs import PAGE
from onecopy.stores.redis_programs import Program, Programs

_PAGE: Final = 500
_STATUSES: Final = ("pending", "delivered", "failed", "disabled")


class RedisDeliveries:
    """Deliveries of a Redis store; the Deliveries protocol says what each method does."""

    def __init__(self, tag: str, programs: Programs, scans: Programs) -> None:
        self._tag = tag
        self._keys = DeliveryKeys(tag)
        self._programs = programs
        self._scans = scans

    async def due(self, *, now: float, limit: int = 1000) -> list[str]:
        """Return the receivers that something is due for."""

        def run() -> Program[list[str]]:
            words = ("-inf", repr(now), "LIMIT", 0, limit)
            (found,) = yield [("ZRANGEBYSCORE", self._keys.receivers, *words)]
            return [each.decode() for each in found]

        return await self._programs.run(run)

    async def take(self, counts: Mapping[str, int], *, now: float, until: float) -> list[Delivery]:
        """Take due deliveries."""

        def run() -> Program[list[Delivery]]:
            taken: list[Delivery] = []
            for receiver, count in counts.items():
                taken += yield from self._take(receiver, count, now, until)
            return taken

        return await self._programs.run(run)

    def _take(self, receiver: str, count: int, now: float, until: float) -> Program[list[Delivery]]:
        taken: list[Delivery] = []
        while len(taken) < count:
            words = ("-inf", repr(now), "LIMIT", 0, count - len(taken))
            due = ("ZRANGEBYSCORE", self._keys.pending_at(receiver), *words)
            places, _ = yield [due, look(self._tag)]
            if not places:
                break
            ids = [each.decode().partition(":")[2] for each in places]
            records = yield from self._get(ids)
            some: list[tuple[Commit, Delivery]] = []
            for record in records:
                if record.delivery.due_at is None or record.delivery.due_at > now:
                    continue  # Another has taken it since.
                after = apply(record.delivery, Take(secrets.token_urlsafe(12), until), now)
                commit = Commit()
                write(commit, self._keys, record, after)
                some.append((commit, after))
            if some:
                done = yield [COMMIT.call(self._tag, commit.packed()) for commit, _ in some]
                taken += [after for (_, after), won in zip(some, done, strict=True) if won]
        return taken

    def _get(self, deliveries: Sequence[str]) -> Program[list[DeliveryRecord]]:
        if not deliveries:
            return []
        rows = yield [("HMGET", self._keys.delivery(each), *FIELDS) for each in deliveries]
        return [record for fields in rows if (record := read(fields)) is not None]

    async def change(self, delivery: str, change: Change, *, now: float) -> Delivery:
        """Apply a change; with `Tried`, record the try."""

        def run() -> Program[Delivery]:
            while True:
                records = yield from self._get([delivery])
                if not records:
                    raise KeyError(delivery)
                after = apply(records[0].delivery, change, now)
                commit = Commit()
                write(commit, self._keys, records[0], after)
                if isinstance(change, Tried):
                    add_try(commit, self._keys, delivery, change.outcome)
                    if after.status == "disabled":
                        yield from self._disable(commit, after, now)
                if isinstance(change, Replay):
                    commit.do("SREM", self._keys.disabled, after.url)
                (done,) = yield [COMMIT.call(self._tag, commit.packed())]
                if done:
                    return after

        return await self._programs.run(run)

    def _disable(self, commit: Commit, gone: Delivery, now: float) -> Program[None]:
        """Disable the URL of a delivery, and all others of it that are pending."""
        pending = self._keys.pending_for(gone.url)
        (ids,) = yield [("ZRANGE", pending, 0, -1)]
        records = yield from self._get([each.decode() for each in ids])
        # One more, or one fewer, is seen by the number; one that was changed, by its revision.
        commit.require(len(ids), "ZCARD", pending)
        commit.do("SADD", self._keys.disabled, gone.url)
        for record in records:
            if record.delivery.id != gone.id:
                write(commit, self._keys, record, disabled(record.delivery, now))

    async def get(self, delivery: str) -> tuple[Delivery, list[Try]]:
        """Return a delivery and its tries."""

        def run() -> Program[tuple[Delivery, list[Try]]]:
            fields, tries = yield [
                ("HMGET", self._keys.delivery(delivery), *FIELDS),
                ("LRANGE", self._keys.tries(delivery), 0, -1),
            ]
            record = read(fields)
            if record is None:
                raise KeyError(delivery)
            return record.delivery, [read_try(each) for each in tries]

        return await self._programs.run(run)

    async def find(self, which: DeliveryFilter) -> list[Delivery]:
        """Return deliveries, the newest first."""
        return await self._scans.run(lambda: self._find(which))

    def _find(self, which: DeliveryFilter) -> Program[list[Delivery]]:
        below = "+inf"
        if which.older_than is not None:
            (number,) = yield [("HGET", self._keys.delivery(which.older_than), "s")]
            if number is None:
                raise KeyError(which.older_than)
            below = f"({number.decode()}"
        statuses = which.statuses or _STATUSES
        sets = [self._keys.status(status) for status in dict.fromkeys(statuses)]
        if which.job is not None:
            sets = [self._keys.of(which.job)]
        found: list[Delivery] = []
        while len(found) < which.limit:
            words = (self._keys.prefix, below, _PAGE, len(FIELDS), *FIELDS, *sets)
            (rows,) = yield [PAGE.call(self._tag, *words)]
            if not rows:
                break
            below = f"({rows[-1][0].decode()}"
            records = [read(fields) for _, fields in rows]
            found += [each.delivery for each in records if each and _matches(each.delivery, which)]
        return found[: which.limit]

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final deliveries that were kept for their time."""

        def run() -> Program[int]:
            words = ("-inf", repr(now), "LIMIT", 0, limit)
            (ids,) = yield [("ZRANGEBYSCORE", self._keys.removal, *words)]
            records = yield from self._get([each.decode() for each in ids])
            commits: list[Commit] = []
            for record in records:
                commits.append(Commit())
                erase(commits[-1], self._keys, record)
            if not commits:
                return 0
            done: list[Any] = yield [COMMIT.call(self._tag, each.packed()) for each in commits]
            return sum(done)

        return await self._scans.run(run)


def _matches(delivery: Delivery, which: DeliveryFilter) -> bool:
    return (
        (not which.statuses or delivery.status in which.statuses)
        and which.job in (None, delivery.job)
        and which.url in (None, delivery.url)
        and (which.created_after is None or delivery.created_at > which.created_after)
        and (which.created_before is None or delivery.created_at < which.created_before)
    )
