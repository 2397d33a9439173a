"""Routes of the app's own that submit and call, and do not catch what says: not now."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from starlette.responses import PlainTextResponse, Response

from onecopy import OneCopy
from onecopy.errors import (
    ArgumentsInvalid,
    Busy,
    NotAccepted,
    NoWorker,
    OneCopyError,
    QueueIsFull,
    StoreUnavailable,
)
from onecopy.execution.connect import close_here

NOT_NOW = [
    (QueueIsFull("slow"), "queue-full"),
    (StoreUnavailable("/var/lib/jobs.db is locked"), "unavailable"),
    (NoWorker("geocode"), "no-worker"),
    (Busy("geocode"), "busy"),
]


def get(app: FastAPI, path: str, *, raises: bool = True) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.get(path)
        await close_here()
        return answer

    return asyncio.run(ask())


def app_that_raises(error: OneCopyError) -> FastAPI:
    app = FastAPI()

    @app.get("/own")
    async def own() -> None:
        raise error

    return app


@pytest.mark.parametrize(("error", "kind"), NOT_NOW)
def test_not_now_is_a_503(error: OneCopyError, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    app = app_that_raises(error)
    OneCopy().install(app)
    answer = get(app, "/own")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == f"urn:onecopy:problem:{kind}"
    assert "/var/lib" not in answer.text
    assert caplog.messages == [f"GET /own: {error}"]


def test_what_is_the_routes_own_fault_stays_a_500() -> None:
    app = app_that_raises(ArgumentsInvalid("geocode", []))
    OneCopy().install(app)
    with pytest.raises(ArgumentsInvalid):
        get(app, "/own")
    assert get(app, "/own", raises=False).status_code == 500


@pytest.mark.parametrize("kind", [QueueIsFull, NotAccepted, OneCopyError])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_handler_of_the_apps_own_comes_first(kind: type[OneCopyError], before: bool) -> None:
    app = app_that_raises(QueueIsFull("slow"))

    async def busy(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 429)

    steps: list[Callable[[], None]] = [
        lambda: app.add_exception_handler(kind, busy),
        lambda: OneCopy().install(app),
    ]
    for step in steps if before else reversed(steps):
        step()
    assert get(app, "/own").status_code == 429


def test_a_web_socket_of_the_apps_own_sees_the_error() -> None:
    app = FastAPI()

    @app.websocket("/own")
    async def own(socket: WebSocket) -> None:
        await socket.accept()
        raise NoWorker("geocode")

    OneCopy().install(app)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:  # noqa: ANN401  as ASGI has it
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/own",
        "headers": [],
        "query_string": b"",
    }
    with pytest.raises(NoWorker):
        asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent] == ["websocket.accept"]


def test_a_call_that_nobody_takes(tmp_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECOPY_STATE_DIR", str(tmp_path))
    app, shared = FastAPI(), OneCopy()
    shared.install(app)

    @shared.task
    async def twice(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    @app.get("/twice/{number}")
    async def own(number: int) -> int:
        return await twice.call(number)

    answer = get(app, "/twice/3")
    assert answer.status_code == 503
    assert "'twice'" in answer.json()["detail"]
