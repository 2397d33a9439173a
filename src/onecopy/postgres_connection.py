"""A connection to a PostgreSQL server, and what becomes of it in a forked process."""

import os
import select
import socket
import weakref
from contextlib import suppress
from typing import Any, Final

from psycopg import AsyncConnection, OperationalError

from onecopy.postgres_address import PostgresAddress

type Connection = AsyncConnection[tuple[Any, ...]]

_open: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()
_of_parent: Final[list[Connection]] = []
"""What a forked process has inherited: kept, because to let go of it would be to use it."""


async def connect(address: PostgresAddress) -> Connection:
    """Return a new connection, in autocommit mode. Raises OperationalError, OSError."""
    connection = await AsyncConnection.connect(**address.parameters, autocommit=True)
    _open.add(connection)
    return connection


def has_news(connection: Connection) -> bool:
    """Whether the server has something to say: that it is gone, most of all."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except OperationalError:
        return True


def cut(connection: Connection) -> None:
    """End what a connection waits for: nothing else does if its server is stopped."""
    with suppress(OperationalError, OSError):
        there = socket.socket(fileno=os.dup(connection.fileno()))
        with there:
            there.shutdown(socket.SHUT_RDWR)


def _after_fork_in_child() -> None:
    """Close what is the parent's, without a word to the server."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for connection in [*_open]:
        with suppress(OperationalError, OSError):
            os.dup2(nowhere, connection.fileno())
        _of_parent.append(connection)
    _open.clear()
    os.close(nowhere)


os.register_at_fork(after_in_child=_after_fork_in_child)
