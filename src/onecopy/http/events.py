"""The routes of events: Server-Sent Events and WebSockets, of one job or of several."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from onecopy.errors import JobNotFound, OneCopyError
from onecopy.http import openapi_events as openapi
from onecopy.http.answers import Asked
from onecopy.http.options import HttpOptions
from onecopy.http.position import read_position
from onecopy.http.problems import Kind, Problem
from onecopy.http.router import StayingRoute
from onecopy.http.sse import EventStream
from onecopy.http.websocket import REFUSED, JobSocket, is_allowed
from onecopy.http.wishes import ID
from onecopy.tasks import Tasks

_MOST: Final = 100
"""Jobs that one stream follows: their ids have to fit into a URL."""


def add_events(routes: APIRouter, tasks: Tasks, options: HttpOptions) -> None:
    """Add the routes of events; before those of one job, whose id could else be `events`."""

    async def follow_jobs(request: Request) -> Response:
        """The events of several jobs as they happen (Server-Sent Events), until all have ended."""
        return await _answer(Asked(request, tasks, options), _ids(request))

    async def follow_job(
        request: Request, job: Annotated[str, Path(description="The job's id")]
    ) -> Response:
        """The events of the job as they happen (Server-Sent Events), until it has ended."""
        return await _answer(Asked(request, tasks, options), [job])

    for path, endpoint, extra in (
        ("/events", follow_jobs, openapi.SEVERAL),
        ("/{job}/events", follow_job, openapi.ONE),
    ):
        routes.add_api_route(
            path,
            endpoint,
            responses=openapi.EVENTS,
            openapi_extra=extra,
            response_class=Response,
            route_class_override=StayingRoute,
        )
    add_sockets(routes, tasks, options)


def add_sockets(routes: APIRouter, tasks: Tasks, options: HttpOptions) -> None:
    """Add the routes of WebSockets."""

    async def follow_any(websocket: WebSocket) -> None:
        await _converse(websocket, tasks, options)

    async def follow_one(websocket: WebSocket, job: str) -> None:
        await _converse(websocket, tasks, options, job)

    routes.add_api_websocket_route("/ws", follow_any)
    routes.add_api_websocket_route("/{job}/ws", follow_one)


async def _converse(
    websocket: WebSocket, tasks: Tasks, options: HttpOptions, job: str | None = None
) -> None:
    await websocket.accept()
    if not is_allowed(websocket, options.origins):
        await websocket.close(REFUSED, "pages of this origin may not connect")
        return
    try:
        [after] = read_position(websocket.query_params.get("after") or "-", 1)
    except ValueError:
        await websocket.close(REFUSED, "`after` is no number of an event")
        return
    await JobSocket(websocket, tasks, job).stay(after)


async def _answer(asked: Asked, jobs: list[str] | Problem) -> Response:
    try:
        if isinstance(jobs, Problem):
            raise jobs
        if not all(ID.fullmatch(job) for job in jobs):
            raise JobNotFound(jobs[0])
        after = _after(asked.request, jobs)
        runtime = await asked.tasks.open()
        return EventStream(asked, runtime, after or dict.fromkeys(jobs, -1), resumes=bool(after))
    except Problem as problem:
        return asked.problem(problem)
    except OneCopyError as error:
        return await asked.error(error)


def _ids(request: Request) -> list[str] | Problem:
    ids = [each for each in request.query_params.get("ids", "").split(",") if each]
    if not 1 <= len(ids) <= _MOST or len(set(ids)) != len(ids):
        return Problem(Kind.IDS_INVALID, f"Name 1 to {_MOST} jobs, each once: `?ids=a,b,c`.")
    return ids


def _after(request: Request, jobs: list[str]) -> Mapping[str, int]:
    """Return after which number each job is to be told; nothing if the client does not say."""
    text = request.headers.get("last-event-id") or request.query_params.get("after", "")
    if not text:
        return {}
    try:
        return dict(zip(jobs, read_position(text, len(jobs)), strict=True))
    except ValueError:
        detail = "It has to be the `id` of an event of this very stream."
        raise Problem(Kind.EVENT_ID_INVALID, detail) from None
