"""onecopy on SQLite with its defaults: each transaction is on disk before it is answered."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.jobs.apps.seam import InTasks
from onecopy import JobHandle, OneCopy
from onecopy.execution.connect import close_here, runtime_here

shared = OneCopy()
app = FastAPI()
shared.install(app)


@shared.task
def nothing() -> bool:
    """Do nothing, and say so."""
    return True


async def _wait(job: JobHandle[bool]) -> None:
    await job.result()


PEER = InTasks(submit=nothing.submit, wait=_wait, begin=runtime_here, end=close_here)
