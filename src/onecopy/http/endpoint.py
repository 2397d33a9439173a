"""`task.endpoint`: accepts a job for each POST."""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response

from onecopy.errors import (
    ArgumentsInvalid,
    CallbackRefused,
    IdempotencyMismatch,
    OneCopyError,
    StoreUnavailable,
    WebhooksNotInstalled,
)
from onecopy.http.answers import Asked, OptionsSource
from onecopy.http.body import read_body
from onecopy.http.callbacks import read_callback, refusal
from onecopy.http.openapi import marked
from onecopy.http.pointers import pointer
from onecopy.http.preferences import read_idempotency_key
from onecopy.http.problems import Kind, Problem
from onecopy.jobs import Job
from onecopy.tasks import Task, Tasks
from onecopy.tasks.options import SendingOptions

_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_logger = logging.getLogger("onecopy.http")


def endpoint(
    task: Task[..., Any], tasks: Tasks, options: OptionsSource
) -> Callable[..., Awaitable[Response]]:
    """Return a FastAPI endpoint that accepts jobs of a task.

    Its body is read here and not by FastAPI, so that every error is a problem, whatever handlers
    the app has; what OpenAPI says of it is added by `describe`.
    """

    # Nothing but the request, because each declared header would cost FastAPI some 40 microseconds.
    async def accept(request: Request) -> Response:
        asked = Asked(request, tasks, options())
        try:
            job = await _accept(asked, task)
        except Problem as problem:
            return asked.problem(problem)
        except OneCopyError as error:
            if isinstance(error, StoreUnavailable):
                _logger.error("no job of task %r can be accepted: %s", task.name, error)
            return await asked.error(error, task.declared.queue)
        return await _accepted(asked, job)

    accept.__name__ = task.name
    accept.__qualname__ = task.name
    accept.__doc__ = marked(task)
    return accept


async def _accept(asked: Asked, task: Task[..., Any]) -> Job:
    sending = _sending(asked)
    body = await read_body(asked)
    try:
        arguments = task.signature.normalise(body)
        sender = (task.options(**sending) if sending else task).sender
        [job] = await sender.accept([sender.job(arguments)])
    except ArgumentsInvalid as error:
        raise _faulty(error, body) from None
    except (CallbackRefused, WebhooksNotInstalled) as error:
        raise refusal(error) from None
    except IdempotencyMismatch as error:
        raise Problem(Kind.KEY_REUSED, str(error)) from None
    return job


async def _accepted(asked: Asked, job: Job) -> Response:
    """Answer for a job that is accepted, whatever happens from here on."""
    wait = asked.wait
    if wait is not None:
        try:
            job = job if job.final else await asked.tasks.wait(job.id, wait)
        except OneCopyError as error:
            _logger.warning("job %s is accepted and cannot be waited for: %s", job.id, error)
    headers = {"Location": asked.path(job.id), **asked.applied()}
    if job.final and wait is not None:
        return asked.answer(200, job, headers)
    return asked.answer(202, job, headers | await asked.retry_after(job))


def _sending(asked: Asked) -> SendingOptions:
    sending = SendingOptions()
    keys = asked.headers.get(b"idempotency-key")
    if keys:
        key = read_idempotency_key(keys[0]) if len(keys) == 1 else None
        if key is None:
            raise Problem(Kind.KEY_INVALID, "Send one, of 1 to 255 printable ASCII characters.")
        sending["idempotency_key"] = key
    traces = asked.headers.get(b"traceparent")
    if traces and _TRACE.fullmatch(traces[0]):
        sending["traceparent"] = traces[0]
    callback = read_callback(asked.request)
    if callback is not None:
        sending["callback_url"] = callback
    return sending


def _faulty(error: ArgumentsInvalid, body: bytes) -> Problem:
    if error.errors and error.errors[0]["type"] == "json_invalid":
        return Problem(Kind.JSON_INVALID, str(error.errors[0]["msg"]))
    given: object = pydantic_core.from_json(body)
    faults = [
        {
            "detail": fault["msg"],
            "pointer": "#" + pointer(fault["loc"], given, missing=fault["type"] == "missing"),
        }
        for fault in error.errors
    ]
    return Problem(Kind.ARGUMENTS_INVALID, "See `errors`.", {"errors": faults})
