"""Calls between hosts, over TCP: both ends prove that they know one secret.

A connection is for one call, in three lines::

    worker's host    a nonce
    caller           a nonce, and the question, signed
    worker's host    the answer, signed; or `refused`

Signed means HMAC-SHA-256 (RFC 2104), by the secret, over who speaks, both nonces and the text: it
cannot be changed on the way, nor be said again on another connection. It can be read on the way:
the network is to be a private one. Where the workers listen is announced in the store.
"""

import asyncio
import hmac
import logging
import os
import random
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from onecopy.errors import OptionError
from onecopy.stores import Store, Unavailable

SECRET: Final = "ONECOPY_CALLS_SECRET"
LISTEN: Final = "ONECOPY_CALLS"
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a line."""
REFUSED: Final = b"refused"
_SHORTEST: Final = 32
_CONNECT: Final = 2.0
_KNOWN_FOR: Final = 5.0
_NONE_FOR: Final = 0.5
"""Seconds for which it is remembered that no other host takes calls: one may have just started."""
_logger = logging.getLogger("onecopy.jobs")


class Refused(OSError):
    """The other end does not know our secret, or we not its."""


class Secret:
    """What both ends know; signs what they say to each other."""

    def __init__(self, text: str) -> None:
        """Take a secret. Raises OptionError if it is too short to be one."""
        if len(text) < _SHORTEST:
            raise OptionError(
                SECRET,
                f"it has less than {_SHORTEST} characters; `openssl rand -hex 32` makes one",
            )
        self._key = text.encode()

    def sign(self, speaker: str, nonces: bytes, text: bytes) -> bytes:
        """Return a text with its signature before it."""
        return self._signature(speaker, nonces, text) + b" " + text

    def verify(self, speaker: str, nonces: bytes, line: bytes) -> bytes:
        """Return the text of what was signed. Raises Refused."""
        signature, _, text = line.partition(b" ")
        if not hmac.compare_digest(signature, self._signature(speaker, nonces, text)):
            raise Refused("the signature is wrong: do both hosts have the same secret?")
        return text

    def _signature(self, speaker: str, nonces: bytes, text: bytes) -> bytes:
        message = b" ".join([speaker.encode(), nonces, text])
        return hmac.digest(self._key, message, "sha256").hex().encode()


def secret_here() -> Secret | None:
    """Return the secret of this environment; None if calls stay on their host."""
    text = os.environ.get(SECRET)
    return Secret(text) if text else None


def place_here() -> tuple[str, int] | None:
    """Return the host and port where this host's workers take calls; None if they take none.

    Raises OptionError: it is no address that others can reach, or there is no secret.
    """
    text = os.environ.get(LISTEN)
    if not text:
        return None
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host in ("", "0.0.0.0", "::") or not (port.isdecimal() and int(port) < 1 << 16):
        raise OptionError(
            LISTEN, f"{text!r} is not by which other hosts reach this one; write 10.0.0.5:7788"
        )
    if secret_here() is None:
        raise OptionError(LISTEN, f"calls of other hosts need {SECRET}, the same on all hosts")
    return host, int(port)


def new_nonce() -> bytes:
    """Return 128 random bits, as hexadecimal digits."""
    return secrets.token_hex(16).encode()


class DistantHosts:
    """The other hosts whose workers take calls, as the store knows them."""

    def __init__(self, store: Store, secret: Secret) -> None:
        self._store = store
        self._secret = secret
        self._addresses: list[str] = []
        self._read_at = -_KNOWN_FOR

    async def ask(self, question: bytes) -> AsyncGenerator[bytes]:
        """Ask one host after the other, in any order; yield their answers.

        An answer that is empty: the host was lost after it had the question.
        """
        for address in await self._shuffled():
            try:
                async with _connected(address) as (reader, writer):
                    answer = await self._exchange(reader, writer, question.rstrip())
            except Refused as error:
                _logger.error("%s takes no call of this host: %s", address, error)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                continue  # It is gone, or cannot be reached: nobody has read the question.
            else:
                yield answer + b"\n" if answer else b""

    async def _shuffled(self) -> list[str]:
        known_for = _KNOWN_FOR if self._addresses else _NONE_FOR
        if time.monotonic() - self._read_at > known_for:
            with suppress(Unavailable):
                self._addresses = await self._store.announced(now=time.time())
                self._read_at = time.monotonic()
        return random.sample(self._addresses, len(self._addresses))

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: bytes
    ) -> bytes:
        async with asyncio.timeout(_CONNECT):
            theirs = await _line(reader)
        ours = new_nonce()
        nonces = theirs + b" " + ours
        writer.write(ours + b" " + self._secret.sign("caller", nonces, question) + b"\n")
        try:
            await writer.drain()
            answer = await _line(reader)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return b""
        if answer == REFUSED:
            raise Refused("do both hosts have the same secret?")
        return self._secret.verify("worker", nonces, answer)


@asynccontextmanager
async def _connected(
    address: str,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(_CONNECT):
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=LONGEST)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Return a line without its end. Raises IncompleteReadError, LimitOverrunError, OSError."""
    return (await reader.readuntil(b"\n"))[:-1]
