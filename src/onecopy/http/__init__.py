"""Jobs over HTTP, for FastAPI.

endpoint.py         `task.endpoint`: accepts a job for each POST
routes.py           look, wait, fetch the result, cancel
events.py           the routes of events
sse.py              Server-Sent Events
websocket.py        WebSockets
wishes.py           what a client sends over one
streams.py          all open streams: silence, clients that do not read, the end of the server
outlet.py           what is to be sent on one of them
position.py         how far one has come: its Last-Event-ID
outcome.py          the outcome of an attempt that goes on elsewhere
paces.py            how often its progress is taken
callbacks.py        who asks to be told how a job ended
webhook_key.py      the public key that webhooks are verified with
browser.py          `client.js`: sends and follows jobs from a page
answers.py          what they have in common
router.py           a router that requests for other routes pass at once; answers that stay
body.py             the body of a request
preferences.py      the Prefer and Idempotency-Key headers
problems.py         RFC 9457: every error, each with a type that stays
not_now.py          those that the app's own routes do not catch
pointers.py         from pydantic's faults to JSON Pointers
openapi.py          what OpenAPI says of all this; openapi_events.py of events
webhook_openapi.py  and of callbacks
"""

from collections.abc import Sequence

from fastapi import FastAPI, params

from onecopy.http import browser, outcome, webhook_key
from onecopy.http.endpoint import endpoint
from onecopy.http.not_now import answer_not_now
from onecopy.http.openapi import describe
from onecopy.http.options import HttpOptions
from onecopy.http.routes import router
from onecopy.tasks import Tasks

__all__ = ["HttpOptions", "endpoint", "install"]


def install(
    app: FastAPI, tasks: Tasks, options: HttpOptions, dependencies: Sequence[params.Depends]
) -> None:
    """Give an app the routes of jobs; its own routes and handlers stay as they are."""
    app.include_router(webhook_key.router(tasks, options))  # First: it is no job's id.
    app.router.routes.append(browser.route(options.prefix))  # before those with a job in the path
    app.include_router(router(tasks, options, dependencies))
    app.include_router(outcome.router(tasks, options))
    answer_not_now(app)
    describe(app, tasks)
