"""Kills processes of every kind while jobs are accepted, and counts what that has cost.

    python -m benchmarks.chaos --jobs 10000 --kills 200

Every job that was answered 202 has to reach a final status, once; no two attempts of a job may
overlap; the history of each job has to be complete. An attempt holds a lock of the kernel while it
runs, so that one that begins before the last one has ended finds it locked.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onecopy.jobs import Event, Job
from onecopy.stores.urls import open_store
from tests.running import Service, alive, wait_until

APP: Final = """
import fcntl, os, time
from fastapi import FastAPI
from onecopy import JobContext, OneCopy

shared = OneCopy()
app = FastAPI()
shared.install(app)


def note(*words):
    fd = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\\n").encode())
    os.close(fd)


@shared.task(retries=50, backoff=0.02)
def work(number: int, seconds: float, context: JobContext) -> int:
    with open("locks", "ab") as locks:
        try:
            fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            note("overlap", context.id, context.attempt, os.getpid())
        note("begin", context.id, context.attempt, os.getpid())
        time.sleep(seconds)
        note("end", context.id, context.attempt, os.getpid())
    return number


app.post("/work")(work.endpoint)
"""
ROLES: Final = ("web", "job", "image", "supervisor")
_WEIGHTS: Final = (6, 8, 3, 1)
_OPTIONS: Final = ("chaotic:app", "--workers", "2", "--job-workers", "2", "--no-access-log")
_SENDERS: Final = 4
_FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})


@dataclass
class Report:
    """What has become of the jobs."""

    accepted: int
    kills: Counter[str]
    statuses: Counter[str]
    lost: list[str] = field(default_factory=list[str])
    """Jobs answered 202 that are not final, or not on record."""
    overlaps: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    """What is wrong with histories, and with what tasks have noted."""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost, twice, or out of order."""
        return not (self.lost or self.overlaps or self.faults)


class Chaos:
    """One run: a service, who sends to it, and who kills its processes."""

    def __init__(self, folder: Path, *, jobs: int, kills: int, pause: float, work: float) -> None:
        """Take a folder of its own.

        pause: seconds between kills, on average. work: seconds that an attempt takes.
        """
        self._folder = folder
        self._jobs = jobs
        self._kills = kills
        self._pause = pause
        self._work = work
        (folder / "chaotic.py").write_text(APP)
        self._service = Service(folder, *_OPTIONS).wait_until_ready()
        self._port = self._service.port
        self._numbers = iter(range(jobs))
        self._guard = threading.Lock()
        self._accepted: list[str] = []
        self._killed: Counter[str] = Counter()
        self._end = threading.Event()

    def run(self) -> Report:
        """Send, kill, wait for the last job, and look at what was left."""
        began = time.monotonic()
        senders = [threading.Thread(target=self._send) for _ in range(_SENDERS)]
        try:
            for sender in senders:
                sender.start()
            while sum(self._killed.values()) < self._kills:
                time.sleep(self._pause * random.uniform(0.5, 1.5))
                self._kill_one()
            for sender in senders:
                sender.join()
            wait_until(self._all_final, seconds=60 + self._jobs / 100, what="the last job")
        except AssertionError as error:
            print(error, file=sys.stderr)
        finally:
            self._end.set()
            self._service.kill()
        report = self._judge()
        report.seconds = time.monotonic() - began
        return report

    # Who sends.

    def _send(self) -> None:
        while not self._end.is_set():
            with self._guard:
                number = next(self._numbers, None)
            if number is None:
                return
            while not self._end.is_set() and not self._accept(number):
                time.sleep(0.05)

    def _accept(self, number: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        with contextlib.closing(connection):
            try:
                body = json.dumps({"number": number, "seconds": self._work})
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

    # Who kills.

    def _kill_one(self) -> None:
        (role,) = random.choices(ROLES, _WEIGHTS)
        if role == "supervisor":
            self._kill_supervisor()
            return
        try:
            pids = self._service.pids(role)
            victim = random.choice(pids)
            if role != "image" and random.random() < 0.2:
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.1)
            os.kill(victim, signal.SIGKILL)
        except (OSError, IndexError, KeyError):
            return  # There is none just now.
        self._killed[role] += 1

    def _kill_supervisor(self) -> None:
        try:
            others = [process["pid"] for process in self._service.status()["processes"]]
        except OSError:
            return
        self._service.process.kill()
        self._service.process.wait()
        wait_until(lambda: not any(alive(pid) for pid in others))
        self._service.kill()
        options = (*_OPTIONS, "--port", str(self._port))
        self._service = Service(self._folder, *options).wait_until_ready()
        self._killed["supervisor"] += 1

    # What has become of the jobs.

    def _all_final(self) -> bool:
        found = asyncio.run(self._records())
        time.sleep(0.2)
        return len(found) == len(set(self._accepted)) and all(job.final for job, _ in found)

    async def _records(self, *, histories: bool = False) -> list[tuple[Job, list[Event]]]:
        store = open_store(f"sqlite:///{self._folder}/.onecopy/jobs.sqlite3")
        await store.open()
        try:
            jobs: list[Job] = []
            for first in range(0, len(self._accepted), 500):
                jobs += await store.get(self._accepted[first : first + 500])
            return [(job, await store.events({job.id: -1}) if histories else []) for job in jobs]
        finally:
            await store.close()

    def _judge(self) -> Report:
        records = asyncio.run(self._records(histories=True))
        report = Report(
            len(self._accepted), self._killed, Counter(job.status for job, _ in records)
        )
        known = {job.id for job, _ in records}
        report.lost = [job for job in self._accepted if job not in known]
        report.lost += [job.id for job, _ in records if not job.final]
        notes = (self._folder / "notes").read_text().splitlines()
        report.overlaps = [note for note in notes if note.startswith("overlap")]
        ended = {note.split()[1] for note in notes if note.startswith("end")}
        begun = Counter(note.split()[1] for note in notes if note.startswith("begin"))
        for job, events in records:
            report.faults += _faults(job, events)
            if job.status == "succeeded" and job.id not in ended:
                report.faults.append(f"{job.id} succeeded, and no attempt has ended")
            if begun[job.id] > sum(event.kind == "claimed" for event in events):
                report.faults.append(f"{job.id} has begun more often than it was claimed")
        return report


def _faults(job: Job, events: Sequence[Event]) -> list[str]:
    """Say what is wrong with the history of a job."""
    kinds = [event.kind for event in events]
    faults: list[str] = []
    if [event.number for event in events] != list(range(job.version + 1)):
        faults.append(f"{job.id}: events are missing: {[event.number for event in events]}")
    if kinds[:1] != ["accepted"] or sum(kind in _FINAL for kind in kinds) != int(job.final):
        faults.append(f"{job.id}: {kinds}")
    ends = sum(kind in ("retry", "released", *_FINAL) for kind in kinds)
    if job.final and kinds.count("claimed") != ends:
        faults.append(f"{job.id}: not every attempt that began has ended: {kinds}")
    return faults


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description="Kill processes while jobs are accepted.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between kills")
    parser.add_argument("--work", type=float, default=0.01, help="seconds of an attempt")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    random.seed(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(
            Path(folder), jobs=asked.jobs, kills=asked.kills, pause=asked.pause, work=asked.work
        )
        report = chaos.run()
    kills = ", ".join(f"{count} {role}" for role, count in sorted(report.kills.items()))
    print(f"{report.accepted:,} jobs answered 202 in {report.seconds:.0f} s; killed: {kills}")
    print(", ".join(f"{count:,} {status}" for status, count in report.statuses.items()))
    print(f"lost {len(report.lost)}, overlaps {len(report.overlaps)}, faults {len(report.faults)}")
    for line in (*report.lost, *report.overlaps, *report.faults):
        print(" ", line)
    sys.exit(not report.good)


if __name__ == "__main__":
    main()
