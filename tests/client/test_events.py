"""Events as the client brings them, from a real server."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from onecopy.client import Client
from onecopy.errors import JobNotFound
from onecopy.execution.runtime import Runtime
from onecopy.representation import write_event
from onecopy.testing import EventsContract
from onecopy.testing.events import Told, Transport
from tests.http.event_source import served


class ByClient:
    """Follows each job by a stream of its own."""

    def __init__(self, runtime: Runtime, client: Client) -> None:
        self.runtime = runtime
        self._client = client

    async def follow(self, after: Mapping[str, int]) -> AsyncGenerator[Told]:
        arriving: asyncio.Queue[Told | Exception | None] = asyncio.Queue()
        following = [asyncio.create_task(self._follow(*each, arriving)) for each in after.items()]
        try:
            left = len(following)
            while left:
                told = await arriving.get()
                if isinstance(told, Exception):
                    raise told
                if told is None:
                    left -= 1
                else:
                    yield told
        finally:
            for each in following:
                each.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _follow(
        self, job: str, after: int, arriving: asyncio.Queue[Told | Exception | None]
    ) -> None:
        try:
            async for event in self._client.job(job).events(after):
                arriving.put_nowait(json.loads(write_event(event)))
            arriving.put_nowait(None)
        except JobNotFound:
            arriving.put_nowait(KeyError(job))


class TestClient(EventsContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Transport]]:
        @asynccontextmanager
        async def connect() -> AsyncGenerator[Transport]:
            async with served(tmp_path) as service, Client(service.url) as client:
                yield ByClient(service.runtime, client)

        return connect
