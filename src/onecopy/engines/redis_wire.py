"""Two connections of the Redis engine: one that sends, one that hears.

Both are made when they are used, and again when they are lost; nobody waits for a server that is
away.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, cast

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from onecopy.engines.presence import Presence
from onecopy.redis_address import RedisAddress
from onecopy.redis_script import Script

CONNECT: Final = 3.0
"""Seconds that connecting may take."""
ANSWER: Final = 5.0
"""Seconds that the server may take to answer."""
_AGAIN: Final = 0.5
"""Seconds between tries to connect."""
_QUIET: Final = 10.0
"""Seconds after which a server that says nothing is asked whether it is there."""
_MOST: Final = 1000
"""Commands that wait to be sent; more are dropped."""
type Request = Sequence[str | bytes | int]
_FAULTS: Final = (RedisError, OSError, TimeoutError)


class _Connection(Protocol):
    """What is used of the client: its connections are typed in part."""

    async def connect(self) -> None: ...
    def disconnect(self, nowait: bool = False) -> Coroutine[Any, Any, None]: ...
    def pack_commands(self, commands: Sequence[Request]) -> list[bytes]: ...
    async def send_packed_command(self, command: list[bytes]) -> None: ...
    async def read_response(self, *, disable_decoding: bool, disconnect_on_error: bool) -> Any: ...  # noqa: ANN401


def _new_connection(address: RedisAddress) -> _Connection:
    kind = SSLConnection if address.tls else Connection
    connection = kind(
        **address.arguments,
        socket_connect_timeout=CONNECT,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return cast("_Connection", connection)


async def _read(connection: _Connection) -> Any:  # noqa: ANN401 - any reply
    return await connection.read_response(disable_decoding=True, disconnect_on_error=False)


class Sender:
    """Sends commands, those of one moment together."""

    def __init__(
        self, address: RedisAddress, scripts: Sequence[Script], presence: Presence
    ) -> None:
        self._address = address
        self._presence = presence
        self._scripts = scripts
        self._connection: _Connection | None = None
        self._outbox: list[tuple[Request, Callable[[Any], None] | None]] = []
        self._task: asyncio.Task[None] | None = None

    def send(self, request: Request, heard: Callable[[Any], None] | None = None) -> None:
        """Send a command soon, and give the answer to `heard`; if it is lost, None."""
        if len(self._outbox) >= _MOST:
            if heard is not None:
                heard(None)
            return
        self._outbox.append((request, heard))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._send_all(), name="onecopy: send to Redis"
            )

    async def close(self) -> None:
        """Send what is to be sent, if that is possible, and let go."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER):
                    await self._task
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _send_all(self) -> None:
        try:
            while self._outbox:
                sent, self._outbox = self._outbox, []
                answers: Sequence[Any] = [None] * len(sent)
                try:
                    answers = await self._ask_twice([request for request, _ in sent])
                except _FAULTS as error:
                    self._presence.gone("sender", str(error) or "it does not answer")
                else:
                    self._presence.there("sender")
                for (_, heard), answer in zip(sent, answers, strict=True):
                    if heard is not None:
                        heard(answer)
        finally:
            self._task = None

    async def _ask_twice(self, requests: Sequence[Request]) -> Sequence[Any]:
        """Ask once more if it was an old connection: the server may have closed it long ago."""
        was_there = self._connection is not None
        try:
            return await self._ask(requests)
        except _FAULTS:
            await self._let_go()
            if not was_there:
                raise
        try:
            return await self._ask(requests)
        except _FAULTS:
            await self._let_go()
            raise

    async def _ask(self, requests: Sequence[Request]) -> Sequence[Any]:
        async with asyncio.timeout(ANSWER):
            if self._connection is None:
                connection = _new_connection(self._address)
                await connection.connect()
                self._connection = connection
                await self._load()
            answers = await self._exchange(requests)
            if any(isinstance(each, NoScriptError) for each in answers):
                await self._load()
            return [None if isinstance(each, ResponseError) else each for each in answers]

    async def _load(self) -> None:
        await self._exchange([("SCRIPT", "LOAD", script.source) for script in self._scripts])

    async def _exchange(self, requests: Sequence[Request]) -> list[Any]:
        connection = self._connection
        assert connection is not None, "it was made before"
        await connection.send_packed_command(connection.pack_commands(requests))
        answers: list[Any] = []
        for _ in requests:
            try:
                answers.append(await _read(connection))
            except ResponseError as error:
                answers.append(error)
        return answers

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


class Ear:
    """Hears what is published, from when on it is asked to until it is closed."""

    def __init__(
        self,
        address: RedisAddress,
        heard: Callable[[str, bytes], None],
        missed: Callable[[], None],
        presence: Presence,
    ) -> None:
        """`heard` is given each message, with its channel; `missed` is told of interruptions."""
        self._address = address
        self._heard = heard
        self._missed = missed
        self._presence = presence
        self._closing: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._listening: dict[str, asyncio.Event] = {}

    async def listen(self, *channels: str) -> None:
        """Hear channels: returns once they are heard, which may take until the server is back."""
        new = [channel for channel in channels if channel not in self._listening]
        self._listening |= {channel: asyncio.Event() for channel in new}
        if new and self._connection is not None:
            await self._subscribe(self._connection, new)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name="onecopy: hear from Redis"
            )
        for channel in channels:
            await self._listening[channel].wait()

    def begin_anew(self) -> None:
        """Connect again: this connection is with a server where it hears nothing."""
        if self._connection is not None:
            closing = self._connection.disconnect(nowait=True)
            self._closing = asyncio.get_running_loop().create_task(closing)

    async def close(self) -> None:
        """Hear no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._listening.clear()

    async def _run(self) -> None:
        while True:
            try:
                await self._hear()
            except _FAULTS as error:
                self._presence.gone("ear", str(error) or "it says nothing")
            finally:
                for event in self._listening.values():
                    event.clear()
                self._missed()
                connection, self._connection = self._connection, None
                if connection is not None:
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(_AGAIN)

    async def _hear(self) -> None:
        connection = _new_connection(self._address)
        async with asyncio.timeout(ANSWER):
            await connection.connect()
        self._connection = connection
        self._presence.there("ear")
        await self._subscribe(connection, [*self._listening])
        asked = False
        while True:
            try:
                async with asyncio.timeout(_QUIET):
                    message = await _read(connection)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await connection.send_packed_command(connection.pack_commands([("PING",)]))
                continue
            asked = False
            self._take(message)

    def _take(self, message: Sequence[bytes]) -> None:
        match message:
            case [b"subscribe", channel, _]:
                if (event := self._listening.get(channel.decode())) is not None:
                    event.set()
            case [b"message", channel, data]:
                self._heard(channel.decode(), data)
            case _:
                pass  # It answers that it is there.

    async def _subscribe(self, connection: _Connection, channels: Sequence[str]) -> None:
        try:
            await connection.send_packed_command(
                connection.pack_commands([("SUBSCRIBE", *channels)])
            )
        except _FAULTS:
            await connection.disconnect(nowait=True)  # whoever reads it connects again
