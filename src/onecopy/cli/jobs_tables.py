"""Jobs, their history and their figures: as tables for people, and as JSON."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec.structs import asdict
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from onecopy.cli.jobs_times import local, rfc3339
from onecopy.cli.tables import Column, build, duration
from onecopy.jobs import Event, Job, Progress, Status
from onecopy.representation import short_worker
from onecopy.stores import Stats
from onecopy.stores.base import spans

STATUSES: Final[tuple[Status, ...]] = ("queued", "running", "succeeded", "failed", "cancelled")
_COLORS: Final = {"running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}
_LONGEST: Final = 2_000
"""Characters of arguments or a result that are shown to people."""
_SHORT: Final = 60
_INDENT: Final = " " * 4

_LIST_COLUMNS: Final = (
    Column("id", number=False),
    Column("task", number=False, wraps=True),
    Column("queue", number=False, leaves=3),
    Column("status", number=False),
    Column("attempt", leaves=4),
    Column("accepted", number=False, leaves=1),
    Column("ran", leaves=2),
    Column("note", number=False, wraps=True, leaves=5),
)
_STATS_COLUMNS: Final = (
    Column("queue", number=False),
    Column("task", number=False, wraps=True),
    *(Column(status) for status in STATUSES),
    Column("wait", leaves=2),
    Column("run", leaves=1),
    Column("oldest waits", leaves=3),
)


def printable(text: str) -> str:
    """Escape what a terminal would obey, or could not show; lines stay lines."""
    return "".join(
        each if each.isprintable() or each == "\n" else ascii(each)[1:-1]
        for each in text.expandtabs(4)
    )


def list_of(jobs: Iterable[Job], on: Console) -> RenderableType:
    """Return a table of jobs."""
    return build(_LIST_COLUMNS, map(_list_row, jobs), on)


def _list_row(job: Job) -> list[str]:
    return [
        job.id,
        printable(job.task),
        printable(job.queue),
        _status(job),
        f"{job.attempt}/{job.max_attempts}",
        local(job.created_at),
        _ran(job),
        _note(job),
    ]


def _status(job: Job) -> str:
    return "cancelling" if job.cancelling else job.status


def _ran(job: Job) -> str:
    if job.status == "running" and job.started_at is not None:
        return duration(max(0.0, time.time() - job.started_at))
    times = spans(job)
    return "-" if times is None else duration(times[1])


def _note(job: Job) -> str:
    if job.status == "running" and job.progress is not None:
        return far(job.progress)
    if job.failure is not None and job.status != "succeeded":
        first = (job.failure.message.splitlines() or [""])[0]
        said = printable(f"{job.failure.type}: {first}")
        return said if len(said) <= _SHORT else f"{said[: _SHORT - 1]}…"
    if job.status == "queued" and job.due_at > time.time():
        return f"due {local(job.due_at)}"
    return ""


def far(progress: Progress) -> str:
    """Return in words how far a running job has come."""
    done, total, message = progress.done, progress.total, progress.message
    said = f"{done:,.10g}" if total is None else f"{done:,.10g} of {total:,.10g}"
    return said + (f", {printable(message)}".replace("\n", " ") if message else "")


def stats_of(stats: Iterable[Stats], on: Console) -> RenderableType:
    """Return a table of figures."""
    return build(_STATS_COLUMNS, map(_stats_row, stats), on)


def _stats_row(stats: Stats) -> list[str]:
    waits = None if stats.oldest is None else max(0.0, time.time() - stats.oldest)
    return [
        printable(stats.queue),
        printable(stats.task),
        *(f"{stats.counts.get(status, 0):,}" for status in STATUSES),
        *("-" if each is None else duration(each) for each in (stats.wait, stats.run, waits)),
    ]


def page_of(job: Job, history: Sequence[Event]) -> RenderableType:
    """Return all that there is to say about a job; of its history, these events."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, value in _facts(job):
        facts.add_row(Text(name), Text(value, _COLORS.get(value, "")))
    parts: list[RenderableType] = [facts, *_section("arguments", _shortened(job.arguments))]
    if job.result is not None:
        parts += _section("result", _shortened(job.result))
    if job.failure is not None:
        error = f"{job.failure.type}: {job.failure.message}"
        if job.failure.traceback:
            error = job.failure.traceback.rstrip("\n")
        parts += _section("error" if job.final else "error of the last attempt", printable(error))
    if history:
        parts += _section("history", "\n".join(timeline(history)))
    return Group(*parts)


def _facts(job: Job) -> Iterator[tuple[str, str]]:
    yield "job", job.id
    yield "task", printable(job.task)
    yield "queue", printable(job.queue) + (f", priority {job.priority}" if job.priority else "")
    yield "status", _status(job)
    if job.ordering_key is not None:
        behind = ", held behind another job" if job.held else ""
        yield "ordering key", printable(job.ordering_key) + behind
    yield "attempt", f"{job.attempt} of {job.max_attempts}"
    yield "accepted", local(job.created_at)
    if job.status == "queued" and job.due_at > job.created_at:
        yield "due", local(job.due_at)
    if job.status == "running" and job.progress is not None:
        yield "progress", far(job.progress)
    if job.lease is not None:
        yield "worker", printable(job.lease.worker)
    times = spans(job)
    if times is not None:
        yield "took", f"{duration(times[1])} after a wait of {duration(max(0.0, times[0]))}"
    elif job.status == "running":
        yield "runs for", _ran(job)


def _section(title: str, text: str) -> list[RenderableType]:
    return [Text(), Text(title, "bold"), *(Text(f"  {line}") for line in text.split("\n"))]


def _shortened(text: str) -> str:
    shown = printable(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    if len(shown) <= _LONGEST:
        return shown
    return f"{shown[:_LONGEST]}…\n({len(shown):,} characters: all of it with --json)"


def timeline(history: Sequence[Event], *, after: int = -1) -> Iterator[str]:
    """Yield a line for each event; of progress that follows on progress, for the last alone.

    after: begin behind the event of this number.
    """
    for event, following in zip(history, [*history[1:], None], strict=True):
        again = following is not None and following.kind == event.kind == "progress"
        if again or event.number <= after:
            continue
        for at, words in _said(event):
            since = at - history[0].at
            yield f"{local(at, spec='milliseconds')}  {since:+10.3f} s  {words}"


def _said(event: Event) -> Iterator[tuple[float, str]]:
    if event.kind != "log":
        yield event.at, _words(event)
        return
    for line in event.data["lines"]:
        text = printable(line["message"]).replace("\n", "\n" + _INDENT)
        yield line["at"], f"{line['level']} {printable(line['logger'])}: {text}"


def _words(event: Event) -> str:
    said = event.kind
    if event.kind == "progress":
        said += f": {far(Progress(**event.data['progress']))}"
    attempt, worker, error = (event.data.get(key) for key in ("attempt", "worker", "error"))
    if attempt and event.kind != "released":
        said += f", attempt {attempt}"
    if worker:
        said += f", by {short_worker(worker)}"
    if error:
        said += f": {error['type']}: {error['message']}"
    due_at = event.data.get("due_at")
    if isinstance(due_at, int | float) and due_at > event.at:
        said += f"; due {local(due_at, spec='milliseconds')}"
    return printable(said).replace("\n", " ")


def job_as_json(job: Job) -> dict[str, object]:
    """Return a job without its arguments and result. The token of its attempt is nobody's."""
    return {
        "id": job.id,
        "task": job.task,
        "queue": job.queue,
        "priority": job.priority,
        "status": job.status,
        "cancelling": job.cancelling,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "created_at": rfc3339(job.created_at),
        "due_at": rfc3339(job.due_at),
        "expires_at": rfc3339(job.expires_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "worker": None if job.lease is None else job.lease.worker,
        "progress": None if job.progress is None else asdict(job.progress),
        "error": None if job.failure is None else asdict(job.failure),
        "idempotency_key": job.idempotency_key,
        "ordering_key": job.ordering_key,
        "held": job.held,
    }


def page_as_json(job: Job, history: Sequence[Event]) -> dict[str, object]:
    """Return a job with all that belongs to it."""
    return {
        **job_as_json(job),
        "arguments": json.loads(job.arguments),
        "result": None if job.result is None else json.loads(job.result),
        "history": [
            {"number": each.number, "at": rfc3339(each.at), "kind": each.kind, **_dated(each.data)}
            for each in history
        ],
    }


def _dated(data: dict[str, Any]) -> dict[str, Any]:
    due_at = data.get("due_at")
    if isinstance(due_at, float):
        return {**data, "due_at": rfc3339(due_at)}
    if "lines" in data:
        return {"lines": [{**line, "at": rfc3339(line["at"])} for line in data["lines"]]}
    return data


def stats_as_json(stats: Stats) -> dict[str, object]:
    """Return the figures of a queue and task, times in seconds."""
    return {
        "queue": stats.queue,
        "task": stats.task,
        "counts": {status: stats.counts.get(status, 0) for status in STATUSES},
        "wait_seconds": stats.wait,
        "run_seconds": stats.run,
        "oldest_due_at": rfc3339(stats.oldest),
    }
