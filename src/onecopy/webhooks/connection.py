"""One connection to a receiver: HTTP/1.1 by h11, which is uvicorn's parser too, over a socket."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, Self

import h11

from onecopy.webhooks.urls import Address

_CHUNK: Final = 64 * 1024
_LARGEST_HEAD: Final = 64 * 1024
"""Bytes that the status and the headers of an answer may have."""


class Broken(Exception):
    """The other end has closed the connection, or said something that is no HTTP."""


class Connection:
    """A connection that is open; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, _LARGEST_HEAD)

    @classmethod
    async def open(cls, address: Address, port: int, name: str, tls: ssl.SSLContext | None) -> Self:
        """Connect to an address; by TLS to whoever can prove that it has the name.

        Raises OSError, of which ssl.SSLError is one.
        """
        host = None if tls is None else name
        return cls(
            *await asyncio.open_connection(
                str(address), port, limit=_CHUNK, ssl=tls, server_hostname=host
            )
        )

    @property
    def usable(self) -> bool:
        """Whether it can take the next request, as far as can be seen from here."""
        return (
            self._http.our_state is h11.IDLE
            and not self._reader.at_eof()
            and not self._writer.is_closing()
        )

    async def post(
        self, path: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> h11.Response:
        """Send a request and return the head of its answer. Raises Broken, OSError."""
        request = h11.Request(method="POST", target=path, headers=[*headers])
        events = (request, h11.Data(data=body), h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Broken("it ended without an answer")

    async def finish(self, most: int) -> None:
        """Read the rest of an answer, of so many bytes at most: it is `usable` if that was all.

        Raises Broken, OSError.
        """
        size = 0
        while size <= most:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                size += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                    self._http.start_next_cycle()
                return
            else:
                return

    def close(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()

    async def _next_event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = await self._reader.read(_CHUNK)
                if not data and self._http.their_state is h11.SEND_RESPONSE:
                    raise Broken("it closed the connection without an answer")
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise Broken(f"what it said is no HTTP: {error}") from error
        return event
