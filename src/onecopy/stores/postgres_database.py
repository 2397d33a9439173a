"""A database as one process uses it: transactions that are tried again, in any event loop.

What is asked for runs in a task of its own: whoever asked may be cancelled, the connection is not.
Nothing here survives a fork; a child connects anew at its first use.
"""

import asyncio
import os
import random
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

import psycopg
from psycopg import errors

from onecopy.postgres_address import PATIENCE, PostgresAddress
from onecopy.postgres_connection import Connection
from onecopy.stores.base import Unavailable
from onecopy.stores.postgres_connections import Connections, Prepare, unavailable
from onecopy.stores.postgres_schema import Newer, known

type Work[T] = Callable[[Link], Awaitable[T]]
type Row = tuple[Any, ...]

_LOST_A_RACE: Final = (errors.DeadlockDetected, errors.SerializationFailure)
_BROKEN: Final = (psycopg.OperationalError, psycopg.InterfaceError)
_LOOK: Final = "SELECT pg_current_xact_id_if_assigned()::text, (SELECT max(version) FROM version)"
_TRIES: Final = 5


class Again(Exception):
    """Somebody else was quicker: the transaction is to be tried again."""


class _Uncertain(Exception):
    """The connection was cut while a transaction was committed."""


class Asking(Protocol):
    """What can be asked: a link, or a connection of the user's own."""

    async def rows(self, query: str, *values: object) -> list[Row]:
        """Return what a query finds."""
        ...


class Link:
    """A connection while it is used: in a pipeline, what is only done goes along with what is next.

    xid: of its transaction, from when `lock` has found rows. version: of the schema, as of then.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.xid: str | None = None
        self.version = 0

    async def do(self, query: str, *values: object) -> None:
        """Have something done; it may fail later."""
        await self._connection.execute(query.encode(), values, binary=True)

    async def rows(self, query: str, *values: object) -> list[Row]:
        """Return what a query finds."""
        cursor = await self._connection.execute(query.encode(), values, binary=True)
        return await cursor.fetchall()

    async def lock(self, query: str, *values: object) -> list[Row]:
        """Return the rows that a query locks; the transaction writes some of them."""
        cursor = await self._connection.execute(query.encode(), values, binary=True)
        asked = await self._connection.execute(_LOOK)
        rows = await cursor.fetchall()
        for xid, version in await asked.fetchall():
            self.xid, self.version = xid, version
        return rows

    def must_be_known(self) -> None:
        """Raise Newer if a newer onecopy has written the schema."""
        if self.version > known():
            raise Newer(self.version)

    async def transaction[T](self, work: "Work[T]") -> T:
        """Do something in a transaction."""
        connection = self._connection
        written: list[T] = []
        try:
            async with connection.pipeline():
                await connection.execute("BEGIN")
                written.append(await work(self))
                await connection.execute("COMMIT")
        except _BROKEN as error:
            if written and connection.closed and self.xid is not None:
                raise _Uncertain(written[0]) from error
            raise
        except psycopg.Error:
            raise
        except Exception:
            if not connection.closed:
                await connection.rollback()
            raise
        return written[0]


class Database:
    """A schema of a database, from when it is open until it is closed.

    prepare: called with each new connection, before its first use.
    """

    def __init__(self, address: PostgresAddress, prepare: Prepare) -> None:
        self.address = address
        self.is_open = False
        self._prepare = prepare
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Connections]
        self._of_loops = weakref.WeakKeyDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        _databases.add(self)

    async def open(self) -> None:
        """Connect, and have the schema up to date. Raises Unavailable."""
        self.is_open = True
        try:
            await self.read(_nothing)
        except BaseException:
            await self.close()
            raise

    async def read[T](self, work: Work[T]) -> T:
        """Do something that can be done again. Raises Unavailable."""
        return await self.in_a_task(self._tried(lambda: self._once(work)))

    async def write[T](self, work: Work[T]) -> T:
        """Do something in a transaction, which is durable once this returns. Raises Unavailable.

        It may be done again from the start, unless it was committed, and has no other effects. What
        would not be the same if it were done twice locks rows first: `Link.lock`.
        """
        return await self.in_a_task(self._written(work))

    async def in_a_task[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do something to its end, whatever becomes of the caller."""
        if not self.is_open:
            work.close()
            raise Unavailable(f"the store {self.address.name} is not open")
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone

    async def _once[T](self, work: Work[T]) -> T:
        async with self._connections().one() as connection:
            try:
                return await work(Link(connection))
            except Newer as error:
                raise error.of(self.address) from None

    async def _written[T](self, work: Work[T]) -> T:
        link: list[Link] = []

        async def transaction(using: Link) -> T:
            link[:] = [using]
            return await using.transaction(work)

        while True:
            try:
                return await self._tried(lambda: self._once(transaction))
            except _Uncertain as uncertain:
                if await self._is_committed(link[0].xid or ""):
                    return uncertain.args[0]

    async def _is_committed(self, xid: str) -> bool:
        """Ask until the server can say what became of a transaction. Raises Unavailable."""

        async def ask(link: Link) -> str:
            return (await link.rows("SELECT pg_xact_status(%s::xid8)", xid))[0][0]

        ends = asyncio.get_running_loop().time() + PATIENCE
        while True:
            status = "in progress"
            try:
                status = await self._tried(lambda: self._once(ask))
            except Unavailable:
                if asyncio.get_running_loop().time() > ends:
                    raise
            if status != "in progress":
                return status == "committed"
            await asyncio.sleep(0.1)

    async def _tried[T](self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something; again if it lost a race, or if its connection was broken before."""
        for left in reversed(range(_TRIES)):
            try:
                return await work()
            except (*_LOST_A_RACE, Again) as error:
                if not left:
                    raise unavailable(self.address, error) from error
                await asyncio.sleep(random.uniform(0, 0.02))
            except _BROKEN as error:
                cut = isinstance(error, errors.AdminShutdown) or error.sqlstate is None
                if not cut or left < _TRIES - 2:
                    raise unavailable(self.address, error) from error
                self._connections().forget_idle()
            except psycopg.Error as error:
                if _is_callers(error):
                    raise
                raise unavailable(self.address, error) from error
        raise AssertionError("the last try returns or raises")

    def _connections(self) -> Connections:
        loop = asyncio.get_running_loop()
        connections = self._of_loops.get(loop)
        if connections is None:
            self._forget_closed_loops()
            connections = self._of_loops[loop] = Connections(self.address, self._prepare)
            weakref.finalize(loop, connections.finish)
        return connections

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._of_loops if loop.is_closed()]:
            self._of_loops.pop(loop).finish()

    async def close(self) -> None:
        """Finish what is under way, and let go of the connections, also of other loops."""
        self.is_open = False
        here = asyncio.get_running_loop()
        under_way = [task for task in self._tasks if task.get_loop() is here]
        await asyncio.gather(*under_way, return_exceptions=True)
        self._forget_closed_loops()
        for loop in [*self._of_loops]:
            connections = self._of_loops.pop(loop)
            if loop is here:
                connections.finish()
            else:
                loop.call_soon_threadsafe(connections.finish)

    def after_fork_in_child(self) -> None:
        """Begin with nothing of the parent's."""
        for connections in self._of_loops.values():
            connections.forget()
        self._of_loops = weakref.WeakKeyDictionary()
        self._tasks = set()


async def _nothing(_link: Link) -> None:
    """Only connect."""


def _is_callers(error: psycopg.Error) -> bool:
    """Whether a value is to blame, such as a text with a NUL, and not the server."""
    return isinstance(error, psycopg.DataError)


_databases: Final[weakref.WeakSet[Database]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for database in [*_databases]:
        database.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
