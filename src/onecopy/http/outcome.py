"""`POST /jobs/{id}/outcome`: the outcome, or the progress, of an attempt that goes on elsewhere.

The right to report is the attempt's token, sent as `Authorization: Bearer TOKEN`; or not sent, but
used to sign the body as a webhook is (Standard Webhooks 1.0.0), as the secret that it is of.
"""

import base64
import hmac
import time
from typing import Annotated, Final

from fastapi import APIRouter, Path
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, ValidationError
from msgspec.json import decode
from starlette.requests import Request
from starlette.responses import Response

from onecopy.errors import OneCopyError, ResultInvalid, WebhookRefused
from onecopy.execution.attempt import Outcome, settle, sound, storable
from onecopy.execution.policy import RetryPolicy
from onecopy.http import openapi
from onecopy.http.answers import Asked
from onecopy.http.body import read_body
from onecopy.http.options import HttpOptions
from onecopy.http.paces import Paces
from onecopy.http.problems import Kind, Problem
from onecopy.http.router import JobRouter
from onecopy.jobs import Advance, Change, Fail, Failure, Job, NotAllowed, Progress
from onecopy.tasks import Tasks
from onecopy.webhooks import verify

_BEARER: Final = "bearer "


class _Error(Struct, forbid_unknown_fields=True):
    message: str
    type: str = "Failed"
    retry: bool = True
    """Whether another attempt may mend it, if there is one left."""


class _Said(Struct, forbid_unknown_fields=True):
    """The body: one of these."""

    result: Raw | UnsetType = UNSET
    error: _Error | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET


def router(tasks: Tasks, options: HttpOptions) -> APIRouter:
    """Return the route. No checks of the app's are in front: the token is the right."""
    paces = Paces()
    routes = JobRouter(prefix=options.prefix, tags=["jobs"])

    @routes.post(
        "/{job}/outcome",
        responses=openapi.OUTCOME,
        openapi_extra=openapi.OUTCOME_REQUEST,
        response_class=Response,
    )
    async def report_outcome(
        request: Request, job: Annotated[str, Path(description="The job's id")]
    ) -> Response:
        """Report the outcome, or the progress, of the job's attempt: for work done elsewhere."""
        asked = Asked(request, tasks, options)
        try:
            return await _report(asked, job, paces)
        except Problem as problem:
            return asked.problem(problem)
        except OneCopyError as error:
            return await asked.error(error)

    # Used by the decorator above alone.
    del report_outcome
    return routes


async def _report(asked: Asked, name: str, paces: Paces) -> Response:
    body = await read_body(asked)
    job = await asked.tasks.job(name)
    _must_be_entitled(asked.request, job, body)
    change = _change(asked.tasks, job, body)
    if isinstance(change, Advance):
        await paces.wait(job)
    try:
        changed = await asked.tasks.change(name, change)
    except NotAllowed:
        # Another report, or a time limit, came in between.
        raise _refused() from None
    return asked.answer(200, changed)


def _must_be_entitled(request: Request, job: Job, body: bytes) -> None:
    """Raise unless the request is by whoever has the token of the running attempt."""
    token = None if job.lease is None else job.lease.token
    scheme = request.headers.get("authorization", "")
    if scheme.lower().startswith(_BEARER):
        given = scheme[len(_BEARER) :].strip()
        entitled = token is not None and hmac.compare_digest(given.encode(), token.encode())
    else:
        entitled = token is not None and _is_signed(request, body, token)
    if not entitled:
        raise Problem(Kind.JOB_FINAL, f"It has {job.status}.") if job.final else _refused()


def _is_signed(request: Request, body: bytes, token: str) -> bool:
    secret = "whsec_" + base64.b64encode(token.encode()).decode()
    try:
        verify(body, request.headers, secret)
    except WebhookRefused:
        return False
    return True


def _refused() -> Problem:
    return Problem(
        Kind.TOKEN_REFUSED, "The attempt has ended, or this is not its token: nothing has changed."
    )


def _change(tasks: Tasks, job: Job, body: bytes) -> Change:
    """Return the change that a body asks for. Raises Problem."""
    assert job.lease is not None, "whoever is entitled has the token of its lease"
    said = _read(body)
    if isinstance(said.result, Raw):
        return _succeed(tasks, job, bytes(said.result).decode())
    if isinstance(said.error, _Error):
        return _fail(tasks, job, job.lease.token, said.error)
    assert isinstance(said.progress, Progress)
    progress = sound(said.progress)
    if progress is None:
        raise _unfit("$.progress: its numbers have to be finite")
    return Advance(job.lease.token, progress)


def _read(body: bytes) -> _Said:
    try:
        said = decode(body, type=_Said)
    except ValidationError as error:
        raise _unfit(str(error)) from None
    except (DecodeError, UnicodeDecodeError) as error:
        raise Problem(Kind.JSON_INVALID, str(error)) from None
    if sum(each is not UNSET for each in (said.result, said.error, said.progress)) != 1:
        raise _unfit('send one of "result", "error" and "progress"')
    return said


def _succeed(tasks: Tasks, job: Job, result: str) -> Change:
    task = tasks.get(job.task)
    if task is not None:
        try:
            result = task.encode_result(task.decode_result(result))
        except ResultInvalid as error:
            raise _unfit(f"$.result: {error.reason}") from None
    return settle(job, Outcome(result), _policy(tasks, job), time.time())


def _fail(tasks: Tasks, job: Job, token: str, said: _Error) -> Change:
    failure = Failure(storable(said.type[:200]), storable(said.message[:10_000]))
    retry_at = time.time() + _policy(tasks, job).delay(job.attempt)
    return Fail(token, failure, retry_at if said.retry else None)


def _policy(tasks: Tasks, job: Job) -> RetryPolicy:
    task = tasks.get(job.task)
    return RetryPolicy() if task is None else task.policy


def _unfit(reason: str) -> Problem:
    return Problem(Kind.OUTCOME_INVALID, reason)
