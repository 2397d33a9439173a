"""A connection to a Redis server: made when it is used, and made again when it is lost.

It blocks, for a thread of its own, and nothing waits longer than `ANSWER` for the server.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as LateError
from redis.retry import Retry

from onecopy.redis_address import RedisAddress
from onecopy.redis_script import Script
from onecopy.stores.base import Unavailable
from onecopy.stores.redis_errors import lost, refused, unreachable

CONNECT: Final = 3.0
"""Seconds that connecting may take."""
ANSWER: Final = 5.0
"""Seconds that the server may take to answer."""

type Argument = str | bytes | int
type Request = Sequence[Argument]


class _Wire(Protocol):
    """What is used of the client: its connections are typed in part."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def pack_commands(self, commands: Sequence[Request]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes]) -> None: ...
    def read_response(self, *, disable_decoding: bool) -> Any: ...  # noqa: ANN401


class Cut(Exception):
    """The connection broke, or no answer came in time: what was asked for may have happened.

    unavailable: what to say if it is not tried again. stale: the connection was an old one, which
        the server may have closed long ago.
    """

    def __init__(self, unavailable: Unavailable, *, stale: bool) -> None:
        super().__init__(str(unavailable))
        self.unavailable = unavailable
        self.stale = stale


class Link:
    """Asks the server; not for two threads at once."""

    def __init__(self, address: RedisAddress, scripts: Sequence[Script]) -> None:
        self._address = address
        self._scripts = scripts
        self._connection: _Wire | None = None
        self._used = False

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """Send all at once, and return an answer, or what it was refused with, for each.

        Raises Unavailable: there is no connection, nothing has happened. Raises Cut.
        """
        connection = self._connected()
        stale, self._used = self._used, True
        try:
            return self._ask(connection, requests)
        except (RedisError, OSError) as error:
            self.close()
            late = isinstance(error, LateError)
            raise Cut(lost(self._address, error), stale=stale and not late) from None
        except BaseException:
            self.close()
            raise

    def _ask(self, connection: _Wire, requests: Sequence[Request]) -> list[Any]:
        answers = _exchange(connection, requests)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # Somebody has flushed the scripts: those that were unknown did nothing.
            _exchange(connection, self._loads())
            again = _exchange(connection, [requests[i] for i in unknown])
            for i, answer in zip(unknown, again, strict=True):
                answers[i] = answer
        return [
            refused(self._address, answer) if isinstance(answer, ResponseError) else answer
            for answer in answers
        ]

    def _loads(self) -> list[Request]:
        return [("SCRIPT", "LOAD", script.source) for script in self._scripts]

    def _connected(self) -> _Wire:
        if self._connection is None:
            connection = new_connection(self._address)
            try:
                connection.connect()
                answers = _exchange(connection, self._loads())
            except (RedisError, OSError) as error:
                connection.disconnect()
                raise unreachable(self._address, error) from None
            for answer in answers:
                if isinstance(answer, ResponseError):
                    connection.disconnect()
                    raise refused(self._address, answer)
            self._connection = connection
            self._used = False
        return self._connection

    def close(self) -> None:
        """Let go; the next use connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def forget(self) -> None:
        """Let go of a connection that is the parent's, after a fork, and leave it open."""
        _inherited.append(self._connection)
        self._connection = None


_inherited: Final[list[_Wire | None]] = []


def new_connection(address: RedisAddress) -> _Wire:
    """Return a connection, not connected yet."""
    kind = SSLConnection if address.tls else Connection
    connection = kind(
        **address.arguments,
        socket_connect_timeout=CONNECT,
        socket_timeout=ANSWER,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return cast("_Wire", connection)


def _exchange(connection: _Wire, requests: Sequence[Request]) -> list[Any]:
    """Send all at once, and read all answers; errors of single commands are answers too."""
    connection.send_packed_command(connection.pack_commands(requests))
    answers: list[Any] = []
    for _ in requests:
        try:
            answers.append(connection.read_response(disable_decoding=True))
        except ResponseError as error:
            answers.append(error)
    return answers
