"""Claims that were asked for and not answered: they may have been made all the same.

The store has this worker down for such a job then, and nobody else runs it as long as this worker
lives. So what the store says that it runs, and it knows nothing of, is given back. That is looked
at for a while: what was sent over a connection that broke may arrive late.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from onecopy.jobs import Job
from onecopy.stores import Unavailable

_LAST: Final = 60.0
"""Seconds after which what was not answered will not come to be any more."""
_EVERY: Final = 1.0
_logger = logging.getLogger("onecopy.jobs")


class Doubts:
    """Those of one worker, for the loop that claims: nothing is claimed while this looks."""

    def __init__(
        self,
        running: Callable[[], Awaitable[Sequence[Job]]],
        knows: Callable[[str], bool],
        give_back: Callable[[Job], None],
    ) -> None:
        """Take what the store says of this worker, whether that is known, and what to do if not."""
        self._running = running
        self._knows = knows
        self._give_back = give_back
        self._ends = 0.0
        self._next = 0.0

    def add(self) -> None:
        """Note that a claim was not answered."""
        self._ends = time.monotonic() + _LAST

    def wait(self) -> float | None:
        """Return in how many seconds to look; None: there is nothing to look for."""
        now = time.monotonic()
        return max(0.0, self._next - now) if now < self._ends else None

    async def look(self) -> None:
        """Give back what this worker has without its knowledge, if it is time to look."""
        if self.wait() == 0:
            await self.settle()

    async def settle(self) -> None:
        """Look now, if there is something to look for."""
        if self.wait() is None:
            return
        try:
            jobs = await self._running()
        except Unavailable:
            jobs = ()
        self._next = time.monotonic() + _EVERY
        for job in jobs:
            if not self._knows(job.id):
                _logger.warning("job %s: it was claimed here unheard, and is given back", job.id)
                self._give_back(job)
