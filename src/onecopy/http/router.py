"""A router that requests for other routes pass at once."""

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class JobRouter(APIRouter):
    """Routes under one prefix.

    FastAPI asks an included router for each of its routes in turn, some microseconds each, also
    when the request is for one of the app's own.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return what FastAPI found, which looks only where the prefix is in the path."""
        if self.prefix not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)
