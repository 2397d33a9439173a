"""Jobs that are followed: one that goes on until it is told, and one that ends soon."""

import asyncio
import time
from pathlib import Path

from fastapi import FastAPI

from onecopy import Elsewhere, JobContext, OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


@shared.task
def hold(path: str, context: JobContext) -> None:
    """Leave the outcome to whoever reads the token in a file."""
    Path(path).write_text(context.token)
    raise Elsewhere(timeout=3600)


@shared.task
async def soon(seconds: float) -> float:
    """Return the time at its end."""
    await asyncio.sleep(seconds)
    return time.time()


app.post("/hold")(hold.endpoint)
app.post("/soon")(soon.endpoint)
