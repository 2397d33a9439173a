"""What the app's own routes answer when they can send no job now: 503, not 500."""

import logging
from typing import Final

from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from onecopy.errors import OneCopyError
from onecopy.http.problems import of_error

_PAUSE: Final = 1
_logger = logging.getLogger("onecopy.http")


def answer_not_now(app: FastAPI) -> None:
    """Have the app answer what its routes do not catch, unless it has a handler for it.

    It is one for the root of our errors, so that one of the app's for any below it comes first.
    """
    app.exception_handlers.setdefault(OneCopyError, _answer)


async def _answer(asked: HTTPConnection, error: Exception) -> Response:
    problem = of_error(error, _PAUSE) if isinstance(error, OneCopyError) else None
    if problem is None or not isinstance(asked, Request):
        raise error
    _logger.error("%s %s: %s", asked.method, asked.url.path, error)
    return problem.response()
