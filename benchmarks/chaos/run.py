"""One run: jobs are sent, processes are harmed, and the jobs are judged once the last is final."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.chaos.harm import Harm
from benchmarks.chaos.judge import Report, judge, unfinished
from onecopy.stores import Unavailable
from servers.choice import Choice
from tests.running import wait_until

_SENDERS: Final = 4
_AHEAD: Final = 2  # kills that the jobs sent may be ahead of: the load lasts as long as the harm

type Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """How much is sent and harmed.

    pause: seconds between kills, on average. work: seconds that an attempt takes. stops: how many
    processes are stopped for a while, for each one that is killed.
    """

    jobs: int
    kills: int
    pause: float = 0.5
    work: float = 0.01
    stops: float = 0.2


class Chaos:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path, plan: Plan, choice: Choice | None = None) -> None:
        """Use a folder, a plan, and the servers of an engine and a store; none by default."""
        choice = choice or Choice({}, {})
        embedded = f"sqlite:///{folder}/.onecopy/jobs.sqlite3"
        self._store = choice.variables.get("ONECOPY_STORE", embedded)
        self._folder = folder
        self._plan = plan
        self._harm = Harm(folder, choice)
        self._numbers = iter(range(plan.jobs))
        self._guard = threading.Lock()
        self._accepted: list[str] = []
        self._end = threading.Event()

    def run(self, tell: Tell = lambda accepted, kills: None) -> Report:
        """Send, harm, wait for the last job, and judge; `tell` is told how far it has come."""
        began = time.monotonic()
        senders = [threading.Thread(target=self._send) for _ in range(_SENDERS)]
        try:
            for sender in senders:
                sender.start()
            while self._killed < self._plan.kills:
                self._do_harm()
                tell(len(self._accepted), self._killed)
            for sender in senders:
                sender.join()
            wait_until(self._all_final, seconds=60 + self._plan.jobs / 100, what="the last job")
        except AssertionError as error:
            print(error, file=sys.stderr)
        finally:
            self._end.set()
            self._harm.end()
        for sender in senders:
            sender.join()
        report = asyncio.run(judge(self._store, self._folder, self._accepted))
        report.kills, report.stops = self._harm.kills, self._harm.stops
        report.seconds = time.monotonic() - began
        return report

    @property
    def _killed(self) -> int:
        return self._harm.kills.total()

    def _do_harm(self) -> None:
        time.sleep(self._plan.pause * random.uniform(0.5, 1.5))
        self._harm.kill()
        if random.random() < self._plan.stops:
            self._harm.stop()

    def _all_final(self) -> bool:
        with contextlib.suppress(Unavailable):
            if asyncio.run(unfinished(self._store)) == 0:
                return True
        time.sleep(0.2)
        return False

    # Who sends.

    def _send(self) -> None:
        while not self._end.is_set():
            with self._guard:
                number = next(self._numbers, None)
            if number is None:
                return
            self._wait_for_harm(number)
            while not self._end.is_set() and not self._accept():
                time.sleep(0.05)

    def _wait_for_harm(self, number: int) -> None:
        """Wait until as large a share of the kills is done as of the jobs is sent."""
        share = number / self._plan.jobs
        while self._killed + _AHEAD < share * self._plan.kills and not self._end.is_set():
            time.sleep(0.02)

    def _accept(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._harm.port, timeout=10)
        with contextlib.closing(connection):
            try:
                body = json.dumps({"seconds": self._plan.work})
                headers = {"content-type": "application/json", "connection": "close"}
                connection.request("POST", "/work", body, headers)
                answer = connection.getresponse()
                job = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                return False
        if answer.status != 202:
            return False
        self._accepted.append(job["id"])
        return True
