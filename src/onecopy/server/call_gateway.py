"""Takes calls of other hosts, and passes them on to this host's job workers.

All job workers of a run accept on one TCP socket; which of them runs the task is found out as for
a call of this host. `execution.distant_calls` says what goes over the connection.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from onecopy.execution.distant_calls import LONGEST, REFUSED, Refused, Secret, new_nonce
from onecopy.stores import Store, Unavailable

_READ: Final = 5.0
"""Seconds in which a caller has to say what it wants."""
_MOST: Final = 256
"""Connections at a time, in one worker."""
_ANNOUNCED_FOR: Final = 30.0
_ANNOUNCE_EVERY: Final = 10.0
_logger = logging.getLogger("onecopy.jobs")

type Ask = Callable[[bytes], Awaitable[bytes]]
"""Has a job worker of this host answer a question."""


class CallGateway:
    """Takes calls of other hosts in one job worker."""

    def __init__(self, listener: int, secret: Secret, ask: Ask) -> None:
        """Take the descriptor of the socket, what callers have to know, and whom to ask."""
        self._listener = listener
        self._secret = secret
        self._ask = ask
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Accept from now on."""
        sock = socket.socket(fileno=os.dup(self._listener))
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=LONGEST)

    async def stop(self) -> None:
        """Accept no more; what is being answered goes on."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST:
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # The caller has gone, or says nothing that could be answered.
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours = new_nonce()
        writer.write(ours + b"\n")
        async with asyncio.timeout(_READ):
            theirs, _, line = (await reader.readuntil(b"\n"))[:-1].partition(b" ")
        nonces = ours + b" " + theirs
        try:
            question = self._secret.verify("caller", nonces, line)
        except Refused as error:
            _logger.warning("a call of %s is refused: %s", writer.get_extra_info("peername"), error)
            writer.write(REFUSED + b"\n")
            await writer.drain()
            return
        answer = await _unless_gone(reader, self._ask(question))
        if answer is not None:
            writer.write(self._secret.sign("worker", nonces, answer) + b"\n")
            await writer.drain()


async def _unless_gone(reader: asyncio.StreamReader, asking: Awaitable[bytes]) -> bytes | None:
    """Return the answer; None, and ask no more, if the caller goes first."""
    answer = asyncio.ensure_future(asking)
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        answer.cancel()
        gone.cancel()
        await asyncio.wait([answer, gone])


async def announce(store: Store, address: str) -> None:
    """Say in the store where this host's workers take calls, until cancelled."""
    while True:
        with suppress(Unavailable):
            await store.announce(address, until=time.time() + _ANNOUNCED_FOR)
        await asyncio.sleep(_ANNOUNCE_EVERY)
