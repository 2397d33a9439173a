"""Records what became of a job worker's attempts, and what they say of themselves.

What is to be recorded at about the same time goes to the store together: it is one write to the
disk then.
"""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from onecopy.jobs import Advance, Change, Fail, Failure, Job, Log, NotAllowed, Release
from onecopy.stores import Unavailable

_RETRY_STORE: Final = 0.2
_RETRY_OUTCOME: Final = 1.0
_SAID: Final = (Advance, Log)
"""What an attempt says of itself; if it cannot be recorded, nothing is recorded in its place."""
_logger = logging.getLogger("onecopy.jobs")


class Changes(Protocol):
    """Where changes are written."""

    async def change_all(
        self, changes: Sequence[tuple[str, Change]]
    ) -> Sequence[Job | NotAllowed | KeyError]:
        """Apply changes, as `Store.change` does, and tell whoever follows the jobs."""
        ...


@dataclass(slots=True, eq=False)
class _Entry:
    number: int
    job: Job
    change: Change
    then: Callable[[], None] | None = None

    def __lt__(self, other: "_Entry") -> bool:
        return self.number < other.number


class Recorder:
    """Writes to a store for one job worker, in the order of the calls."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._numbers = count()
        self._entries: list[_Entry] = []
        """What is to be written next; a heap, since what could not be written comes back."""
        self._jobs: Counter[str] = Counter()
        """How much is to be written of each job."""
        self._open = 0
        """How many entries are on their way, or come back later."""
        self._coming = False
        self._away = False
        """The store cannot be reached: somebody waits to try again."""
        self._writing: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries) + self._open

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def record(self, job: Job, change: Change, then: Callable[[], None] | None = None) -> None:
        """Record a change of an attempt, however long the store is away; then call something."""
        heapq.heappush(self._entries, _Entry(next(self._numbers), job, change, then))
        self._jobs[job.id] += 1
        self._write_soon()

    async def settled(self) -> None:
        """Wait until all is on record."""
        while self:
            self._settled.clear()
            await self._settled.wait()

    def _write_soon(self) -> None:
        # Not at once: others of this turn of the event loop are to go along.
        if not self._coming and not self._away:
            self._coming = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._coming = False
        if not self._entries or self._away:
            return
        entries, self._entries = sorted(self._entries), []
        self._open += len(entries)
        writing = asyncio.get_running_loop().create_task(self._write_all(entries))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write_all(self, entries: Sequence[_Entry]) -> None:
        try:
            answers = await self._changes.change_all([(e.job.id, e.change) for e in entries])
        except Unavailable as error:
            await self._put_back(entries, error)
        except Exception as error:
            if len(entries) > 1:
                for entry in entries:
                    await self._write_all([entry])
            else:
                await self._degrade(entries[0], error)
        else:
            for entry, answer in zip(entries, answers, strict=True):
                if isinstance(answer, Exception) and not isinstance(entry.change, _SAID):
                    _logger.warning("job %s: its outcome is refused: %s", entry.job.id, answer)
                self._done(entry)

    def _done(self, entry: _Entry) -> None:
        self._open -= 1
        self._jobs[entry.job.id] -= 1
        if not self._jobs[entry.job.id]:
            del self._jobs[entry.job.id]
        if entry.then is not None:
            entry.then()
        if not self:
            self._settled.set()

    async def _put_back(self, entries: Sequence[_Entry], error: Unavailable) -> None:
        _logger.error("%s changes of jobs wait for the store: %s", len(entries), error)
        for entry in entries:
            heapq.heappush(self._entries, entry)
        self._open -= len(entries)
        if self._away:
            return
        self._away = True
        await asyncio.sleep(_RETRY_STORE)
        self._away = False
        self._write_soon()

    async def _degrade(self, entry: _Entry, error: Exception) -> None:
        """Record something else: whatever it is, a job must not stay running for ever."""
        job = entry.job
        _logger.error("job %s: what became of it cannot be recorded", job.id, exc_info=error)
        assert job.lease is not None
        if isinstance(entry.change, _SAID):
            self._done(entry)
            return
        if isinstance(entry.change, Fail):
            await asyncio.sleep(_RETRY_OUTCOME)
            entry.change = Release(job.lease.token)
        else:
            failure = Failure(type(error).__name__, "its outcome cannot be recorded")
            entry.change = Fail(job.lease.token, failure)
        await self._write_all([entry])
