"""Tells ears what has changed; one without room is told again in a moment, not later.

An ear holds few datagrams (the kernel's `net.unix.max_dgram_qlen`, often 10), and whoever listens
may be busy for longer than it takes to fill it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Final

_AT_ONCE: Final = 1000
"""Ids in one datagram: about 30 KB."""
_MOST: Final = 10_000
"""Ids that wait for one ear; what is more it is not told."""
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05
_PATIENCE: Final = 1.0
"""Seconds without room, after which nobody seems to listen: who does, asks the store by then."""


@dataclass(slots=True)
class _Left:
    """What an ear had no room for, in order; until when that is tried, how long from now."""

    jobs: list[str]
    until: float
    pause: float = _FIRST_PAUSE


class Ears:
    """Tells in the event loop that it is first used in."""

    def __init__(self, send: Callable[[str, bytes], bool | None]) -> None:
        """send: sends a datagram to an ear; returns whether it had room, None if it is gone."""
        self._send = send
        self._left: dict[str, _Left] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def tell(self, ears: Iterable[str], jobs: Sequence[str]) -> None:
        """Tell ears that jobs have changed."""
        for ear in ears:
            left = self._left.get(ear)
            if left is not None:  # Not before those that it was not told yet.
                left.jobs += jobs[: _MOST - len(left.jobs)]
            elif rest := self._told(ear, jobs):
                now = asyncio.get_running_loop().time()
                self._left[ear] = left = _Left(rest[:_MOST], now + _PATIENCE)
                self._soon(ear, left)

    def close(self) -> None:
        """Try once more, and forget the rest."""
        for timer in self._timers.values():
            timer.cancel()
        for ear, left in self._left.items():
            self._told(ear, left.jobs)
        self._timers.clear()
        self._left.clear()

    def _told(self, ear: str, jobs: Sequence[str]) -> list[str]:
        """Tell an ear; return what it had no room for."""
        told = 0
        for some in batched(jobs, _AT_ONCE):
            if self._send(ear, "\n".join(some).encode()) is False:
                break
            told += len(some)
        return [*jobs[told:]]

    def _soon(self, ear: str, left: _Left) -> None:
        loop = asyncio.get_running_loop()
        self._timers[ear] = loop.call_later(left.pause, self._again, ear, left)

    def _again(self, ear: str, left: _Left) -> None:
        now = asyncio.get_running_loop().time()
        rest = self._told(ear, left.jobs)
        if len(rest) < len(left.jobs):
            left.until, left.pause = now + _PATIENCE, _FIRST_PAUSE
        else:
            left.pause = min(2 * left.pause, _LONGEST_PAUSE)
        left.jobs = rest
        if rest and now < left.until:
            self._soon(ear, left)
        else:
            del self._left[ear], self._timers[ear]
