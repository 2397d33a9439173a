"""The children of Celery's pool, as the keeper watches them.

The main process sees at once that one has died, and why. But while it waits for its broker it sees
nothing; so who dies meanwhile is found here, a little later, and limits are enforced from here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from onecopy.execution.identity import WorkerName
from onecopy.server.limits import doom

if TYPE_CHECKING:
    from onecopy.server.scoreboard import Scoreboard

_TOLD_WITHIN: Final = 8.0
"""Seconds in which the main process tells that a child has died, and why, unless it waits."""


class Loss(NamedTuple):
    """A child that has died, why, and the marks of the attempts it had begun (None: all)."""

    worker: str
    reason: str
    begun: list[int] | None


@dataclass(slots=True, eq=False)
class _Child:
    name: WorkerName
    slot: int
    doom: str | None = None
    """Why it was killed from here."""
    dead_since: float | None = None


class Children:
    """Those that the main process has told of, until it tells that they are gone."""

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        self._all: dict[str, _Child] = {}

    def came(self, worker: str, slot: int) -> None:
        """Hear of one, by its name and its slot on the scoreboard."""
        name = WorkerName.parse(worker)
        assert name is not None, worker
        self._all[worker] = _Child(name, slot)

    def left(self, worker: str) -> str | None:
        """Hear that one is gone; return why, if it was killed from here."""
        child = self._all.pop(worker, None)
        return None if child is None else child.doom

    def busy(self) -> list[str]:
        """Return those that live and have begun attempts."""
        marks = self._scoreboard.marks
        return [
            worker
            for worker, child in self._all.items()
            if marks(child.slot) != [] and child.name.alive() is not False
        ]

    def kill_overdue(self) -> None:
        """Kill who runs an attempt over its time, or with more memory than it may have."""
        for child in self._all.values():
            if child.doom is not None or child.name.alive() is False:
                continue
            child.doom = doom(self._scoreboard, child.slot, child.name.pid)
            if child.doom is not None:
                with contextlib.suppress(ProcessLookupError):  # It has just ended.
                    os.kill(child.name.pid, signal.SIGKILL)

    def untold(self) -> Iterator[Loss]:
        """Forget those that have died some time ago without a word of it; return what they had."""
        now = time.monotonic()
        for worker, child in [*self._all.items()]:
            if child.name.alive() is not False:
                continue
            if child.dead_since is None:
                child.dead_since = now
            if child.doom is not None or now - child.dead_since > _TOLD_WITHIN:
                del self._all[worker]
                marks = self._scoreboard.marks(child.slot)
                yield Loss(worker, child.doom or "its worker is gone", marks)
