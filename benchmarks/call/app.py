"""What is called: nothing, as an async and as a sync task."""

from fastapi import FastAPI

from onecopy import OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


@shared.task
async def nothing_async(number: int) -> int:
    """Answer what was asked."""
    return number


@shared.task
def nothing_sync(number: int) -> int:
    """Answer what was asked."""
    return number
