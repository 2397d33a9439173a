"""Many streams of events of one job, in one process, which cost their client little."""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast, override

_AT_ONCE: Final = 200
"""Connections that are made at a time."""


class Crowd:
    """Streams that are open, and when they were told what."""

    def __init__(self, port: int, job: str) -> None:
        self._port = port
        self.request = (
            f"GET /jobs/{job}/events HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        self.streams: list[_Stream] = []
        self._told: list[float] = []
        self._closed: list[float] = []
        self._wanted = 0
        self.began = 0.0
        """Since when it is counted who is told."""
        self._all = asyncio.Event()
        self._all_closed = asyncio.Event()

    async def open(self, count: int) -> None:
        """Open so many streams; return once each has been told what has happened so far."""
        self._expect(count)
        for begin in range(0, count, _AT_ONCE):
            connecting = (self._connect() for _ in range(min(_AT_ONCE, count - begin)))
            await asyncio.gather(*connecting)
            await asyncio.sleep(0)
        await self._all.wait()

    def expect(self) -> None:
        """Count from here on who is told."""
        self._expect(len(self.streams))

    def _expect(self, count: int) -> None:
        self._told, self._wanted, self.began = [], count, time.time()
        self._all.clear()

    async def all_told(self) -> list[float]:
        """Return when each was told, in order; by the clock of `time.time`."""
        await self._all.wait()
        return self._told

    async def all_closed(self) -> list[float]:
        """Return when each stream was ended."""
        await self._all_closed.wait()
        return self._closed

    def close(self) -> None:
        """Leave."""
        for stream in self.streams:
            stream.leave()

    def told(self) -> None:
        """Be told by a stream that it was told something."""
        self._told.append(time.time())
        if len(self._told) == self._wanted:
            self._all.set()

    def closed(self) -> None:
        """Be told by a stream that it was ended."""
        self._closed.append(time.time())
        if len(self._closed) == len(self.streams):
            self._all_closed.set()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: _Stream(self), "127.0.0.1", self._port)
        self.streams.append(stream)


class _Stream(asyncio.Protocol):
    """A stream of which no more is read than that there is an event."""

    __slots__ = ("_crowd", "_transport")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._crowd.request)

    @override
    def data_received(self, data: bytes) -> None:
        if b"\ndata: " in data:
            self._crowd.told()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.closed()

    def leave(self) -> None:
        self._transport.abort()
