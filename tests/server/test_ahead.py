"""What waits in front of the main thread of a job worker, and for how long."""

import asyncio
import time
from collections.abc import Sequence

from onecopy import OneCopy
from onecopy.execution.attempt import Outcome
from onecopy.jobs import Job, Lease
from onecopy.server.ahead import Ahead
from onecopy.server.attempt import Attempt
from onecopy.server.line import Line
from tests.running import DEADLINE

shared = OneCopy()


@shared.task
def nothing() -> None:
    """Do nothing."""


def _attempt(lease: Lease | None) -> Attempt:
    def ended(attempt: Attempt, outcome: Outcome) -> None:
        raise AssertionError

    job = Job(id="1", task="nothing", arguments="{}", created_at=0, due_at=0, lease=lease)
    return Attempt(job, nothing, ended)


def test_calls_and_jobs_behind_a_long_task_are_left_to_others() -> None:
    async def scenario() -> None:
        running, call, job = _attempt(None), _attempt(None), _attempt(Lease("token", "w", 9.0))
        given_back: list[Attempt] = []
        all_are = asyncio.Event()

        def release(attempts: Sequence[Attempt]) -> None:
            given_back.extend(attempts)
            all_are.set()

        line = Line()
        ahead = Ahead(line, lambda: running, release)
        ahead.ended(0.0)
        running.begun_at = time.monotonic()
        for attempt in (job, call):
            line.put(attempt, first=attempt is call)
        ahead.watch()
        async with asyncio.timeout(DEADLINE):
            await all_are.wait()
        assert set(given_back) == {call, job}
        assert not line
        assert not ahead.soon()

    asyncio.run(scenario())
