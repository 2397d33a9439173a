"""A job as Celery's own message (protocol 2), by which any Celery worker knows the task."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from onecopy.jobs import Job

_NOTHING_ELSE: Final = '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'
_LONGEST_SHOWN: Final = 1024


@cache
def _origin(pid: int) -> str:
    return f"gen{pid}@{socket.gethostname()}"


def body_of(job: Job) -> str:
    """Return positional arguments (none), arguments by name, and what else Celery could do."""
    return f"[[],{job.arguments},{_NOTHING_ELSE}]"


def headers_of(job: Job) -> dict[str, Any]:
    """Return the headers of a job's message."""
    headers: dict[str, Any] = {
        "lang": "py",
        "task": job.task,
        "id": job.id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": job.attempt,
        "timelimit": [None, None],
        "root_id": job.id,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": job.arguments[:_LONGEST_SHOWN],
        "origin": _origin(os.getpid()),
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    if job.traceparent is not None:
        headers["traceparent"] = job.traceparent
    return headers
