"""A job, and an event of it, as JSON on the wire. Pure."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from msgspec import json

from onecopy.jobs import Event, Job

LARGEST_RESULT: Final = 256 * 1024
"""Bytes of a result that an event carries; a larger one is fetched."""
_WORKER: Final = re.compile(r"([^/#]+)(?:/[^#]*)?#(\d+)@")


def write_job(job: Job, path: str | None = None, *, largest_result: int | None = None) -> bytes:
    """Return a job as JSON.

    path: of its own route, from the root of the host, for its links; without one it has none.
    largest_result: bytes; a result over that is left out.
    """
    before: dict[str, object] = {
        "id": job.id,
        "task": job.task,
        "status": job.status,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "progress": job.progress,
    }
    if job.ordering_key is not None:
        before["ordering_key"] = job.ordering_key
    after: dict[str, object] = {"error": error_of(job) if job.status == "failed" else None}
    if path is not None:
        after["links"] = {"self": path, "result": f"{path}/result", "events": f"{path}/events"}
    # The result is JSON already, and may be large: it is not read only to be written again.
    result = (job.result or "null").encode() if job.status == "succeeded" else None
    if result is None or (largest_result is not None and len(result) > largest_result):
        return b"%b,%b" % (json.encode(before)[:-1], json.encode(after)[1:])
    return b'%b,"result":%b,%b' % (json.encode(before)[:-1], result, json.encode(after)[1:])


def write_event(event: Event, job: Job | None = None) -> bytes:
    """Return an event as JSON.

    job: as it is once it is over; if this event says that it has succeeded, it carries the result.
    """
    members: dict[str, object] = {
        "job": event.job,
        "number": event.number,
        "kind": event.kind,
        "at": rfc3339(event.at),
        "status": event.status,
        **_with_times(event.data),
    }
    text = json.encode(members)
    if job is None or job.result is None or event.kind != "succeeded":
        return text
    result = job.result.encode()
    return text if len(result) > LARGEST_RESULT else b'%b,"result":%b}' % (text[:-1], result)


def _with_times(data: dict[str, Any]) -> dict[str, Any]:
    """What belongs to an event, its times in words."""
    words: dict[str, Any] = {
        name: rfc3339(data[name]) for name in ("due_at", "until") if name in data
    }
    if "lines" in data:
        words["lines"] = [line | {"at": rfc3339(line["at"])} for line in data["lines"]]
    if "worker" in data:
        words["worker"] = short_worker(data["worker"])
    return data | words


def short_worker(name: str) -> str:
    """Return a worker's name as people use it, `host#pid`: the rest is for its host alone."""
    found = _WORKER.match(name)
    return f"{found[1]}#{found[2]}" if found else name


def read_event(text: str | bytes) -> Event:
    """Return the event that was written as JSON; a result that came with it is in its data."""
    data: dict[str, Any] = json.decode(text)
    job, number, kind, at, _ = (
        data.pop(name) for name in ("job", "number", "kind", "at", "status")
    )
    for name in ("due_at", "until"):
        if name in data:
            data[name] = _seconds(data[name])
    if "lines" in data:
        data["lines"] = [line | {"at": _seconds(line["at"])} for line in data["lines"]]
    return Event(job, number, _seconds(at), kind, data)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def error_of(job: Job) -> dict[str, str]:
    """Return type and message of why a job failed; the traceback stays at home."""
    if job.failure is None:
        return {"type": "Failed", "message": ""}
    return {"type": job.failure.type, "message": job.failure.message}


def rfc3339(seconds: float | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    whole, thousandths = divmod(round(seconds * 1e6) // 1000, 1000)
    return f"{_second(whole)}.{thousandths:03}Z"


@lru_cache(256)
def _second(seconds: int) -> str:
    """Most times that are written were written a moment ago, and formatting takes longer."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[: len("2026-11-23T19:49:26")]
