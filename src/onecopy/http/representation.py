"""A job as JSON on the wire. Pure."""

from datetime import UTC, datetime

from pydantic_core import to_json

from onecopy.jobs import Job


def write_job(job: Job, path: str) -> bytes:
    """Return a job as JSON. path: of its own route, from the root of the host."""
    before: dict[str, object] = {
        "id": job.id,
        "task": job.task,
        "status": job.status,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "progress": _progress(job),
    }
    after: dict[str, object] = {
        "error": error_of(job) if job.status == "failed" else None,
        "links": {"self": path, "result": f"{path}/result", "events": f"{path}/events"},
    }
    # The result is JSON already, and may be large: it is not read only to be written again.
    result = f',"result":{job.result or "null"}' if job.status == "succeeded" else ""
    return b"%b%b,%b" % (to_json(before)[:-1], result.encode(), to_json(after)[1:])


def error_of(job: Job) -> dict[str, str]:
    """Return type and message of why a job failed; the traceback stays at home."""
    if job.failure is None:
        return {"type": "Failed", "message": ""}
    return {"type": job.failure.type, "message": job.failure.message}


def rfc3339(seconds: float | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _progress(job: Job) -> dict[str, object] | None:
    progress = job.progress
    if progress is None:
        return None
    return {"done": progress.done, "total": progress.total, "message": progress.message}
