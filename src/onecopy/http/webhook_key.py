"""`GET /jobs/webhook-key`: the public key that webhooks are verified with."""

import asyncio
import logging
from typing import Final

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from onecopy.errors import OneCopyError
from onecopy.http.openapi import WEBHOOK_KEY
from onecopy.http.options import HttpOptions
from onecopy.http.problems import Kind, Problem
from onecopy.tasks import Tasks

_HEADERS: Final = {"Cache-Control": "public, max-age=300"}
_logger = logging.getLogger("onecopy.http")


def router(tasks: Tasks, options: HttpOptions) -> APIRouter:
    """Return the route. No checks of the app's are in front: receivers have no other right."""
    routes = APIRouter(prefix=options.prefix, tags=["jobs"])
    known: list[str] = []

    @routes.get("/webhook-key", responses=WEBHOOK_KEY, response_class=Response)
    async def get_webhook_key() -> Response:
        """The public key (Ed25519) that verifies the signatures `v1a` of webhooks."""
        try:
            if not known:
                # It may have to be made, and is in a file.
                known.append(await asyncio.to_thread(lambda: tasks.callbacks.config.key().public))
        except OneCopyError as error:
            _logger.error("there is no key to verify webhooks with: %s", error)
            return Problem(Kind.UNAVAILABLE, "Try again later.").response()
        return JSONResponse({"public_key": known[0]}, headers=_HEADERS)

    # Used by the decorator above alone.
    del get_webhook_key
    return routes
