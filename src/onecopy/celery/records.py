"""The store as the main thread of a child uses it: it claims and records there itself.

A short job waits for no other thread by this. Measured, with 32 submitters: 6 switches of context
for a job instead of 20, and 13 instead of 26 where the store waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from onecopy.execution.connect import store_url
from onecopy.execution.lease import LEASE
from onecopy.jobs import Change, Claim, Job, Lease, NotAllowed, new_token
from onecopy.server.recorder import Recorder
from onecopy.stores import Unavailable
from onecopy.stores.lanes import serve_in_own_thread
from onecopy.stores.urls import open_store

_RETRY: Final = 0.5
_logger = logging.getLogger("onecopy.jobs")


class Records:
    """For one thread, which waits until what it asks for is done."""

    def __init__(self, worker: str, changed: Callable[[list[Job]], None]) -> None:
        """worker: the name of this child. changed: is told what was recorded."""
        self._worker = worker
        self._changed = changed
        self._store = open_store(store_url())
        self._is_open = False
        self._recorder = Recorder(self)
        self._loop = asyncio.new_event_loop()
        serve_in_own_thread(self._loop)

    def claim(self, job: str) -> Job | KeyError | None:
        """Claim a job, however long the store is away; None if it is not to be run here now."""
        return self._loop.run_until_complete(self._claim(job))

    def record(self, job: Job, changes: Sequence[Change], then: Callable[[], None]) -> None:
        """Record changes of an attempt, the last of which ends it, then call something."""
        self._loop.run_until_complete(self._record(job, changes, then))

    def close(self) -> None:
        """Let go of the store."""
        self._loop.run_until_complete(self._store.close())

    async def _claim(self, job: str) -> Job | KeyError | None:
        token = new_token()
        in_doubt = False
        while True:
            try:
                answer = await self._claim_by(token, job)
                if isinstance(answer, NotAllowed):
                    return await self._claimed_before(token, job) if in_doubt else None
            except Unavailable as error:
                _logger.error("cannot claim: %s", error)
                in_doubt = True
                await asyncio.sleep(_RETRY)
            else:
                return answer

    async def _claim_by(self, token: str, job: str) -> Job | KeyError | NotAllowed:
        if not self._is_open:
            await self._store.open()
            self._is_open = True
        now = time.time()
        claim = Claim(Lease(token, self._worker, now + LEASE))
        (answer,) = await self._store.change([(job, claim)], now=now)
        return answer

    async def _claimed_before(self, token: str, job: str) -> Job | None:
        """Return a job if it was claimed by this token, without that the answer was heard."""
        for found in await self._store.get([job]):
            if found.lease is not None and found.lease.token == token:
                return found
        return None

    async def _record(self, job: Job, changes: Sequence[Change], then: Callable[[], None]) -> None:
        for change in changes[:-1]:
            self._recorder.record(job, change)
        self._recorder.record(job, changes[-1], then)
        await self._recorder.settled()

    async def change_all(
        self, changes: Sequence[tuple[str, Change]]
    ) -> list[Job | NotAllowed | KeyError]:
        """Apply changes, for the recorder."""
        answers = await self._store.change(changes, now=time.time())
        self._changed([answer for answer in answers if isinstance(answer, Job)])
        return answers
