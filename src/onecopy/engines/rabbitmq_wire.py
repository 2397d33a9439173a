"""The wire of a connection to RabbitMQ, which has a tap: what comes by the thousand flows there.

The client library connects, authenticates, keeps the connection alive, opens channels and declares
queues. Frames for which a channel has a tap never reach it, and ours are written past it.
"""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Final, Protocol, cast

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError
from yarl import URL

from onecopy.engines.rabbitmq_frames import BEGIN, HEADER, HEARTBEAT, METHOD, Content, body_size

_ALIVE: Final = 1.0
"""Seconds after which the client library is shown that something comes."""


class Tap(Protocol):
    """Takes frames of one channel."""

    def take(self, kind: int, payload: bytes) -> bool:
        """Take a frame; False: it is the client library's."""
        ...


class Contents:
    """A tap that puts the frames of messages together.

    of: the method that a message begins with. heard: is called with each. answers: is called with
    the payloads of other methods, and says whether it has taken them.
    """

    def __init__(
        self,
        of: bytes,
        heard: Callable[[Content], None],
        answers: Callable[[bytes], bool] = lambda method: False,
    ) -> None:
        self._of = of
        self._heard = heard
        self._answers = answers
        self._method: bytes | None = None
        self._header = b""
        self._body: list[bytes] = []
        self._left = 0

    def take(self, kind: int, payload: bytes) -> bool:
        """Take a frame."""
        if kind == METHOD:
            if payload[:4] != self._of:
                return self._answers(payload)
            self._method = payload
            return True
        if self._method is None:
            return False
        if kind == HEADER:
            self._header, self._body, self._left = payload, [], body_size(payload)
        else:
            self._body.append(payload)
            self._left -= len(payload)
        if self._left <= 0:
            method, self._method = self._method, None
            self._heard(Content(method, self._header, b"".join(self._body)))
        return True


class Wire(asyncio.StreamReaderProtocol):
    """Splits what comes into frames; what no tap takes is the stream reader's."""

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self._time = loop.time
        self._taps: dict[int, Tap] = {}
        self._rest = b""
        self._shown_at = loop.time()
        self._sink: asyncio.WriteTransport | None = None

    def tap(self, channel: int, tap: Tap) -> None:
        """Have a tap take what comes for a channel."""
        self._taps[channel] = tap

    def write(self, frames: bytes) -> None:
        """Send frames, without waiting; nothing is sent on a wire that is cut."""
        if self._sink is not None and not self._sink.is_closing():
            self._sink.write(frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._sink = cast("asyncio.WriteTransport", transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on whole frames."""
        data = self._rest + data if self._rest else data
        passed: list[bytes] = []
        at, end = 0, len(data)
        while end - at > BEGIN.size:
            kind, channel, size = BEGIN.unpack_from(data, at)
            after = at + BEGIN.size + size + 1
            if after > end:
                break
            tap = self._taps.get(channel)
            if tap is None or not tap.take(kind, data[at + BEGIN.size : after - 1]):
                passed.append(data[at:after])
            at = after
        self._rest = data[at:]
        self._show(passed)

    def _show(self, passed: list[bytes]) -> None:
        now = self._time()
        if not passed and now > self._shown_at + _ALIVE:
            passed.append(HEARTBEAT)
        if passed:
            self._shown_at = now
            super().data_received(b"".join(passed))

    def eof_received(self) -> bool | None:
        """Pass on what there is: a server of another protocol says so, not in a frame."""
        super().data_received(self._rest)
        return super().eof_received()


class WiredConnection(aio_pika.Connection):
    """A connection of the client library over a wire of ours."""

    def __init__(self, url: URL, **options: Any) -> None:  # noqa: ANN401 - of the client library
        super().__init__(url, **options)
        self._factory = _Factory()
        self.kwargs["transport_factory"] = self._factory

    @property
    def wire(self) -> Wire:
        """The wire, once it is connected."""
        assert self._factory.wire is not None
        return self._factory.wire

    @property
    def largest_frame(self) -> int:
        """Bytes that a frame may have; 0: any."""
        if self.transport is None:
            raise ChannelInvalidStateError("the connection is lost")
        return self.transport.connection.connection_tune.frame_max


def number_of(channel: AbstractChannel) -> int:
    """Return the number of an open channel."""
    if channel.number is None:
        raise ChannelInvalidStateError("the channel is closed")
    return channel.number


class _Factory(TransportFactory):
    """Connects as the client library does, but for the wire."""

    def __init__(self) -> None:
        self.wire: Wire | None = None

    async def create(
        self,
        url: URL,
        **options: Any,  # noqa: ANN401 - of the event loop
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        provider = options.pop("ssl_context_provider")
        ssl: SSLContext | None = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        host, port = str(url.host), url.port or 0
        reader = asyncio.StreamReader(loop=loop)
        wire = self.wire = Wire(reader, loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: wire, host, port, ssl=ssl, **options
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return reader, asyncio.StreamWriter(transport, wire, reader, loop)
