"""A router that requests for other routes pass at once; and routes for answers that stay."""

from typing import Final, Protocol

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

_STAYING: Final = "onecopy.staying"


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


class Staying(Protocol):
    """An answer that has begun, and goes on."""

    async def stay(self, receive: Receive) -> None:
        """Return when it has ended or the client has gone."""
        ...

    def close(self) -> None:
        """Give up."""
        ...


class StayingRoute(APIRoute):
    """A route whose answers stay for long, when FastAPI's part of the request is over.

    What the app's checks have opened is closed by then, and a third of the memory that an open
    answer would keep is free again.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have FastAPI answer, then stay."""
        for each in await self._answer(scope, receive, send):
            await each.stay(receive)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> list[Staying]:
        before = set(scope)
        staying: list[Staying] = []
        scope[_STAYING] = staying
        try:
            await super().handle(scope, receive, send)
        except BaseException:
            for each in staying:
                each.close()
            raise
        for name in set(scope) - before:
            del scope[name]
        return staying


async def stay(answer: Staying, scope: Scope, receive: Receive) -> None:
    """Stay: as soon as the route's part is over, if it is a `StayingRoute`; else here."""
    staying: list[Staying] | None = scope.get(_STAYING)
    if staying is None:
        await answer.stay(receive)
    else:
        staying.append(answer)
