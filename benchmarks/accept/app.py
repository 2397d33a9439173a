"""Two routes that take the same arguments: one answers them, one makes a job of them."""

from fastapi import FastAPI
from pydantic import BaseModel

from onecopy import OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


class Resize(BaseModel):
    """What is asked for."""

    path: str
    width: int


@app.post("/bare")
async def bare(asked: Resize) -> Resize:
    """Answer what was asked."""
    return asked


@shared.task
async def resize(path: str, width: int) -> str:
    """Do nothing."""
    return f"{path}?width={width}"


app.post("/job")(resize.endpoint)
