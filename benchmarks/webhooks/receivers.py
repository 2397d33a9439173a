"""Receivers of webhooks in one process: each a server on a port of its own."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final, Self, cast, override

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TIMESTAMP: Final = re.compile(rb'"timestamp": ?"([^"]+)"')
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Receivers:
    """So many receivers; the first ones answer nothing at all while `hanging` is over 0.

    arrived: when each webhook came to one that answers, and its body.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._servers: list[asyncio.Server] = []
        self.connections: set[asyncio.Transport] = set()
        self._wanted = 0
        self._all = asyncio.Event()
        self.hanging = 0
        self.urls: list[str] = []
        self.arrived: list[tuple[float, bytes]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in range(self._count):
            server = await loop.create_server(
                lambda number=number: _Receiver(self, number), "127.0.0.1", 0
            )
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.urls.append(f"http://127.0.0.1:{port}/hook")
        return self

    async def __aexit__(self, *error: object) -> None:
        for server in self._servers:
            server.close()
        for connection in [*self.connections]:
            connection.abort()

    def expect(self, count: int) -> None:
        """Wait for so many from here on."""
        self.arrived, self._wanted = [], count
        self._all.clear()

    async def all_arrived(self) -> None:
        """Return once all that are expected have come."""
        await self._all.wait()

    def arrive(self, body: bytes) -> None:
        """Note what has come."""
        self.arrived.append((time.time(), body))
        if len(self.arrived) == self._wanted:
            self._all.set()


class _Receiver(asyncio.Protocol):
    def __init__(self, receivers: Receivers, number: int) -> None:
        self._receivers = receivers
        self._number = number
        self._unread = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._receivers.connections.add(self._transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._receivers.connections.discard(self._transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, found, rest = self._unread.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(rest) < int(length[1]):
            return
        self._unread = b""
        if self._number >= self._receivers.hanging:
            self._receivers.arrive(rest)
            self._transport.write(_ANSWER)


def timestamp(body: bytes) -> str:
    """Return when the job of a webhook has ended, as RFC 3339 has it."""
    found = _TIMESTAMP.search(body)
    assert found is not None, body
    return found[1].decode()
