"""What has become of the jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from onecopy.jobs import Event, Job
from onecopy.stores import Filter, Store
from onecopy.stores.urls import open_store

_FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
_AT_ONCE: Final = 500


@dataclass
class Report:
    """What was done to the service, and what has become of the jobs."""

    accepted: int
    """Jobs answered 202."""
    kills: Counter[str] = field(default_factory=Counter[str])
    """SIGKILL, by the role of the process."""
    stops: Counter[str] = field(default_factory=Counter[str])
    """SIGSTOP, and SIGCONT after a while."""
    statuses: Counter[str] = field(default_factory=Counter[str])
    """Of the jobs that were answered 202."""
    unanswered: int = 0
    """Jobs on record whose 202 was lost with the process; they are judged as the others are."""
    attempts: int = 0
    lost: list[str] = field(default_factory=list[str])
    """Jobs that are not final, or answered 202 and not on record."""
    overlaps: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    """What is wrong with histories, and with what attempts have noted."""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost, twice, or out of order."""
        return not (self.lost or self.overlaps or self.faults)

    def figures(self) -> dict[str, Any]:
        """All of it in numbers."""
        return {
            "accepted": self.accepted,
            "unanswered": self.unanswered,
            "attempts": self.attempts,
            "seconds": self.seconds,
            "kills": dict(self.kills),
            "stops": dict(self.stops),
            "statuses": dict(self.statuses),
            "lost": len(self.lost),
            "overlaps": len(self.overlaps),
            "faults": len(self.faults),
        }


async def unfinished(url: str) -> int:
    """How many jobs on record are not final; at most a page of them is counted."""
    store = open_store(url)
    await store.open()
    try:
        return len(await store.find(Filter(statuses=("queued", "running"))))
    finally:
        await store.close()


async def judge(url: str, folder: Path, accepted: Sequence[str]) -> Report:
    """Look at all jobs on record, their histories and their notes."""
    store = open_store(url)
    await store.open()
    try:
        jobs = await _all(store)
        histories = [(job, await store.events({job.id: -1})) for job in jobs]
    finally:
        await store.close()
    known = {job.id: job for job in jobs}
    answered = set(accepted)
    report = Report(len(accepted), unanswered=len(known.keys() - answered))
    report.statuses = Counter(known[job].status for job in answered if job in known)
    report.attempts = sum(job.attempt for job in jobs)
    report.lost = sorted(answered - known.keys()) + [job.id for job in jobs if not job.final]
    _compare(report, histories, (folder / "notes").read_text().splitlines())
    return report


async def _all(store: Store) -> list[Job]:
    jobs: list[Job] = []
    while page := await store.find(
        Filter(limit=_AT_ONCE, older_than=jobs[-1].id if jobs else None)
    ):
        jobs += page
    return jobs


def _compare(
    report: Report, histories: Sequence[tuple[Job, Sequence[Event]]], notes: Sequence[str]
) -> None:
    """Hold the histories against what the attempts have noted."""
    report.overlaps = [note for note in notes if note.startswith("overlap")]
    ended = {note.split()[1] for note in notes if note.startswith("end")}
    begun = Counter(note.split()[1] for note in notes if note.startswith("begin"))
    for job, events in histories:
        report.faults += _faults(job, events)
        if job.status == "succeeded" and job.id not in ended:
            report.faults.append(f"{job.id} succeeded, and no attempt has ended")
        if begun[job.id] > sum(event.kind == "claimed" for event in events):
            report.faults.append(f"{job.id} has begun more often than it was claimed")


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
