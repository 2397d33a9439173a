"""Connections of one event loop to a server, some at a time; how long one may take is bounded.

Not psycopg's pool: that tries in the background, and who waits for it learns neither at once that
the server is away, nor why.
"""

import asyncio
import os
import select
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from psycopg import AsyncConnection, OperationalError
from psycopg.pq import TransactionStatus

from onecopy.stores.base import Unavailable
from onecopy.stores.postgres_place import PATIENCE, Place

type Connection = AsyncConnection[tuple[Any, ...]]
type Prepare = Callable[[Connection], Awaitable[None]]

_of_parent: Final[list[Connection]] = []
"""What a forked process has inherited: kept, because to let go of it would be to use it."""


class Connections:
    """The connections of one event loop; each is used by one at a time.

    prepare: called with each new connection, before its first use.
    """

    def __init__(self, place: Place, prepare: Prepare) -> None:
        self._place = place
        self._prepare = prepare
        self._free = asyncio.Semaphore(place.connections)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[Connection]:
        """Lend a connection, not in a transaction. Raises Unavailable; what it is used for may too.

        If it is in a transaction at the end, or broken, it is not lent again.
        """
        await self._turn()
        try:
            connection = self._living() or await self._connect()
            timer = asyncio.get_running_loop().call_later(PATIENCE, _cut, connection)
            try:
                yield connection
            finally:
                timer.cancel()
                self._back(connection)
        finally:
            self._free.release()

    async def _turn(self) -> None:
        try:
            await asyncio.wait_for(self._free.acquire(), PATIENCE)
        except TimeoutError:
            name, seconds = self._place.name, f"{PATIENCE:g}"
            words = f"the store {name} is busy for {seconds} seconds: see what its server does"
            raise Unavailable(words) from None

    def _living(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not _has_news(connection):
                return connection
            self._drop(connection)
        return None

    async def _connect(self) -> Connection:
        try:
            connection = await AsyncConnection.connect(**self._place.parameters, autocommit=True)
        except (OperationalError, OSError) as error:
            raise self._place.unavailable(error) from None  # its frames hold the password
        self._all.add(connection)
        timer = asyncio.get_running_loop().call_later(PATIENCE, _cut, connection)
        try:
            await self._prepare(connection)
        except BaseException:
            self._drop(connection)
            raise
        finally:
            timer.cancel()
        return connection

    def _back(self, connection: Connection) -> None:
        usable = not connection.closed
        if usable and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._all.discard(connection)
        connection.pgconn.finish()

    def forget_idle(self) -> None:
        """Let go of all that wait to be used: one of them was found broken."""
        while self._idle:
            self._drop(self._idle.pop())

    def finish(self) -> None:
        """Let go of all, at once."""
        self._idle.clear()
        for connection in [*self._all]:
            self._drop(connection)

    def abandon(self) -> None:
        """In a forked process: close what is the parent's, without a word to the server."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for connection in self._all:
            with suppress(OperationalError, OSError):
                os.dup2(nowhere, connection.fileno())
            _of_parent.append(connection)
        self._all.clear()
        self._idle.clear()
        os.close(nowhere)


def _has_news(connection: Connection) -> bool:
    """Whether the server has something to say: that it is gone, most of all."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except OperationalError:
        return True


def _cut(connection: Connection) -> None:
    """End what a connection waits for: nothing else does if its server is stopped."""
    with (
        suppress(OperationalError, OSError),
        socket.socket(fileno=os.dup(connection.fileno())) as there,
    ):
        there.shutdown(socket.SHUT_RDWR)
