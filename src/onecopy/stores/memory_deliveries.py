"""Deliveries in the memory of one process."""

import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from onecopy.deliveries import (
    Change,
    Delivery,
    Replay,
    Status,
    Take,
    Tried,
    Try,
    apply,
    disabled,
    of,
)
from onecopy.jobs import Job
from onecopy.stores.base import is_behind
from onecopy.stores.deliveries import DeliveryFilter


class MemoryDeliveries:
    """Deliveries in dicts; the Deliveries protocol says what each method does."""

    def __init__(self, lock: threading.Lock) -> None:
        """Take the lock of the store; it is held where a method says so."""
        self._lock = lock
        self._deliveries: dict[str, Delivery] = {}  # in the order of their recording
        self._tries: defaultdict[str, list[Try]] = defaultdict(list)
        self._disabled: set[str] = set()

    def record(self, job: Job, now: float) -> None:
        """Record the deliveries of a job that has become final; the lock is held."""
        for each in of(job, now):
            new = disabled(each, now) if each.url in self._disabled else each
            self._deliveries[new.id] = new

    def forget(self, job: str) -> None:
        """Forget the final deliveries of a job; the lock is held."""
        for each in self._where(lambda each: each.job == job and each.status != "pending"):
            self._delete(each.id)

    async def due(self, *, now: float, limit: int = 1000) -> list[str]:
        """Return the receivers that something is due for."""
        with self._lock:
            due = self._where(lambda each: each.due_at is not None and each.due_at <= now)
            due.sort(key=lambda each: each.due_at or 0.0)
            return list(dict.fromkeys(each.receiver for each in due))[:limit]

    async def take(self, counts: Mapping[str, int], *, now: float, until: float) -> list[Delivery]:
        """Take due deliveries."""
        with self._lock:
            taken: list[Delivery] = []
            for receiver, count in counts.items():
                due = self._where(
                    lambda each, receiver=receiver: (
                        each.receiver == receiver and each.due_at is not None and each.due_at <= now
                    )
                )
                due.sort(key=lambda each: each.due_at or 0.0)
                taken += [
                    self._set(apply(each, Take(secrets.token_urlsafe(12), until), now))
                    for each in due[:count]
                ]
            return taken

    async def change(self, delivery: str, change: Change, *, now: float) -> Delivery:
        """Apply a change; with `Tried`, record the try."""
        with self._lock:
            after = self._set(apply(self._deliveries[delivery], change, now))
            if isinstance(change, Tried):
                self._tries[delivery].append(change.outcome)
                if after.status == "disabled":
                    self._disable(after.url, now)
            if isinstance(change, Replay):
                self._disabled.discard(after.url)
            return after

    async def get(self, delivery: str) -> tuple[Delivery, list[Try]]:
        """Return a delivery and its tries."""
        with self._lock:
            return self._deliveries[delivery], list(self._tries[delivery])

    async def find(self, which: DeliveryFilter) -> list[Delivery]:
        """Return deliveries, the newest first."""
        with self._lock:
            newest = list(reversed(self._deliveries.values()))
            if which.older_than is not None:
                newest = newest[newest.index(self._deliveries[which.older_than]) + 1 :]
            return [each for each in newest if _matches(each, which)][: which.limit]

    async def prune(self, *, now: float, limit: int = 1000) -> int:
        """Delete final deliveries that were kept for their time."""
        with self._lock:
            old = self._where(
                lambda each: each.finished_at is not None and each.finished_at + each.keep <= now
            )[:limit]
            for each in old:
                self._delete(each.id)
            return len(old)

    def put(self, records: Sequence[tuple[Delivery, Sequence[Try]]]) -> int:
        """Record deliveries as another store has them."""
        put = 0
        with self._lock:
            for delivery, tries in records:
                known = self._deliveries.get(delivery.id)
                if known is None or is_behind(known, delivery):
                    self._set(delivery)
                    self._tries[delivery.id] = [*tries]
                    put += 1
        return put

    def _disable(self, url: str, now: float) -> None:
        self._disabled.add(url)
        for each in self._where(lambda each: each.url == url and each.status == "pending"):
            self._set(disabled(each, now))

    def _set(self, delivery: Delivery) -> Delivery:
        self._deliveries[delivery.id] = delivery
        return delivery

    def _delete(self, delivery: str) -> None:
        del self._deliveries[delivery]
        self._tries.pop(delivery, None)

    def _where(self, condition: Callable[[Delivery], bool]) -> list[Delivery]:
        return [each for each in self._deliveries.values() if condition(each)]


def _matches(delivery: Delivery, which: DeliveryFilter) -> bool:
    statuses: tuple[Status, ...] = tuple(which.statuses)
    return (
        (not statuses or delivery.status in statuses)
        and which.job in (None, delivery.job)
        and which.url in (None, delivery.url)
        and (which.created_after is None or delivery.created_at > which.created_after)
        and (which.created_before is None or delivery.created_at < which.created_before)
    )
