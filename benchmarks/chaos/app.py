"""The service that is harmed: its task notes when an attempt begins and ends.

An attempt holds a lock of the kernel while it runs, so that one that begins before the last one has
ended finds it locked.
"""

import fcntl
import os
import time
from hashlib import sha256

from fastapi import FastAPI

from onecopy import JobContext, OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


def note(word: str, context: JobContext) -> None:
    """Add a line to the notes, in one write."""
    notes = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(notes, f"{word} {context.id} {context.attempt} {os.getpid()}\n".encode())
    os.close(notes)


@shared.task(retries=50, backoff=0.02)
def work(seconds: float, context: JobContext) -> int:
    """Hold the lock of this job for some seconds."""
    place = int.from_bytes(sha256(context.id.encode()).digest()[:7])
    with open("locks", "ab") as locks:
        try:
            fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            note("overlap", context)
        note("begin", context)
        time.sleep(seconds)
        note("end", context)
    return context.attempt


app.post("/work")(work.endpoint)
