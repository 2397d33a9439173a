"""Connections of one event loop to a server, some at a time; how long one may take is bounded.

Not psycopg's pool: that tries in the background, and who waits for it learns neither at once that
the server is away, nor why.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from psycopg import Error
from psycopg.pq import TransactionStatus

from onecopy.postgres_address import PATIENCE, PostgresAddress
from onecopy.postgres_connection import Connection, connect, cut, has_news
from onecopy.stores.base import Unavailable

type Prepare = Callable[[Connection], Awaitable[None]]


def unavailable(address: PostgresAddress, error: BaseException) -> Unavailable:
    """Say what is wrong with a store, where, and what to do."""
    if isinstance(error, Unavailable):
        return type(error)(*error.args)
    return Unavailable(f"the store {address.name} cannot be used: {address.reason(error)}")


class Connections:
    """The connections of one event loop; each is used by one at a time.

    prepare: called with each new connection, before its first use.
    """

    def __init__(self, address: PostgresAddress, prepare: Prepare) -> None:
        self._address = address
        self._prepare = prepare
        self._free = asyncio.Semaphore(address.connections)
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
            timer = asyncio.get_running_loop().call_later(PATIENCE, cut, connection)
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
            name, seconds = self._address.name, f"{PATIENCE:g}"
            words = f"the store {name} is busy for {seconds} seconds: see what its server does"
            raise Unavailable(words) from None

    def _living(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not has_news(connection):
                return connection
            self._drop(connection)
        return None

    async def _connect(self) -> Connection:
        try:
            connection = await connect(self._address)
        except (Error, OSError) as error:
            raise unavailable(self._address, error) from None  # its frames hold the password
        self._all.add(connection)
        timer = asyncio.get_running_loop().call_later(PATIENCE, cut, connection)
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

    def forget(self) -> None:
        """In a forked process: have nothing any more; all of it is the parent's."""
        self._idle.clear()
        self._all.clear()
