"""A bare echo over a Unix socket: the least that a question to another process costs.

`python -m benchmarks.call.echo PATH` serves it, on the event loop that the client has too.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Self, cast

from benchmarks.loops import run


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Client(asyncio.Protocol):
    """One connection to an echo, with one question at a time."""

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connect to the echo at a path."""
        _, client = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer who waits."""
        self._answer.set_result(data)

    async def ask(self, question: bytes) -> bytes:
        """Send a question and return its echo."""
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return await self._answer

    def close(self) -> None:
        """Leave."""
        self._transport.close()


async def _serve(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(_Echo, path)
    print("echoes", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(_serve(sys.argv[1]))
