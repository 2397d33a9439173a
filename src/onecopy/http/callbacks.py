"""`?callback_url=`: a client that asks to be told how its job ended."""

import logging
from typing import Final

from starlette.requests import Request

from onecopy.errors import CallbackRefused, WebhooksNotInstalled
from onecopy.http.problems import Kind, Problem

PARAMETER: Final = "callback_url"
_logger = logging.getLogger("onecopy.http")


def read_callback(request: Request) -> str | None:
    """Return the URL that a request names; None if it names none. Raises Problem."""
    if not request.scope["query_string"]:
        return None
    urls = request.query_params.getlist(PARAMETER)
    if len(urls) > 1:
        raise _problem("it is there twice")
    return urls[0] if urls else None


def refusal(error: CallbackRefused | WebhooksNotInstalled) -> Problem:
    """Return the problem of a URL that is not called back."""
    if isinstance(error, CallbackRefused):
        return _problem(error.reason)
    _logger.error("no job with a callback can be accepted: %s", error)
    return _problem("this service calls nobody back")


def _problem(reason: str) -> Problem:
    fault = {"detail": reason, "parameter": PARAMETER}
    return Problem(Kind.CALLBACK_REFUSED, f"{PARAMETER}: {reason}", {"errors": [fault]})
