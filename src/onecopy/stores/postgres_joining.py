"""Jobs in a transaction of the user's own: they exist if, and only if, it is committed.

The connection is psycopg's, or one of SQLAlchemy that has psycopg under it. Nothing of it is
changed: neither its settings nor its transaction.
"""

import re
import sys
import time
from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import Any, Final, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from onecopy.jobs import Job
from onecopy.postgres_address import PostgresAddress
from onecopy.stores.base import CannotJoin
from onecopy.stores.postgres_accept import Wish, accept
from onecopy.stores.postgres_database import Again, Asking, Row
from onecopy.stores.postgres_orders import note, orders_of
from onecopy.stores.postgres_schema import Newer

type _Connection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

_TRIES: Final = 5
_SOON: Final = 1.0
"""Seconds after which a worker that nobody rang looks by itself."""
_RING: Final = "SELECT pg_notify(%b::text, queue) FROM unnest(%b::text[]) AS queues (queue)"


class _Async:
    """Asks by an asynchronous connection."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def rows(self, query: str, *values: object) -> list[Row]:
        async with psycopg.AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
            await cursor.execute(_qualified(query, self._schema), values, binary=True)
            return await cursor.fetchall()


class _Sync:
    """Asks by a connection that blocks."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self._connection = connection
        self._schema = schema

    async def rows(self, query: str, *values: object) -> list[Row]:
        with psycopg.Cursor(self._connection, row_factory=tuple_row) as cursor:
            cursor.execute(_qualified(query, self._schema), values, binary=True)
            return cursor.fetchall()


@lru_cache
def _qualified(query: str, schema: str) -> bytes:
    """Name the tables with their schema: the user's connection looks into others.

    And have figures go to a slot of its backend's own: the transaction may be long.
    """
    tables = r"\b(FROM|INTO|JOIN) (jobs|events|figures|unsettled|version)\b"
    query = query.replace("mod(pg_backend_pid(), 64)", "-pg_backend_pid()")
    return re.sub(tables, rf"\1 {schema}.\2", query).encode()


async def accept_in(
    connection: object, address: PostgresAddress, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
    """Record jobs in the transaction of a connection. Raises CannotJoin, and as `Store.accept`."""
    found = await _unwrapped(connection)
    asking = _Async if isinstance(found, psycopg.AsyncConnection) else _Sync
    return await _accept(asking(cast("Any", found), address.schema), address, jobs, max_queued)


def accept_in_sync(
    connection: object, address: PostgresAddress, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
    """Record jobs in the transaction of a connection that blocks; as `accept_in`."""
    found = _unwrapped_sync(connection)
    return _at_once(_accept(_Sync(found, address.schema), address, jobs, max_queued))


async def _accept(
    asking: Asking, address: PostgresAddress, jobs: Sequence[Job], max_queued: int | None
) -> list[Job]:
    for left in reversed(range(_TRIES)):
        try:
            accepted = await accept(asking, Wish(jobs, max_queued))
            break
        except Again:
            if not left:
                raise
        except Newer as error:
            raise error.of(address) from None
    else:
        raise AssertionError("the last try returns or raises")
    await note(asking, orders_of(accepted))
    soon = time.time() + _SOON
    queues = {job.queue for job in jobs if job.due_at <= soon}
    if queues:  # Workers hear of it when it is committed.
        await asking.rows(_RING, address.channel("rings"), sorted(queues))
    return accepted


def _at_once[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


# What is under a connection.


async def _unwrapped(given: object) -> _Connection:
    if "sqlalchemy.ext.asyncio" in sys.modules:
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if isinstance(given, AsyncSession | async_scoped_session):
            given = await given.connection()
        if isinstance(given, AsyncConnection):
            if not given.in_transaction():
                await given.exec_driver_sql("SELECT 1")  # so that SQLAlchemy knows that it began
            given = (await given.get_raw_connection()).driver_connection
    if isinstance(given, psycopg.AsyncConnection):
        return _in_transaction(cast("psycopg.AsyncConnection[Any]", given))
    return _unwrapped_sync(given)


def _unwrapped_sync(given: object) -> psycopg.Connection[Any]:
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import Connection
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(given, Session | scoped_session):
            given = given.connection()
        if isinstance(given, Connection):
            if not given.in_transaction():
                given.exec_driver_sql("SELECT 1")
            given = given.connection.driver_connection
    if isinstance(given, psycopg.Connection):
        return _in_transaction(cast("psycopg.Connection[Any]", given))
    raise CannotJoin(_why_not(given))


def _in_transaction[C: _Connection](connection: C) -> C:
    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        words = "it commits each statement: begin a transaction (connection.transaction())"
        raise CannotJoin(words)
    return connection


def _why_not(given: object) -> str:
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    if isinstance(given, psycopg.AsyncConnection) or "sqlalchemy.ext.asyncio" in kind:
        return "an asynchronous connection goes with `await submit(...)`, not with `submit_sync`"
    for driver in ("asyncpg", "psycopg2", "pg8000"):
        if kind.startswith(driver):
            return f"it is of {driver}: use psycopg 3 (postgresql+psycopg:// in SQLAlchemy)"
    return f"{kind} is no connection of psycopg 3, and none of SQLAlchemy with psycopg under it"
