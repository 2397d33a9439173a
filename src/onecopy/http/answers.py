"""The answers about jobs that the routes and the endpoints of tasks have in common."""

import math
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from onecopy.errors import JobNotFound, OneCopyError
from onecopy.http.options import HttpOptions
from onecopy.http.preferences import read_preferences
from onecopy.http.problems import Kind, Problem, of_error
from onecopy.jobs import Job
from onecopy.representation import write_job
from onecopy.tasks import Tasks

_LONGEST_PAUSE: Final = 60
_PAUSE: Final = 1
"""Seconds after which to ask again where nothing was measured."""
_LOOKED_AT: Final = frozenset(
    (b"prefer", b"content-length", b"content-type", b"idempotency-key", b"traceparent")
)
_HEADERS: Final = {
    # What is answered depends on the header even where it was not sent.
    "Vary": "Prefer",
    # Whoever has the id may read the job: no cache in between should.
    "Cache-Control": "no-store",
}


class Asked:
    """One request: what it prefers, and where this host is for its client.

    headers: those that are looked at, by name, each with its values. wait: seconds to wait for a
    final job; None if the client did not ask for it.
    """

    def __init__(self, request: Request, tasks: Tasks, options: HttpOptions) -> None:
        self.request = request
        self.tasks = tasks
        self.options = options
        self.headers = _read_headers(request)
        self._preferences = read_preferences(self.headers.get(b"prefer", ()))
        wait = self._preferences.wait
        self.wait = None if wait is None else min(wait, int(options.longest_wait))

    def path(self, job: str) -> str:
        """Return the path of a job's route, as the client sees it."""
        root: str = self.request.scope.get("root_path", "")
        return f"{root.rstrip('/')}{self.options.prefix}/{job}"

    def applied(self) -> dict[str, str]:
        """Return the header that says which preferences were obeyed."""
        if self.wait is not None:
            return {"Preference-Applied": f"wait={self.wait}"}
        return {"Preference-Applied": "respond-async"} if self._preferences.respond_async else {}

    def answer(self, status: int, job: Job, headers: dict[str, str] | None = None) -> Response:
        """Answer with a job."""
        content = write_job(job, self.path(job.id))
        return Response(content, status, _HEADERS | (headers or {}), "application/json")

    def problem(self, problem: Problem) -> Response:
        """Answer with a problem."""
        response = problem.response()
        response.headers.update(_HEADERS)
        return response

    async def error(self, error: OneCopyError, queue: str | None = None) -> Response:
        """Answer with the problem of an error; raise it again if it is none of the client's."""
        if isinstance(error, JobNotFound):
            return self.problem(Problem(Kind.JOB_UNKNOWN, "It may have been deleted since."))
        measured = None if queue is None else await _measured(self.tasks, queue)
        problem = of_error(error, _whole(measured))
        if problem is None:
            raise error
        return self.problem(problem)

    async def retry_after(self, job: Job) -> dict[str, str]:
        """Return the header that says when to ask again, by the measured time in the queue."""
        until_due = max(0.0, job.due_at - time.time())
        measured = await _measured(self.tasks, job.queue) if job.status == "queued" else None
        return {"Retry-After": str(_whole(until_due + (measured or 0.0)))}


type OptionsSource = Callable[[], HttpOptions]


def _read_headers(request: Request) -> dict[bytes, list[str]]:
    """Take all at once: starlette goes through the whole list for each that is asked for."""
    found: dict[bytes, list[str]] = {}
    for name, value in request.scope["headers"]:
        if name in _LOOKED_AT:
            found.setdefault(name, []).append(value.decode("latin-1"))
    return found


async def _measured(tasks: Tasks, queue: str) -> float | None:
    try:
        return await tasks.queue_seconds(queue)
    except OneCopyError:
        return None


def _whole(seconds: float | None) -> int:
    return _PAUSE if seconds is None else min(_LONGEST_PAUSE, max(_PAUSE, math.ceil(seconds)))
