"""Delivers what a store has for delivery; any number of processes may, each delivery is one's.

A delivery is taken for a time and tried once: its outcome is recorded with when the next try is
due. Who is killed in between has told nobody; another courier takes it when its time is over, so
that a receiver may get a webhook twice, under the same id, and never none.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from onecopy.deliveries import Delivery, GiveBack, Tried, pause
from onecopy.errors import OneCopyError
from onecopy.jobs import NotAllowed
from onecopy.stores import Deliveries, Unavailable
from onecopy.webhooks.config import Webhooks
from onecopy.webhooks.keys import must_be_installed
from onecopy.webhooks.receivers import Receivers

if TYPE_CHECKING:
    from onecopy.webhooks.tried import Tried as Sent

PLACES: Final = 256
"""Deliveries on their way at a time."""
LEASE: Final = 45.0
"""Seconds after which another courier tries what this one took: over what a try may take."""
_LOOK_EVERY: Final = 1.0
_PRUNE_EVERY: Final = 60.0
_RETRY_STORE: Final = 0.5
_LAST_MOMENTS: Final = 2.0
"""Seconds that tries under way have when this process stops."""

_logger = logging.getLogger("onecopy.webhooks")


class Sends(Protocol):
    """Tries to deliver, by whatever way a delivery's URL names."""

    async def send(self, delivery: Delivery) -> "Sent":
        """Try to deliver once; whatever happens is what came of it."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


type SenderSource = Callable[[], Awaitable[Sends]]


class Courier:
    """Delivers in one process, in the event loop that starts it."""

    def __init__(
        self, deliveries: Deliveries, sender: SenderSource, *, lease: float = LEASE
    ) -> None:
        """Take the deliveries of an open store, and what makes the sender when there is need."""
        self._deliveries = deliveries
        self._source = sender
        self._lease = lease
        self._sender: Sends | None = None
        self._receivers = Receivers()
        self._under_way: set[asyncio.Task[None]] = set()
        self._bell = asyncio.Event()
        self._more = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver, in the running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="onecopy: courier")

    def wake(self) -> None:
        """Look at once: there is something to deliver."""
        self._bell.set()

    async def stop(self) -> None:
        """Take no more; give tries under way a moment, and back what is left of them.

        May be called twice, and before start.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._under_way:
            _, left = await asyncio.wait(self._under_way, timeout=_LAST_MOMENTS)
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
            self._sender = None

    async def _run(self) -> None:
        pruned_at = time.monotonic()
        said: str | None = None
        while True:
            try:
                await self._take()
                said = None
                if time.monotonic() - pruned_at > _PRUNE_EVERY:
                    pruned_at = time.monotonic()
                    await self._deliveries.prune(now=time.time())
            except Unavailable as error:
                if said != str(error):
                    said = str(error)
                    _logger.error("cannot deliver: %s", said)
            except OneCopyError as error:
                _logger.error("webhooks wait: %s", error)
                await asyncio.sleep(_PRUNE_EVERY)
            except Exception:
                _logger.exception("cannot deliver")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._bell.wait()
            self._bell.clear()

    async def _take(self) -> None:
        """Take as much as there are places, and begin to try it."""
        self._more = True
        if len(self._under_way) >= PLACES:
            return
        due = await self._deliveries.due(now=time.time())
        counts = self._counts(due)
        if not counts:
            self._more = bool(due)
            return
        sender = self._sender = self._sender or await self._source()
        now = time.time()
        taken = await self._deliveries.take(counts, now=now, until=now + self._lease)
        for delivery in taken:
            self._begin(delivery, sender)
        of_each = Counter(delivery.receiver for delivery in taken)
        self._more = len(counts) < len(due) or any(
            of_each[receiver] == count for receiver, count in counts.items()
        )

    def _counts(self, due: list[str]) -> dict[str, int]:
        """Return how many to take for each receiver; those that wait the longest come first."""
        left = PLACES - len(self._under_way)
        counts: dict[str, int] = {}
        for receiver in due:
            count = min(left, self._receivers.room(receiver, time.time()))
            if count > 0:
                counts[receiver] = count
                left -= count
        return counts

    def _begin(self, delivery: Delivery, sender: Sends) -> None:
        self._receivers.begin(delivery.receiver)
        task = asyncio.create_task(self._deliver(delivery, sender), name="onecopy: a webhook")
        self._under_way.add(task)
        task.add_done_callback(lambda done: self._ended(delivery, done))

    def _ended(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._receivers.end(delivery.receiver)
        if self._more:
            self._bell.set()

    async def _deliver(self, delivery: Delivery, sender: Sends) -> None:
        token = delivery.token or ""
        try:
            tried = await sender.send(delivery)
        except asyncio.CancelledError:
            await self._record(delivery, GiveBack(token))
            raise
        outcome, now = tried.outcome, time.time()
        self._receivers.learn(delivery.receiver, outcome.status_code, tried.retry_after, now)
        wait = max(pause(delivery) * random.uniform(1.0, 1.2), tried.retry_after or 0.0)
        after = await self._record(delivery, Tried(token, outcome, now + wait))
        if after is not None and not outcome.succeeded:
            # Of the URL the host alone: what follows may be a secret.
            _logger.warning(
                "webhook %s of job %s to %s, try %s: %s; %s",
                delivery.id,
                delivery.job,
                delivery.receiver,
                after.tries,
                outcome.error,
                f"again in {wait:.0f} s" if after.status == "pending" else after.status,
            )

    async def _record(self, delivery: Delivery, change: Tried | GiveBack) -> Delivery | None:
        """Record what came of a try, for as long as it is this courier's."""
        while True:
            try:
                return await self._deliveries.change(delivery.id, change, now=time.time())
            except Unavailable as error:
                _logger.error("webhook %s: its try waits for the store: %s", delivery.id, error)
                if time.time() > (delivery.due_at or 0.0):
                    return None
                await asyncio.sleep(_RETRY_STORE)
            except (NotAllowed, KeyError) as error:
                _logger.warning("webhook %s: its try is not recorded: %s", delivery.id, error)
                return None


def sender_for(config: Webhooks) -> SenderSource:
    """Return what makes the sender of a process, in a thread: imports and certificates take time.

    It raises WebhooksNotInstalled, StateFolderError.
    """

    def make() -> Sends:
        must_be_installed()
        from onecopy.webhooks.sending import Sender

        return Sender(config)

    async def source() -> Sends:
        return await asyncio.to_thread(make)

    return source
