"""Sends the messages of one connection in order, so that nobody who has one needs to wait."""

import asyncio
from collections import deque
from typing import Any

from starlette.types import Message, Send


class Outlet:
    """What is to be sent on a connection.

    A message is sent at once, without a task that would wait for it; only a client that reads too
    slowly makes one wait.

    stuck_since: since when a message waits for the client to read, by the loop's clock; None if
    none does. sent_at: when the last one was handed over.
    """

    __slots__ = ("_messages", "_send", "_sending", "sent_at", "stuck_since")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: deque[Message] | None = None
        self._sending: asyncio.Task[Any] | None = None
        self.stuck_since: float | None = None
        self.sent_at = 0.0

    def put(self, *messages: Message) -> bool:
        """Send messages after those that wait; return whether none waits."""
        loop = asyncio.get_running_loop()
        self.sent_at = loop.time()
        if self._messages is not None:
            self._messages.extend(messages)
            return False
        self._messages = deque(messages)
        sending = asyncio.Task(self._send_all(), loop=loop, eager_start=True)
        if sending.done():
            return True
        self._sending = sending
        self.stuck_since = self.sent_at
        return False

    async def sent(self) -> None:
        """Wait until all is sent."""
        if self._sending is not None:
            await asyncio.wait([self._sending])

    def close(self) -> None:
        """Send nothing more."""
        if self._sending is not None:
            self._sending.cancel()

    def on_room(self) -> None:
        """Be told that nothing waits any more."""

    async def _send_all(self) -> None:
        messages = self._messages
        assert messages is not None
        try:
            while messages:
                await self._send(messages.popleft())
                if self.stuck_since is not None:
                    self.stuck_since = asyncio.get_running_loop().time()
        except Exception:
            # The client has gone. Who waits for its requests learns of it.
            messages.clear()
        waited = self._sending is not None
        self._messages = self._sending = self.stuck_since = None
        if waited:
            self.on_room()
