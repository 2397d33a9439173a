"""The routes of jobs: look, wait, fetch the result, cancel."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, params
from starlette.requests import Request
from starlette.responses import Response

from onecopy.errors import JobNotFound, OneCopyError
from onecopy.http import openapi
from onecopy.http.answers import Asked
from onecopy.http.events import add_events
from onecopy.http.options import HttpOptions
from onecopy.http.problems import Kind, Problem
from onecopy.http.router import JobRouter
from onecopy.http.wishes import ID
from onecopy.jobs import Job
from onecopy.representation import error_of
from onecopy.tasks import Tasks

_Id = Annotated[str, Path(description="The job's id", examples=[openapi.JOB["id"]])]
_WAITS: Final[dict[str, Any]] = {"parameters": [openapi.PREFER]}


def router(tasks: Tasks, options: HttpOptions, dependencies: Sequence[params.Depends]) -> APIRouter:
    """Return the routes of the jobs of these tasks."""
    routes = JobRouter(prefix=options.prefix, dependencies=list(dependencies), tags=["jobs"])
    add_events(routes, tasks, options)

    def guarded(
        answer: Callable[[Asked, str], Awaitable[Response]], request: Request, job: str
    ) -> Awaitable[Response]:
        return _guard(answer, Asked(request, tasks, options), job)

    @routes.get("/{job}", responses=openapi.LOOK, openapi_extra=_WAITS, response_class=Response)
    async def get_job(request: Request, job: _Id) -> Response:
        """The job as it is, whatever its status."""
        return await guarded(_look, request, job)

    @routes.get(
        "/{job}/result", responses=openapi.RESULT, openapi_extra=_WAITS, response_class=Response
    )
    async def get_result(request: Request, job: _Id) -> Response:
        """The bare result, once the job has succeeded."""
        return await guarded(_result, request, job)

    @routes.delete("/{job}", responses=openapi.CANCEL, response_class=Response)
    async def cancel_job(request: Request, job: _Id) -> Response:
        """Cancel the job: at once while it is queued, else as soon as its task ends."""
        return await guarded(_cancel, request, job)

    # Used by the decorators above alone.
    del get_job, get_result, cancel_job
    return routes


async def _guard(
    answer: Callable[[Asked, str], Awaitable[Response]], asked: Asked, job: str
) -> Response:
    try:
        if not ID.fullmatch(job):
            raise JobNotFound(job)
        return await answer(asked, job)
    except Problem as problem:
        return asked.problem(problem)
    except OneCopyError as error:
        return await asked.error(error)


async def _now(asked: Asked, job: str) -> Job:
    """Return the job, once it is final if the client would wait for that."""
    if asked.wait is None:
        return await asked.tasks.job(job)
    return await asked.tasks.wait(job, asked.wait)


async def _look(asked: Asked, job: str) -> Response:
    found = await _now(asked, job)
    pause = {} if found.final else await asked.retry_after(found)
    return asked.answer(200, found, _waited(asked) | pause)


async def _result(asked: Asked, job: str) -> Response:
    found = await _now(asked, job)
    match found.status:
        case "succeeded":
            headers = {"Vary": "Prefer", "Cache-Control": "no-store", **_waited(asked)}
            return Response(found.result or "null", 200, headers, "application/json")
        case "failed":
            error = error_of(found)
            members: dict[str, Any] = {"instance": asked.path(job), "error": error}
            detail = f"{error['type']}: {error['message']}"
            raise Problem(Kind.JOB_FAILED, detail, members, _waited(asked))
        case "cancelled":
            members = {"instance": asked.path(job)}
            raise Problem(Kind.JOB_CANCELLED, "It was cancelled.", members, _waited(asked))
        case _:
            headers = {"Location": asked.path(job), **_waited(asked)}
            return asked.answer(202, found, headers | await asked.retry_after(found))


async def _cancel(asked: Asked, job: str) -> Response:
    found = await asked.tasks.job(job)
    if found.final:
        return asked.answer(200, found)
    return asked.answer(202, await asked.tasks.cancel(job))


def _waited(asked: Asked) -> dict[str, str]:
    return asked.applied() if asked.wait is not None else {}
