"""The streams that are open in a process and event loop.

One timer for all of them: it sends comments, drops clients that do not read, and has all of them
reconnect to another worker when this one is about to leave.
"""

import asyncio
import logging
import random
import signal
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, Self, cast
from weakref import WeakKeyDictionary

from starlette.types import Scope

BEAT: Final = 15.0
"""Seconds of silence after which proxies, and the connection, are shown that it is in use."""
LONGEST_STUCK: Final = 30.0
"""Seconds in which a client has to read what was sent, or it is dropped."""
_TICK: Final = 1.0
_AT_ONCE: Final = 200
_DRAINING: Final = "onecopy.draining"

_logger = logging.getLogger("onecopy.http")


class Stream(Protocol):
    """An open stream of events."""

    sent_at: float
    stuck_since: float | None

    def beat(self) -> None:
        """Show that the connection is in use."""
        ...

    def leave(self, milliseconds: int) -> None:
        """End, and have the client come again after so long."""
        ...

    def drop(self) -> None:
        """End at once, though the client does not read."""
        ...


class Draining(Protocol):
    """The server that this runs in: whether it is about to leave, and who wants to know."""

    draining: bool
    on_draining: list[Callable[[], None]]


class Streams:
    """All open streams of a loop."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._leaving = False
        self._ends: deque[Callable[[], None]] = deque()
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    def here(cls) -> Self:
        """Return the streams of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in _here:
            _here[loop] = cls()
        return cast(Self, _here[loop])

    def __len__(self) -> int:
        return len(self._open)

    def leaving(self, scope: Scope) -> bool:
        """Whether the server is about to leave; if not, see to it that `leave` is called then."""
        extensions: dict[str, Any] = scope.get("extensions") or {}
        server: Draining | None = extensions.get(_DRAINING)
        if server is None:
            return self._leaving
        if self.leave not in server.on_draining:
            server.on_draining.append(self.leave)
        return server.draining

    def add(self, stream: Stream) -> None:
        """Take care of a stream."""
        self._open.add(stream)
        if self._ticking is None:
            work = self._tick_while_open()
            self._ticking = asyncio.create_task(work, name="onecopy: streams")

    def discard(self, stream: Stream) -> None:
        """Forget a stream."""
        self._open.discard(stream)

    def end_later(self, end: Callable[[], None]) -> None:
        """Call what ends a stream, once all others that are being told have been told.

        To end one costs as much as to tell it: of many that follow one job, the last would wait.
        """
        self._ends.append(end)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_all(), name="onecopy: ends of streams")

    def leave(self) -> None:
        """Have all clients reconnect; not all at the same moment, where they are many."""
        self._leaving = True
        longest = 1000 + len(self._open) // 2
        for stream in list(self._open):
            if stream.stuck_since is None:
                stream.leave(random.randint(100, longest))
            else:
                stream.drop()

    async def _end_all(self) -> None:
        try:
            known = 0
            while known < len(self._ends):
                known = len(self._ends)
                await asyncio.sleep(0)
            while self._ends:
                for end in [self._ends.popleft() for _ in range(min(_AT_ONCE, len(self._ends)))]:
                    end()
                await asyncio.sleep(0)
        finally:
            self._ending = None

    async def _tick_while_open(self) -> None:
        try:
            while self._open:
                await asyncio.sleep(_TICK)
                await self._tick()
        finally:
            self._ticking = None

    async def _tick(self) -> None:
        if not self._leaving and _uvicorn_is_leaving():
            self.leave()
        now = asyncio.get_running_loop().time()
        for count, stream in enumerate(list(self._open), 1):
            if stream.stuck_since is not None:
                if now - stream.stuck_since > LONGEST_STUCK:
                    _logger.info("a client that does not read its events is dropped")
                    stream.drop()
            elif now - stream.sent_at > BEAT:
                stream.beat()
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)


_here: WeakKeyDictionary[asyncio.AbstractEventLoop, Streams] = WeakKeyDictionary()


def _uvicorn_is_leaving() -> bool:
    """Whether uvicorn, or Gunicorn's worker of it, was told to stop.

    It waits for all open answers, and tells no app. Its server can be found by what it has hung up
    for SIGTERM, and says `should_exit`.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
