"""An app whose jobs run in order, and the check that they did."""

import json
import urllib.request
from pathlib import Path
from typing import Final

from tests.running import Service
from tests.server.jobs_app import Jobs

APP: Final = """
import os, signal, time
from fastapi import FastAPI
from onecopy import JobContext, OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


def note(text: str) -> None:
    fd = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (text + "\\n").encode())
    os.close(fd)


@shared.task(retries=9, backoff=0.01, ordering_key=lambda customer: customer)
def step(customer: str | None, number: int, context: JobContext, dies: bool = False) -> int:
    note(f"begin {customer} {number}")
    time.sleep(0.01)
    if dies and context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number % 5 == 3 and context.attempt == 1:
        raise ValueError("once more")
    note(f"end {customer} {number}")
    return number


app.post("/step")(step.endpoint)


@app.post("/steps")
async def steps(calls: list[tuple[str, int, bool]]) -> list[str]:
    sent = [{"customer": a, "number": b, "dies": c} for a, b, c in calls]
    return [job.id for job in await step.submit_many(sent)]
"""


def run_in_order(run: Service, *, customers: int = 3, steps: int = 8) -> None:
    """Have steps of some customers run, with tries and deaths, and see that none overtakes."""
    jobs = Jobs(run)
    names = [f"c{each}" for each in range(customers)]
    calls = [(name, number, number == 1) for number in range(steps - 1) for name in names]
    request = urllib.request.Request(
        f"http://127.0.0.1:{run.port}/steps",
        json.dumps(calls).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        ids: list[str] = json.load(answer)
    ids += [jobs.submit("step", customer=name, number=steps - 1) for name in names]
    for job in ids:
        found = jobs.wait(job)
        assert found["status"] == "succeeded", found
        assert found["ordering_key"] in names
    for name in names:
        must_be_in_order(run.folder / "notes", name, steps)


def must_be_in_order(notes: Path, name: str, steps: int) -> None:
    """See that each step of a customer has ended before the next one began.

    One whose worker was killed may have ended twice.
    """
    ended: set[int] = set()
    for line in notes.read_text().splitlines():
        kind, whose, word = line.split()
        if whose == name:
            number = int(word)
            assert number + 1 not in ended, f"{name} {number} after {number + 1}"
            assert not number or number - 1 in ended, f"{name} {number} before {number - 1}"
            if kind == "end":
                ended.add(number)
    assert ended == set(range(steps))
