"""A job whose end is told."""

from fastapi import FastAPI

from onecopy import OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


@shared.task
async def nothing(number: int) -> int:
    """Answer what was asked."""
    return number
