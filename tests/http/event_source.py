"""An app that is served in the test's own event loop, and clients of its events."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override

import httpx
import uvicorn
from fastapi import FastAPI

from onecopy import OneCopy
from onecopy.engines.local import LocalEngine
from onecopy.execution.runtime import Runtime
from onecopy.http.position import write_position
from onecopy.jobs import new_id
from onecopy.stores import Store
from onecopy.stores.sqlite import SQLiteStore
from onecopy.testing.events import Told


class Server(uvicorn.Server):
    """uvicorn, without its signal handlers."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@dataclass
class Served:
    """A service under a URL, and the runtime that its jobs are in."""

    runtime: Runtime
    port: int
    server: Server
    app: FastAPI

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def served(
    folder: Path,
    *,
    store: Store | None = None,
    prepare: Callable[[FastAPI], None] = lambda _: None,
    options: Mapping[str, Any] | None = None,
    **install: Any,  # noqa: ANN401  what `install` takes, it checks
) -> AsyncGenerator[Served]:
    """Serve an app with jobs, its store in a folder."""
    runtime = Runtime(
        store or SQLiteStore(folder / f"{new_id()}.sqlite3"), LocalEngine(str(folder)), str(folder)
    )
    await runtime.open()
    shared, app = OneCopy(), FastAPI()

    async def source() -> Runtime:
        return runtime

    shared.use_runtime(source)
    prepare(app)
    shared.install(app, **install)
    settings: dict[str, Any] = {"log_level": "warning", **(options or {})}
    server = Server(uvicorn.Config(app, **settings))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
                await asyncio.sleep(0.005)
            yield Served(runtime, listener.getsockname()[1], server, app)
        finally:
            server.should_exit = server.force_exit = True
            await serving
            await runtime.close()


@dataclass
class Frame:
    """What an EventSource dispatches, and what it keeps to itself."""

    data: Any = None
    id: str | None = None
    retry: int | None = None
    comment: bool = False


async def frames(answer: httpx.Response) -> AsyncGenerator[Frame]:
    """Read the frames of an answer."""
    frame, empty = Frame(), True
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "data":
                    frame.data = json.loads(value)
                case "id":
                    frame.id = value
                case "retry":
                    frame.retry = int(value)
                case "":
                    frame.comment = True
                case _:
                    raise AssertionError(line)
            empty = False
        elif not empty:
            yield frame
            frame, empty = Frame(), True


@asynccontextmanager
async def asked(
    url: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[httpx.Response]:
    """Ask for a stream."""
    async with (
        # Reading the certificates of authorities takes longer than most tests.
        httpx.AsyncClient(timeout=30, trust_env=False, verify=False) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        yield answer


def path_of(after: Mapping[str, int]) -> str:
    """Return the path of the events of jobs."""
    if len(after) == 1:
        return f"/jobs/{next(iter(after))}/events"
    return f"/jobs/events?ids={','.join(after)}"


class EventSource:
    """Follows as a browser does, without coming again."""

    def __init__(self, runtime: Runtime, url: str) -> None:
        self.runtime = runtime
        self.url = url

    async def follow(self, after: Mapping[str, int]) -> AsyncGenerator[Told]:
        """Yield the events of one answer. Raises KeyError for an unknown job."""
        resumes = any(number >= 0 for number in after.values())
        last = {"Last-Event-ID": write_position(after.values()).decode()} if resumes else {}
        async with asked(self.url + path_of(after), last) as answer:
            if answer.status_code == 204:
                return
            if answer.status_code == 404:
                raise KeyError([*after])
            assert answer.status_code == 200, await answer.aread()
            numbers = dict(after)
            async with aclosing(frames(answer)) as arriving:
                async for frame in arriving:
                    if frame.data is not None:
                        numbers[frame.data["job"]] = frame.data["number"]
                        assert frame.id == write_position(numbers.values()).decode()
                        yield frame.data


class Browser:
    """Follows one job as a browser's EventSource does: comes again until it is told not to.

    answers: the statuses that it got. pauses: seconds from the end of each stream to the next.
    """

    def __init__(self, url: str, job: str) -> None:
        self._url = f"{url}/jobs/{job}/events"
        self._last = ""
        self._retry = 1.0
        self.told: list[Told] = []
        self.answers: list[int] = []
        self.pauses: list[float] = []

    async def follow(self) -> list[Told]:
        """Return all events, once the server has said that there are no more."""
        ended: float | None = None
        while 204 not in self.answers:
            with contextlib.suppress(httpx.TransportError):
                async with asked(self._url, self._headers()) as answer:
                    if ended is not None:
                        self.pauses.append(time.monotonic() - ended)
                    self.answers.append(answer.status_code)
                    assert answer.status_code in (200, 204), await answer.aread()
                    await self._read(answer)
                ended = time.monotonic()
            await asyncio.sleep(self._retry)
        return self.told

    def _headers(self) -> dict[str, str]:
        return {"Last-Event-ID": self._last} if self._last else {}

    async def _read(self, answer: httpx.Response) -> None:
        async for frame in frames(answer):
            if frame.retry is not None:
                self._retry = frame.retry / 1000
            if frame.data is not None:
                assert frame.id is not None
                self._last = frame.id
                self.told.append(frame.data)
