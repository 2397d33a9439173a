"""Jobs that note what they were given, so that one sees how often each has run."""

import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final, Self

from tests.running import wait_until
from tests.server.jobs_app import Jobs

_AT_ONCE: Final = 3
_PAUSE: Final = 0.02
_PATIENCE: Final = 2.0
"""Seconds in which a job is accepted, whatever has become of the broker."""


class Marks:
    """Submits jobs of the task `mark`, each with a text of its own."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._numbers = itertools.count()
        self.accepted: dict[str, str] = {}
        """The texts, by the ids of jobs."""

    def submit(self) -> str:
        """Submit one, which waits for no broker; return its id."""
        text = f"mark {next(self._numbers)}"
        began = time.monotonic()
        job = self._jobs.submit("mark", text=text)
        assert time.monotonic() - began < _PATIENCE, "what is accepted waits for no broker"
        self.accepted[job] = text
        return job

    def run_some(self) -> float:
        """Have some run; return in how many seconds the last one has ended."""
        began = time.monotonic()
        for job in [self.submit() for _ in range(_AT_ONCE)]:
            self._must_succeed(job)
        return time.monotonic() - began

    def wait_for_rings(self) -> None:
        """Wait until jobs begin before a worker looks into the store, as it does once a second."""
        wait_until(lambda: max(self.run_some(), self.run_some()) < 0.5, what="rings")

    def must_have_run_once(self) -> None:
        """See that each job that was accepted has run, and once."""
        for job in self.accepted:
            self._must_succeed(job)
        notes = (note for note in self._jobs.notes() if note.startswith("mark "))
        assert Counter(notes) == Counter(self.accepted.values())

    def _must_succeed(self, job: str) -> None:
        found = self._jobs.wait(job)
        assert (found["status"], found["attempt"]) == ("succeeded", 1), found
        assert found["result"] == self.accepted[job]


class Load:
    """Submits marks one after the other, in a thread, for as long as its block lasts."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._end = Event()
        self._pool = ThreadPoolExecutor(1)
        self._sending = self._pool.submit(self._send)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._pool.shutdown()
        self._sending.result()

    def _send(self) -> None:
        while not self._end.wait(_PAUSE):
            self._marks.submit()

    def go_on(self, count: int) -> None:
        """Wait until so many more are accepted."""
        enough = len(self._marks.accepted) + count
        wait_until(lambda: len(self._marks.accepted) >= enough or self._sending.done())
