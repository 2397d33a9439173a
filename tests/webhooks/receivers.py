"""A receiver of webhooks as a real server, which behaves as badly as a test wants it to."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from onecopy.deliveries import Delivery
from onecopy.webhooks import Webhooks
from tests.webhooks.keys import PRIVATE, SECRET

BODY = '{"type":"job.succeeded","timestamp":"2026-11-23T19:49:26.120Z","data":{"id":"j"}}'


@dataclass
class Received:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    received: Received
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()


type Behaviour = Callable[[Connection], Awaitable[None]]


def answers(status: int, *headers: str, body: bytes = b"") -> Behaviour:
    async def behave(connection: Connection) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
        await connection.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return behave


async def hangs(_connection: Connection) -> None:
    await asyncio.Event().wait()


@dataclass
class Server:
    """`behave`: what it does with a request; may be changed at any time."""

    behave: Behaviour = field(default_factory=lambda: answers(200))
    scheme: str = "http"
    requests: list[Received] = field(default_factory=list[Received])
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?a=b"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                received = await _read(reader)
                self.requests.append(received)
                await self.behave(Connection(received, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # The other end has left.
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    plain = dict(line.split(": ", 1) for line in head[1:] if line)
    named = {name.lower(): value for name, value in plain.items()}
    return Received(head[0], named, await reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def server(
    behave: Behaviour | None = None, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Server]:
    """Serve on a free port of this machine; whatever it does is ended after the block."""
    made = Server(behave or answers(200), "https" if tls else "http")
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await made.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def local(**given: Any) -> Webhooks:  # noqa: ANN401  what `Webhooks` takes
    """A configuration that lets this machine be called."""
    defaults: dict[str, Any] = {
        "secrets": SECRET,
        "allow": "127.0.0.0/8",
        "private_key": PRIVATE.write(),
    }
    return Webhooks(**defaults | given)


def delivery(url: str, **given: Any) -> Delivery:  # noqa: ANN401  any field of a delivery
    fields: dict[str, Any] = {
        "id": "msg_1",
        "job": "j",
        "url": url,
        "payload": BODY,
        "created_at": 0.0,
        "due_at": 0.0,
    }
    return Delivery(**fields | given)
