"""Source of the service that the tests of the client speak to."""

SERVICE = """
import time
from fastapi import FastAPI, Header, HTTPException, Depends
from onecopy import Failed, OneCopy, Progress

def checked(x_key: str = Header("")) -> None:
    if x_key != "open":
        raise HTTPException(401)

shared = OneCopy()
app = FastAPI(dependencies=[Depends(checked)])
shared.install(app)

@shared.task
def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]

@shared.task
def steps(count: int, seconds: float, progress: Progress) -> int:
    for _ in progress.track(range(count)):
        time.sleep(seconds)
    return count

@shared.task
def hopeless(why: str) -> None:
    raise Failed(why)

for task in (double, steps, hopeless):
    app.post("/" + task.name.rpartition(".")[2])(task.endpoint)
"""
