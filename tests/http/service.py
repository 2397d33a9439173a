"""An app with tasks, its jobs in memory, and a client of it."""

# ruff: noqa: ANN401  what httpx and `install` take, they check

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from onecopy import Failed, OneCopy, Progress
from onecopy.testing.tasks import MemoryRuntime, jobs_in_memory


class Place(BaseModel):
    name: str
    height: float | None = None


@dataclass
class Service:
    """`send` speaks to the app; `jobs` runs what it accepted."""

    shared: OneCopy
    app: FastAPI
    jobs: MemoryRuntime
    root_path: str = ""
    raises: bool = True

    def send(self, method: str, path: str, headers: Any = None, **sent: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(
                self.app, root_path=self.root_path, raise_app_exceptions=self.raises
            )
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.request(method, path, headers=headers, **sent)

        return self.wait(ask())

    def wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    def submit(self, **body: Any) -> dict[str, Any]:
        """Have a job accepted; return it as JSON."""
        response = self.send("POST", "/geocode", json=body)
        assert response.status_code == 202
        return response.json()


def new_app() -> tuple[OneCopy, FastAPI]:
    shared, app = OneCopy(), FastAPI()

    @shared.task(retries=2, timeout=30, max_queued=3)
    def geocode(rows: list[str], progress: Progress, near: Place | None = None) -> list[Place]:
        """Find places by their names."""
        if "nowhere" in rows:
            raise Failed("no such place: nowhere")
        progress.update(len(rows), len(rows))
        return [Place(name=row, height=near.height if near else None) for row in rows]

    @shared.task(queue="other")
    async def count() -> int:
        return 3

    @shared.task(queue="other")
    def anything(value: Any) -> Any:
        return value

    app.post("/geocode")(geocode.endpoint)
    app.post("/count")(count.endpoint)
    app.post("/anything")(anything.endpoint)
    return shared, app


@contextmanager
def service(root_path: str = "", *, raises: bool = True, **install: Any) -> Generator[Service]:
    shared, app = new_app()
    shared.install(app, **install)
    with jobs_in_memory(shared) as jobs:
        yield Service(shared, app, jobs, root_path, raises)
