"""A strict HTTP client under load: every request that is not answered counts as failed.

A connection is used until an answer says `Connection: close`; a server that ends one without
having said so has lost a request.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Load:
    """Clients that ask again and again until they are told to stop."""

    port: int
    clients: int = 16
    path: str = "/"
    pause: float = 0.0
    keep_alive: bool = True
    answered: int = 0
    failures: list[str] = field(default_factory=list[str])
    by_body: Counter[str] = field(default_factory=Counter[str])
    _stop: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self.clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def wait_for(self, more: int) -> None:
        """Wait until so many more requests have been answered."""
        goal = self.answered + more
        async with asyncio.timeout(60):
            while self.answered < goal:  # noqa: ASYNC110 - many clients count, without a lock
                await asyncio.sleep(0.01)

    async def _client(self) -> None:
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.failures.append(f"connect: {error!r}")
                await asyncio.sleep(0.01)
                continue
            try:
                await self._talk(reader, writer)
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close = b"" if self.keep_alive else b"Connection: close\r\n"
        request = b"GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n" % (self.path.encode(), close)
        while not self._stop:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"http/1.1 200"):
                self.failures.append(head.decode())
            self.answered += 1
            self.by_body[body.decode()] += 1
            if b"connection: close" in head:
                return
            if self.pause:
                await asyncio.sleep(self.pause)
