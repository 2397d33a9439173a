"""Takes calls from the socket that all job workers of a run accept on, while there is room."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from onecopy.execution import calls

_READ: Final = 5.0
"""Seconds in which a caller has to say what it wants: it holds a place."""

type RunCall = Callable[[dict[str, Any]], Awaitable[dict[str, object]]]


class CallTaker:
    """Accepts a call only when a place is free: else it is left to the other workers."""

    def __init__(self, listener: int, has_room: Callable[[], bool], run: RunCall) -> None:
        """Take the descriptor of the socket, and what runs a call and returns its answer."""
        self._listener = socket.socket(fileno=os.dup(listener))
        self._listener.setblocking(False)
        self._has_room = has_room
        self._run = run
        self.coming = 0
        """Calls that were accepted and have not said yet what they are."""
        self.room = asyncio.Event()
        """To be set when a place has become free."""
        self.answering: set[asyncio.Future[None]] = set()
        self._stopped = False

    async def take(self) -> None:
        """Accept calls until stopped."""
        while not self._stopped:
            await self._wait_for_caller()
            if not self._has_room():
                self.room.clear()
                await self.room.wait()
                continue
            if self._stopped:
                return
            with contextlib.suppress(OSError):  # Another worker was faster.
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                self._begin(sock)

    def stop(self) -> None:
        """Accept no more."""
        self._stopped = True

    async def _wait_for_caller(self) -> None:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.add_reader(self._listener, called.set)
        try:
            await called.wait()
        finally:
            loop.remove_reader(self._listener)

    def _begin(self, sock: socket.socket) -> None:
        self.coming += 1
        answering = asyncio.ensure_future(self._answer(sock))
        self.answering.add(answering)
        answering.add_done_callback(self.answering.discard)

    async def _answer(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=calls.LONGEST)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            try:
                async with asyncio.timeout(_READ):
                    question = json.loads(await reader.readline())
            finally:
                self.coming -= 1
                self.room.set()
            answer = await self._run(question)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()
