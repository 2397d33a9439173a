"""The apps under load that are not the example itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

type Scope = dict[str, Any]
type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]


async def two_milliseconds(scope: Scope, receive: Receive, send: Send) -> None:
    """Keeps its worker busy for 2 ms: the answer of a worker that serves two clients comes late."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    time.sleep(0.002)  # noqa: ASYNC251 - blocking is the point
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
