"""What waits to be published: bounded, so that a broker that is away costs little memory."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

MOST: Final = 10_000
_logger = logging.getLogger("onecopy.engine")


class Outbox[T]:
    """Takes without waiting; beyond its bound the newest are dropped: the store has the jobs."""

    def __init__(self, broker: str, most: int = MOST) -> None:
        """broker: its name in the log."""
        self._broker = broker
        self._most = most
        self._waiting: deque[T] = deque()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._dropping = False

    def put(self, messages: Iterable[T]) -> None:
        """Add messages, as many as there is room for."""
        messages = iter(messages)
        self._waiting.extend(islice(messages, max(0, self._most - len(self._waiting))))
        if next(messages, None) is not None and not self._dropping:
            self._dropping = True
            _logger.warning(
                "%s does not take messages as fast as jobs come; workers find the others in the "
                "store, within a second or so",
                self._broker,
            )
        if self._waiting:
            self._some.set()
            self._none.clear()

    async def take(self, most: int) -> list[T]:
        """Wait until there are messages, and take some; `settle` them."""
        await self._some.wait()
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        if not self._waiting:
            self._some.clear()
        return taken

    def settle(self, left: Sequence[T] = ()) -> None:
        """Hear that the broker has what was taken, but for those left: they are taken again."""
        self._waiting.extendleft(reversed(left))
        if self._waiting:
            self._some.set()
        else:
            self._none.set()
            self._dropping = False

    async def emptied(self, seconds: float) -> None:
        """Wait until all are sent, so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none.wait()
