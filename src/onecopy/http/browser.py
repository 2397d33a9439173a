"""`GET /jobs/client.js`: the module by which a page sends and follows jobs."""

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def route(prefix: str) -> Route:
    """Return the route of the module. It is the same for everybody: nothing has to be shown."""
    return Route(f"{prefix}/client.js", client, include_in_schema=False)


async def client(request: Request) -> Response:
    """Answer with the module; who has it already is told so."""
    source, tag = _source()
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(source, 200, headers, "text/javascript")


@cache
def _source() -> tuple[bytes, str]:
    source = files("onecopy.http").joinpath("client.js").read_bytes()
    return source, f'"{hashlib.sha256(source).hexdigest()[:16]}"'
