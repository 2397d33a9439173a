"""Records what became of a job worker's attempts, and how far they have come."""

import asyncio
import logging
from typing import Final

from onecopy.execution.runtime import Runtime
from onecopy.jobs import Advance, Change, Fail, Failure, Job, NotAllowed, Release
from onecopy.server.attempt import Attempt
from onecopy.stores import Unavailable

_RETRY_STORE: Final = 0.2
_RETRY_OUTCOME: Final = 1.0
_logger = logging.getLogger("onecopy.jobs")


class Recorder:
    """Writes to the store of a runtime for one job worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def record(self, job: Job, change: Change) -> None:
        """Record what became of an attempt, however long the store is away."""
        while True:
            try:
                await self._runtime.change(job.id, change)
                return
            except Unavailable as error:
                _logger.error("job %s: its outcome waits for the store: %s", job.id, error)
                await asyncio.sleep(_RETRY_STORE)
            except (NotAllowed, KeyError) as error:
                _logger.warning("job %s: its outcome is refused: %s", job.id, error)
                return
            except Exception as error:
                # Whatever it is, a job must not stay running for ever.
                _logger.exception("job %s: its outcome cannot be recorded", job.id)
                assert job.lease is not None
                if isinstance(change, Fail):
                    change = Release(job.lease.token)
                    await asyncio.sleep(_RETRY_OUTCOME)
                else:
                    failure = Failure(type(error).__name__, "its outcome cannot be recorded")
                    change = Fail(job.lease.token, failure)

    async def release(self, job: Job) -> None:
        """Give an attempt back, not counted."""
        if job.lease is not None:
            await self.record(job, Release(job.lease.token))

    async def report(self, attempt: Attempt) -> None:
        """Record how far an attempt has come, if it has said so since the last time."""
        progress, attempt.progress = attempt.progress, None
        if progress is None or attempt.job.lease is None:
            return
        try:
            change = Advance(attempt.job.lease.token, progress)
            await self._runtime.change(attempt.job.id, change)
        except (NotAllowed, KeyError, Unavailable):
            pass  # The outcome will say so too.
        except Exception:
            # It is whatever the task has said of itself.
            _logger.exception("job %s: its progress cannot be recorded", attempt.job.id)
