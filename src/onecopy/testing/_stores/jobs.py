"""Jobs to test stores with, and what is asked of them again and again."""

import asyncio
import json
import os
import traceback
import warnings
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from onecopy.jobs import (
    Job,
    new_id,
)
from onecopy.stores import Store

NOW: Final = 1_800_000_000.0
ODD_TEXT: Final = "Grüße, 東京 🎉 \"quoted\" 'too' \\ % ; --"


def make_job(**given: Any) -> Job:  # noqa: ANN401 - any field of a job
    """Return a job due at `NOW`, with these fields."""
    fields: dict[str, Any] = {
        "id": new_id(),
        "task": "resize",
        "arguments": "{}",
        "created_at": NOW,
        "due_at": NOW,
    }
    return Job(**fields | given)


def run_open[T](store: Store, scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Open the store, run a scenario, close the store."""

    async def whole() -> T:
        await store.open()
        try:
            return await scenario()
        finally:
            await store.close()

    return asyncio.run(whole())


async def claim_one(store: Store, *, now: float = NOW, worker: str = "worker 1") -> Job:
    """Claim the next job of the queue `default`; the lease lasts 30 seconds."""
    (job,) = await store.claim(worker, ["default"], now=now, until=now + 30)
    return job


def token_of(job: Job) -> str:
    """Return the token of a job's running attempt."""
    assert job.lease is not None
    return job.lease.token


async def one(store: Store, job: Job) -> Job:
    """Return a job as it is on record."""
    (found,) = await store.get([job.id])
    return found


async def kinds_of(store: Store, job: Job) -> list[str]:
    """Return the kinds of a job's events."""
    return [event.kind for event in await store.events({job.id: -1})]


def ids_of(jobs: Sequence[Job]) -> list[str]:
    """Return the ids of jobs."""
    return [job.id for job in jobs]


class Child[T]:
    """A forked process that runs a function and sends back what it returns (as JSON)."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._read, write = os.pipe()
        with warnings.catch_warnings():
            # A store may have threads: that a fork is safe nevertheless is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid:
            os.close(write)
            return
        try:
            os.write(write, json.dumps(function()).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def result(self) -> T:
        """Wait for its end, and return what the function returned."""
        with os.fdopen(self._read, "rb") as pipe:
            text = pipe.read()
        self.wait()
        return json.loads(text)

    def wait(self) -> None:
        """Wait for its end, which is to be a good one."""
        _, status = os.waitpid(self._pid, 0)
        assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"
