"""Accepting connections so that they spread evenly over the workers.

All workers wait on one listening socket: a killed worker takes no waiting connection with it. Left
alone, the kernel gives most connections to whoever wakes first (8 clients on 4 workers: 8/0/0/0).
So a worker that has more connections than the least loaded steps back for a moment and lets the
others take what waits.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from onecopy.server.scoreboard import Scoreboard

_STEP_BACK = 0.002
"""Seconds that a worker leaves to the others, for each connection that it is ahead by."""
_FARTHEST = 8
"""Connections ahead that count: nobody waits longer than 16 ms for a worker to step forward."""

_logger = logging.getLogger("uvicorn.error")


class Counted(Protocol):
    """A set of connections that knows how many are arriving, and says when one has gone."""

    arriving: int
    on_fewer: list[Callable[[], None]]

    def __len__(self) -> int: ...

    def publish(self) -> None:
        """Tell the other workers."""
        ...


class Acceptor:
    """Accepts on one listening socket and hands connections to a protocol."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None,
        connections: Counted,
        scoreboard: Scoreboard,
        slot: int,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._context = context
        self._connections = connections
        self._scoreboard = scoreboard
        self._slot = slot
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._stepped_back = False
        self._later: asyncio.TimerHandle | None = None
        self._handovers: set[asyncio.Task[None]] = set()
        connections.on_fewer.append(self._step_forward)

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self._listener.fileno(), self._wake)

    async def stop(self) -> None:
        """Stop accepting, close the listener, and wait for connections that are arriving."""
        if self._stopped:
            return
        self._stopped = True
        self._connections.on_fewer.remove(self._step_forward)
        self._loop.remove_reader(self._listener.fileno())
        if self._later is not None:
            self._later.cancel()
        self._listener.close()
        if self._handovers:
            await asyncio.wait(self._handovers)

    def _wake(self) -> None:
        ahead = self._ahead()
        if ahead > 0:
            self._stepped_back = True
            self._step_back(_STEP_BACK * min(ahead, _FARTHEST))
        else:
            self._take(1 - ahead)

    def _step_back(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._later = self._loop.call_later(seconds, self._resume)

    def _step_forward(self) -> None:
        """Come back at once when one of this worker's own connections has ended meanwhile."""
        if self._later is not None and self._stepped_back and self._ahead() <= 0:
            self._later.cancel()
            self._resume()

    def _resume(self) -> None:
        self._later = None
        self._stepped_back = False
        self._loop.add_reader(self._listener.fileno(), self._wake)
        # What still waits nobody else has wanted. Where many are open, a few more at once do
        # not make the spread uneven, and a burst is taken sooner.
        self._take(1 + self._open() // 8)

    def _open(self) -> int:
        return len(self._connections) + self._connections.arriving

    def _ahead(self) -> int:
        """Return how many connections more than the least loaded worker this one has."""
        fewest = self._scoreboard.fewest_connections()
        return 0 if fewest is None else self._open() - fewest

    def _take(self, count: int) -> None:
        for _ in range(count):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            sock.setblocking(False)
            self._scoreboard.count_accepted(self._slot)
            self._connections.arriving += 1
            self._connections.publish()
            task = self._loop.create_task(self._hand_over(sock))
            self._handovers.add(task)
            task.add_done_callback(self._handovers.discard)

    def _pause(self, error: OSError) -> None:
        """Wait a second where accepting fails, as asyncio does: most often too many open files."""
        _logger.error("cannot accept a connection: %s", error)
        self._step_back(1)

    async def _hand_over(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, sock, ssl=self._context)
        except (OSError, ssl.SSLError) as error:
            _logger.debug("a connection ended before it began: %s", error)
        finally:
            self._connections.arriving -= 1
            self._connections.publish()
